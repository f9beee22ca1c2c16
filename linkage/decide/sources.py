"""Which pairs of records are of which two sources; of hundreds of millions of pairs, some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from linkage.decide.aggregate import Pairs

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_AT_ONCE = 1 << 20  # pairs


def slices(pairs: int) -> Iterator[slice]:
    """So many pairs, a million at a time."""
    for begin in range(0, pairs, _AT_ONCE):
        yield slice(begin, min(begin + _AT_ONCE, pairs))


def pair_of_sources(pairs: Pairs, sources: I32, count: int) -> I32:
    """(m,) i4: smaller number of the two sources times their count, plus the larger."""
    key = np.empty(len(pairs), np.int32)
    for some in slices(len(pairs)):
        x, y = sources[pairs.a[some]], sources[pairs.b[some]]
        key[some] = np.minimum(x, y) * np.int32(count) + np.maximum(x, y)
    return key


def blocks(pairs: Pairs, sources: I32) -> list[slice]:
    """Slices of the pairs such that all pairs of two sources are in one slice, those of smaller sources first.

    Where records are numbered source by source, as in a bulk run, pairs with the same first source stand together.
    """
    if (sources[1:] < sources[:-1]).any():
        return [slice(0, len(pairs))]
    firsts = np.flatnonzero(sources[1:] != sources[:-1]) + 1
    bounds = [0, *np.searchsorted(pairs.a, firsts.astype(np.int32)).tolist(), len(pairs)]
    return [slice(begin, end) for begin, end in pairwise(bounds) if end > begin]


def of_two(pairs: Pairs, block: slice, sources: I32, count: int) -> list[tuple[tuple[int, int], I64 | slice]]:
    """(sources, positions among all pairs) for every two sources that have pairs in a block, ascending."""
    key = pair_of_sources(pairs.part(block), sources, count)
    if not len(key):
        return []
    sizes = np.bincount(key)
    names = np.flatnonzero(sizes)
    if len(names) == 1:
        return [((int(names[0]) // count, int(names[0]) % count), block)]
    # Numbers of 16 bits are sorted digit by digit.
    order = np.argsort(key.astype(np.uint16) if count <= 256 else key, kind="stable")
    order += block.start
    groups = np.split(order, np.cumsum(sizes[names])[:-1])
    return [((int(k) // count, int(k) % count), g) for k, g in zip(names, groups, strict=True)]
