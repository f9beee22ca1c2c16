"""Edges as a file, sorted, so that it says nothing about passes and blocks (docs/spec/chunk-plan.md)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import RowsFileDamagedError, RowsFileError
from linkage.files import LINE, mapped, new
from linkage.rows import EDGE

MAGIC = b"TCEDGE1\n"
_AT_ONCE = 1 << 22  # edges handed out at a time


class EdgesHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Second line of an edges file.

    Attributes:
        study: of the sources.
        version: of the study secret.
        fingerprint: of the schema.
        n: edges.
        sha256: of the body.
    """

    study: str
    version: int
    fingerprint: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?![\s\S])")]
    n: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?![\s\S])")]


def write(
    path: Path, parts: Iterator[NDArray[np.void]], n: int, study: str, version: int, fingerprint: str
) -> EdgesHeader:
    """Write an edges file (0600, in one step) of parts that follow each other in order."""
    header = EdgesHeader(study=study, version=version, fingerprint=fingerprint, n=n, sha256="0" * 64)
    digest = hashlib.sha256()
    with new(path) as file:
        file.write(MAGIC + msgspec.json.encode(header, order="sorted") + b"\n")
        for part in parts:
            data = part.tobytes()
            digest.update(data)
            file.write(data)
        header = msgspec.structs.replace(header, sha256=digest.hexdigest())
        file.seek(0)
        file.write(MAGIC + msgspec.json.encode(header, order="sorted") + b"\n")
    return header


def read_edges(path: Path) -> tuple[EdgesHeader, NDArray[np.void]]:
    """Header and (n,) EDGE of an edges file. The edges are checked and stay on the disk, read where they are used.

    Raises:
        RowsFileError: not an edges file.
        RowsFileDamagedError: cut or changed, or not sorted.
    """
    from linkage.kernels.edges import ascend

    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise RowsFileError("there is no such edges file") from None
    with file:
        if file.read(len(MAGIC)) != MAGIC:
            raise RowsFileError("not an edges file of this version")
        try:
            header = msgspec.json.decode(file.readline(LINE), type=EdgesHeader)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RowsFileDamagedError("the header is not valid") from None
        begin = file.tell()
        whole = os.fstat(file.fileno()).st_size == begin + header.n * EDGE.itemsize
        table = mapped(file, EDGE, begin, header.n if whole else 0)
    if not whole or hashlib.sha256(table.view(np.uint8).data).hexdigest() != header.sha256:
        raise RowsFileDamagedError("the file was cut or changed", hint="transfer or make it again")
    if not ascend(table.view(np.uint8)):
        raise RowsFileDamagedError("the edges are not sorted")
    return header, table


@dataclass(frozen=True)
class EdgeTables:
    """Edges that were compared elsewhere, to decide about; how many rows were compared is not known here.

    Attributes:
        tables: (m,) EDGE each, in any order.
        compared: 0.
        over_cap: none.
        blocks_skipped: 0.
    """

    tables: tuple[NDArray[np.void], ...]
    compared: int = 0
    over_cap: tuple[int, ...] = ()
    blocks_skipped: int = 0

    @property
    def n(self) -> int:
        """Number of edges."""
        return sum(map(len, self.tables))

    def parts(self) -> list[tuple[int, Callable[[], NDArray[np.void]]]]:
        """(number of edges, how to get at them), some at a time."""
        some = [table[at : at + _AT_ONCE] for table in self.tables for at in range(0, len(table), _AT_ONCE)]
        return [(len(part), lambda part=part: part) for part in some]  # type: ignore[misc]
