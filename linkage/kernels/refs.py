"""Which record a ref belongs to: a table sorted by ref, with an entrance per prefix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]


@compiled("u8(u8)", inline="always")
def _swapped(x: Any) -> Any:
    """The eight bytes of a number in the other order (one instruction once compiled)."""
    m1, m2 = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
    x = ((x >> np.uint64(8)) & m1) | ((x & m1) << np.uint64(8))
    x = ((x >> np.uint64(16)) & m2) | ((x & m2) << np.uint64(16))
    return (x >> np.uint64(32)) | (x << np.uint64(32))


@compiled("b1(u8[:,::1], i8, i8, i8[::1], u8[::1], u8[::1], i4[::1])")
def sort_refs(refs: U64, passes: int, most: int, starts: I64, high: U64, low: U64, record: I32) -> bool:
    """Sort refs by their prefixes, and inside a prefix by comparing.

    Args:
        refs: (n, 2) u8, refs as they lie in memory (big-endian).
        passes: refs per record: ref i belongs to record i // passes.
        most: refs one prefix may have; refs are uniform unless somebody chose them.
        starts: (2**b + 1,) i8, zeros on entry; where each prefix of b bits starts, and the end.
        high: (n,) u8, first halves in order, filled.
        low: (n,) u8, second halves, filled.
        record: (n,) i4, filled.

    Returns:
        False if a prefix has more than `most` refs; then nothing is sorted.
    """
    n = refs.shape[0]
    shift = np.uint64(64)
    size = starts.shape[0] - 1
    while size > 1:
        size //= 2
        shift -= np.uint64(1)
    for i in range(n):
        starts[np.int64(_swapped(refs[i, 0]) >> shift) + 1] += 1
    for k in range(1, starts.shape[0]):
        if starts[k] > most:
            return False
        starts[k] += starts[k - 1]
    # Fill every prefix from its end, so that what remains in `starts` are the starts, shifted by one.
    for i in range(n):
        h = _swapped(refs[i, 0])
        prefix = np.int64(h >> shift) + 1
        starts[prefix] -= 1
        at = starts[prefix]
        high[at] = h
        low[at] = _swapped(refs[i, 1])
        record[at] = i // passes
    for k in range(starts.shape[0] - 1):
        starts[k] = starts[k + 1]
    starts[starts.shape[0] - 1] = n
    for k in range(starts.shape[0] - 1):
        for i in range(starts[k] + 1, starts[k + 1]):
            h, v, r = high[i], low[i], record[i]
            j = i - 1
            while j >= starts[k] and (high[j] > h or (high[j] == h and low[j] > v)):
                high[j + 1], low[j + 1], record[j + 1] = high[j], low[j], record[j]
                j -= 1
            high[j + 1], low[j + 1], record[j + 1] = h, v, r
    return True


@compiled("void(u8[:,::1], i8[::1], u8[::1], u8[::1], i4[::1], i8[::1])")
def find_refs(refs: U64, starts: I64, high: U64, low: U64, record: I32, found: I64) -> None:
    """The record of each ref, or -1.

    Args:
        refs: (m, 2) u8, as they lie in memory (big-endian).
        starts: (2**b + 1,) i8, where each prefix of b bits starts.
        high: (n,) u8, first halves, sorted.
        low: (n,) u8, second halves.
        record: (n,) i4.
        found: (m,) i8, filled.
    """
    shift = np.uint64(64)
    size = starts.shape[0] - 1
    while size > 1:
        size //= 2
        shift -= np.uint64(1)
    for i in range(refs.shape[0]):
        h, v = _swapped(refs[i, 0]), _swapped(refs[i, 1])
        k = np.int64(h >> shift)
        first, end = starts[k], starts[k + 1]
        last = end
        while first < last:
            middle = (first + last) // 2
            if high[middle] < h or (high[middle] == h and low[middle] < v):
                first = middle + 1
            else:
                last = middle
        found[i] = record[first] if first < end and high[first] == h and low[first] == v else -1
