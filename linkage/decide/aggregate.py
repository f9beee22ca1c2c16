"""From edges between refs to pairs of records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.rows import as_words, sort_order

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_PER_PREFIX = 4  # refs, on average: one look-up touches one or two cache lines
_EDGES = 1 << 16  # handled at a time
_MOST_PER_PREFIX = 64  # above, somebody chose the refs, and the table is sorted in another way


@dataclass(frozen=True, slots=True)
class RefIndex:
    """Which record each ref belongs to.

    Attributes:
        high: (k,) u8, first halves of the refs, ascending.
        low: (k,) u8, second halves.
        record: (k,) i4, record of each.
        starts: (2**b + 1,) i8, where the refs of each prefix of b bits start, and the end.
        records: number of records.
    """

    high: U64
    low: U64
    record: I32
    starts: I64
    records: int

    @classmethod
    def build(cls, refs: U8) -> RefIndex:
        """From (n, P, 16) u1; record i has the refs `refs[i]`."""
        from linkage.kernels.refs import sort_refs

        n, passes, _ = refs.shape
        flat = np.ascontiguousarray(refs).reshape(-1, 16)
        size = len(flat)
        prefixes = 1 << max(1, (size // _PER_PREFIX).bit_length())
        starts = np.zeros(prefixes + 1, np.int64)
        high, low, record = np.empty(size, np.uint64), np.empty(size, np.uint64), np.empty(size, np.int32)
        words = flat.view(np.uint64)
        if not sort_refs(words, max(passes, 1), _MOST_PER_PREFIX, starts, high, low, record):
            order = sort_order(flat)
            high, low = as_words(flat)
            high, low, record = high[order], low[order], (order // max(passes, 1)).astype(np.int32)
            shift = np.uint64(65 - prefixes.bit_length())
            counts = np.bincount((high >> shift).astype(np.int64), minlength=prefixes)
            starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return cls(high, low, record, starts, n)

    @property
    def repeated(self) -> int:
        """How many refs occur more than once; a ref belongs to one record."""
        return int(((self.high[1:] == self.high[:-1]) & (self.low[1:] == self.low[:-1])).sum())

    def find(self, refs: U8) -> I64:
        """(m,) i8: record of each of (m, 16) u1, -1 where the ref is unknown (retired, for example)."""
        from linkage.kernels.refs import find_refs

        words = np.ascontiguousarray(refs).reshape(-1, 16).view(np.uint64)
        found = np.empty(len(words), np.int64)
        find_refs(words, self.starts, self.high, self.low, self.record, found)
        return found


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

    @property
    def p(self) -> NDArray[np.float64]:
        """(m,) mean of the midpoints 0.05, 0.15, 0.25, 0.35 of the levels."""
        return 0.1 * (self.s / self.c) - 0.05


def aggregate(edges: NDArray[np.void], index: RefIndex) -> Pairs:
    """Count edges and add up levels per pair of records; edges of unknown refs are dropped.

    Args:
        edges: (m,) EDGE.
        index: refs of all live records.
    """
    key, level = np.empty(len(edges), np.int64), np.empty(len(edges), np.int64)
    size = 0
    for start in range(0, len(edges), _EDGES):  # in parts that stay in a processor's cache
        part = edges[start : start + _EDGES]
        first, second = index.find(part["lo"]), index.find(part["hi"])
        known = (first >= 0) & (second >= 0) & (first != second)
        first, second = first[known], second[known]
        end = size + len(first)
        key[size:end] = np.minimum(first, second) * index.records + np.maximum(first, second)
        level[size:end] = part["level"][known]
        size = end
    key, level = key[:size], level[:size]
    order = np.argsort(key)
    key, level = key[order], level[order]
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if len(key) else np.empty(0, np.int64)
    total = np.add.reduceat(level, starts) if len(key) else level
    count = np.diff(np.concatenate((starts, [len(key)])))
    pair = key[starts]
    divisor = max(index.records, 1)
    return Pairs(
        (pair // divisor).astype(np.int32),
        (pair % divisor).astype(np.int32),
        count.astype(np.int32),
        total.astype(np.int32),
    )
