"""From edges between refs to pairs of records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from linkage.decide.refs import RefIndex
from linkage.errors import MatchInputError
from linkage.threads import cores, each

I32 = NDArray[np.int32]
U64 = NDArray[np.uint64]
Part = tuple[int, Callable[[], NDArray[np.void]]]
Progress = Callable[[int, int], None]

_SOME = 1 << 17  # numbers sorted at a time: they and their scratch stay in a core's cache
_MOST_PARTS = 11  # bits: more places to write to at once would miss every cache


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of records with at least one edge, sorted by (a, b).

    Attributes:
        a: (m,) i4, smaller record number.
        b: (m,) i4, larger record number.
        c: (m,) i4, number of edges.
        s: (m,) i4, sum of their levels (1 to 4): integers, so that nothing depends on the order of a sum.
    """

    a: I32
    b: I32
    c: I32
    s: I32

    def __len__(self) -> int:
        return len(self.a)

    def part(self, chosen: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Pairs:
        """Some of them; of a slice, nothing is copied."""
        return Pairs(self.a[chosen], self.b[chosen], self.c[chosen], self.s[chosen])

    @property
    def p(self) -> NDArray[np.float64]:
        """(m,) mean of the midpoints 0.05, 0.15, 0.25, 0.35 of the levels."""
        return 0.1 * (self.s / self.c) - 0.05


def aggregate(edges: NDArray[np.void], index: RefIndex) -> Pairs:
    """Count edges and add up levels per pair of records; edges of unknown refs are dropped.

    Args:
        edges: (m,) EDGE.
        index: refs of all live records.

    Raises:
        MatchInputError: a level that is none.
    """
    return add_up(resolve([(len(edges), lambda: edges)], index), index.records)


def resolve(
    parts: Sequence[Part], index: RefIndex, threads: int | None = None, progress: Progress | None = None
) -> U64:
    """One number per edge, of its two records and its level: all that is left of edges when refs are no longer needed.

    Args:
        parts: number of edges of each, and how to get at them; called in several threads.
        index: refs of all live records.
        threads: by default as many as there are processors.
        progress: called with (edges done, edges) after every part; may raise to cancel.

    Raises:
        MatchInputError: a level that is none, or a part that has not as many edges as it should have.
    """
    from linkage.kernels.edges import EDGE_BYTES
    from linkage.kernels.pairs import edge_keys

    starts = np.concatenate(([0], np.cumsum([n for n, _ in parts]))).astype(np.int64).tolist()
    keys = np.empty(starts[-1], np.uint64)

    def look(at: int) -> int:
        n, get = parts[at]
        raw = np.ascontiguousarray(get()).view(np.uint8).reshape(-1)
        if len(raw) != n * EDGE_BYTES:
            raise MatchInputError("a part has not as many edges as it should have")
        if not raw.flags.writeable:
            raw = raw.copy()  # compiled loops take what can be written
        place = keys[starts[at] : starts[at + 1]]
        found: int = edge_keys(raw, n, index.records, index.bits, index.starts, index.halves, index.record, place)
        if found < 0:
            raise MatchInputError("an edge has a level that is none")
        return found

    kept = 0
    for at, found in enumerate(each(look, range(len(parts)), threads or cores())):
        keys[kept : kept + found] = keys[starts[at] : starts[at] + found]
        kept += found
        if progress is not None:
            progress(starts[at + 1], starts[-1])
    return keys[:kept]


def add_up(keys: U64, records: int, threads: int | None = None) -> Pairs:
    """Pairs of records out of what `resolve` left, which is spoilt. Memory: the numbers, and 16 bytes a pair.

    Args:
        keys: one number per edge.
        records: number of records.
        threads: by default as many as there are processors.
    """
    from linkage.kernels.pairs import count_pairs, fill_pairs
    from linkage.kernels.radix import part_numbers, sort_numbers

    bits = (4 * max(records, 1) ** 2).bit_length()
    first = min(_MOST_PARTS, bits - 2, (len(keys) // _SOME).bit_length())  # edges of one pair stay in one part
    bounds = part_numbers(keys, bits, first).tolist()
    parts = [keys[begin:end] for begin, end in pairwise(bounds) if end > begin]

    def sort(part: U64) -> int:
        part[:] = sort_numbers(part, bits - first)
        return int(count_pairs(part))

    threads = threads or cores()
    ends = np.cumsum([0, *each(sort, parts, threads)]).tolist()
    pairs = Pairs(*(np.empty(ends[-1], np.int32) for _ in range(4)))

    def fill(at: int) -> None:
        a, b, c, s = (column[ends[at] : ends[at + 1]] for column in (pairs.a, pairs.b, pairs.c, pairs.s))
        fill_pairs(parts[at], max(records, 1), a, b, c, s)

    for _ in each(fill, range(len(parts)), threads):
        pass
    return pairs
