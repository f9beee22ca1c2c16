"""Keys of 16 bytes, as two numbers each: sorted, and looked for many at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]


@dataclass(frozen=True)
class Keys:
    """Keys to look for, sorted by their first halves.

    Attributes:
        first: (k,) first halves as numbers.
        second: (k,) the other halves.
        alike: whether two keys have the same first half, which by chance happens never.
    """

    first: U64
    second: U64
    alike: bool

    @classmethod
    def of(cls, keys: U8) -> Keys:
        """Of (k, 16) u1 in any order; repetitions fall away."""
        halves = halves_of(keys)
        order = order_of(*halves)
        first, second = halves[0][order], halves[1][order]
        once = np.ones(len(first), np.bool_)
        once[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        first, second = first[once], second[once]
        return cls(first, second, bool((first[1:] == first[:-1]).any()))

    def places(self, asked: U8) -> NDArray[np.int64]:
        """(n,) which of the keys each of (n, 16) u1 is; -1: none."""
        found = np.full(len(asked), -1, np.int64)
        if not len(asked) or not len(self.first):
            return found
        high, low = halves_of(asked)
        start, end = np.searchsorted(self.first, high.min()), np.searchsorted(self.first, high.max(), "right")
        first, second = self.first[start:end], self.second[start:end]
        if not len(first):
            return found
        at = np.minimum(np.searchsorted(first, high), len(first) - 1)
        near = first[at] == high
        if not self.alike:
            return np.where(near & (second[at] == low), at + start, -1)
        known = {key: n for n, key in enumerate(zip(first.tolist(), second.tolist(), strict=True))}
        for n in np.flatnonzero(near).tolist():
            found[n] = known.get((int(high[n]), int(low[n])), -1 - start) + start
        return found

    def among(self, asked: U8) -> NDArray[np.bool_]:
        """Which of (n, 16) u1 are among these keys."""
        return self.places(asked) >= 0

    def those(self, chosen: NDArray[np.bool_]) -> Keys:
        """Some of these keys, by (k,) whether each is."""
        return Keys(self.first[chosen], self.second[chosen], self.alike)


def order_of(first: U64, second: U64) -> NDArray[np.int64]:
    """Indices that sort keys given by halves. Equal first halves do not happen by chance, but nothing rests on that."""
    order = np.argsort(first)
    ordered = first[order]
    return np.lexsort((second, first)) if bool((ordered[1:] == ordered[:-1]).any()) else order


def halves_of(keys: U8) -> tuple[U64, U64]:
    """(n, 16) u1 → its two halves as numbers, whose order is the order of the bytes."""
    words = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2).astype(np.uint64)
    return np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])
