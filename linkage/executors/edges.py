"""The edges of all chunks as one file, sorted, so that it says nothing about passes and blocks."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import RowsFileDamagedError, RowsFileError
from linkage.executors.chunks import edges_of
from linkage.executors.files import new
from linkage.executors.plan import load
from linkage.join import Edges, sort_edges
from linkage.rows import EDGE

MAGIC = b"TCEDGE1\n"
_AT_ONCE = 1 << 22  # edges sorted at a time


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


def write_edges(work: Path, path: Path) -> EdgesHeader:
    """Put the edges of a comparison that is done into one file; memory does not grow with it.

    Raises:
        PlanError: a chunk is missing.
    """
    plan = load(work)
    tables = [edges_of(work, plan, name)[1] for name in plan.joins]
    return write(path, merged(tables), sum(map(len, tables)), plan.study, plan.version, plan.fingerprint)


def gather(work: Path) -> Edges:
    """The edges of a comparison that is done, in memory and not sorted over chunks; deciding needs no order.

    Raises:
        PlanError: a chunk is missing.
    """
    plan = load(work)
    sizes = [edges_of(work, plan, name)[0].n for name in plan.joins]
    table = np.empty(sum(sizes), EDGE)
    over = np.zeros(len(plan.inputs), np.int64)
    compared = skipped = largest = at = 0
    for name in plan.joins:
        report, part = edges_of(work, plan, name)
        table[at : at + len(part)] = part
        at += len(part)
        over += np.array(report.over_cap, np.int64)
        compared += report.compared
        skipped += report.blocks_skipped
        largest = max(largest, report.largest_block)
    return Edges(table, compared, tuple(over.tolist()), skipped, largest)


def merged(tables: Sequence[NDArray[np.void]]) -> Iterator[NDArray[np.void]]:
    """Sorted tables as one, in parts: each part holds the edges whose smaller ref begins alike."""
    total = sum(map(len, tables))
    ranges = max(1, -(-total // _AT_ONCE))
    begins = [0] * len(tables)
    for r in range(1, ranges + 1):
        bound = (r << 64) // ranges
        ends = [
            len(t) if r == ranges else bisect_left(_Prefixes(t), bound, lo=b)
            for t, b in zip(tables, begins, strict=True)
        ]
        yield sort_edges(
            np.concatenate([np.empty(0, EDGE), *[t[b:e] for t, b, e in zip(tables, begins, ends, strict=True)]])
        )
        begins = ends


class _Prefixes:
    """The first eight bytes of every smaller ref as a number, read where they are asked for."""

    def __init__(self, table: NDArray[np.void]) -> None:
        self._lo = table["lo"]

    def __len__(self) -> int:
        return len(self._lo)

    def __getitem__(self, at: int) -> int:
        return int.from_bytes(bytes(self._lo[at, :8]), "big")


def write(
    path: Path, parts: Iterator[NDArray[np.void]], n: int, study: str, version: int, fingerprint: str
) -> EdgesHeader:
    """Write an edges file (0600, in one step) of parts that follow each other in order."""
    header = EdgesHeader(study=study, version=version, fingerprint=fingerprint, n=n, sha256="0" * 64)
    digest = hashlib.sha256()
    with new(path) as file:
        file.write(MAGIC + msgspec.json.encode(header, order="sorted") + b"\n")
        for part in parts:
            digest.update(part.tobytes())
            file.write(part.tobytes())
        header = msgspec.structs.replace(header, sha256=digest.hexdigest())
        file.seek(0)
        file.write(MAGIC + msgspec.json.encode(header, order="sorted") + b"\n")
    return header


def read_edges(path: Path) -> tuple[EdgesHeader, NDArray[np.void]]:
    """Header and (n,) EDGE of an edges file.

    Raises:
        RowsFileError: not an edges file.
        RowsFileDamagedError: cut or changed, or not sorted.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RowsFileError("there is no such edges file") from None
    if not content.startswith(MAGIC):
        raise RowsFileError("not an edges file of this version")
    end = content.find(b"\n", len(MAGIC))
    try:
        header = msgspec.json.decode(content[len(MAGIC) : max(end, 0)], type=EdgesHeader)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RowsFileDamagedError("the header is not valid") from None
    body = memoryview(content)[end + 1 :]
    if len(body) != header.n * EDGE.itemsize or hashlib.sha256(body).hexdigest() != header.sha256:
        raise RowsFileDamagedError("the file was cut or changed", hint="transfer or make it again")
    table = np.frombuffer(body, EDGE)
    if sort_edges(table).tobytes() != body:
        raise RowsFileDamagedError("the edges are not sorted")
    return header, table
