"""The edges of all chunks: as they lie there, to decide about, and as one file that says nothing about blocks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linkage.executors.chunks import Report, edges_of, mapped_edges, report_of
from linkage.executors.edgefile import EdgesHeader, write
from linkage.executors.plan import Plan, load
from linkage.join import sort_edges
from linkage.rows import EDGE

_AT_ONCE = 1 << 22  # edges sorted at a time


def write_edges(work: Path, path: Path, progress: Callable[[int, int], None] | None = None) -> EdgesHeader:
    """Put the edges of a comparison that is done into one file; memory does not grow with it.

    Args:
        work: working directory.
        path: of the file.
        progress: called with (edges written, edges); may raise to cancel, and nothing stays.

    Raises:
        PlanError: a chunk is missing.
    """
    plan = load(work)
    tables = [mapped_edges(work, plan, name) for name in plan.joins]
    total = sum(map(len, tables))

    def parts() -> Iterator[NDArray[np.void]]:
        done = 0
        for part in merged(tables):
            yield part
            done += len(part)
            if progress is not None:
                progress(done, total)

    return write(path, parts(), total, plan.study, plan.version, plan.fingerprint)


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
