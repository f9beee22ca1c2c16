"""The edges of all chunks as one file, sorted, so that it says nothing about passes and blocks."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import RowsFileDamagedError, RowsFileError
from linkage.executors.chunks import Report, edges_of, report_of
from linkage.executors.files import new
from linkage.executors.plan import Plan, load
from linkage.join import sort_edges
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


@dataclass(frozen=True)
class Gathered:
    """The edges of a comparison that is done. They stay on the disk, chunk by chunk; deciding needs no order.

    Attributes:
        work: working directory.
        plan: its plan.
        reports: of the chunks that compared.
    """

    work: Path
    plan: Plan
    reports: tuple[Report, ...]

    @property
    def n(self) -> int:
        """Number of edges."""
        return sum(r.n for r in self.reports)

    @property
    def compared(self) -> int:
        """Pairs of rows that were compared."""
        return sum(r.compared for r in self.reports)

    @property
    def over_cap(self) -> tuple[int, ...]:
        """Per source, rows over its cap."""
        return tuple(sum(r.over_cap[s] for r in self.reports) for s in range(len(self.plan.inputs)))

    @property
    def blocks_skipped(self) -> int:
        """Blocks over the budget."""
        return sum(r.blocks_skipped for r in self.reports)

    @property
    def largest_block(self) -> int:
        """Rows."""
        return max((r.largest_block for r in self.reports), default=0)

    def parts(self) -> list[tuple[int, Callable[[], NDArray[np.void]]]]:
        """(number of edges, how to read them) of every chunk."""
        return [(r.n, partial(self._read, r.chunk)) for r in self.reports]

    def _read(self, chunk: str) -> NDArray[np.void]:
        return edges_of(self.work, self.plan, chunk)[1]


def gather(work: Path) -> Gathered:
    """What a comparison that is done has found; memory does not grow with it.

    Raises:
        PlanError: a chunk is missing.
    """
    plan = load(work)
    return Gathered(work, plan, tuple(report_of(work, plan, name) for name in plan.joins))


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
