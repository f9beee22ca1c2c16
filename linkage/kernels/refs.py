"""Which record a ref belongs to: refs sorted by their first bits part by part, with an entrance per prefix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]


@compiled("u8(u8)", inline="always")
def swapped(x: Any) -> Any:
    """The eight bytes of a number in the other order (one instruction once compiled)."""
    m1, m2 = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
    x = ((x >> np.uint64(8)) & m1) | ((x & m1) << np.uint64(8))
    x = ((x >> np.uint64(16)) & m2) | ((x & m2) << np.uint64(16))
    return (x >> np.uint64(32)) | (x << np.uint64(32))


@compiled("void(u8[:,::1], i8, i8[::1])")
def count_refs(refs: U64, bits: int, counts: I64) -> None:
    """Count refs per part, which is their first bits.

    Args:
        refs: (n, 2) u8, refs as they lie in memory (big-endian).
        bits: of a part, at least 1.
        counts: (2**bits,) i8, added to.
    """
    shift = np.uint64(64 - bits)
    for i in range(refs.shape[0]):
        counts[np.int64(swapped(refs[i, 0]) >> shift)] += 1


@compiled("b1(u8[:,::1], i8, i8, i8, i8[::1], i8[::1], u8[:,::1], i4[::1])")
def spread_refs(refs: U64, passes: int, first: int, bits: int, at: I64, ends: I64, halves: U64, record: I32) -> bool:
    """Put refs into their parts.

    Args:
        refs: (n, 2) u8, as they lie in memory.
        passes: refs per record: ref i belongs to record first + i // passes.
        first: number of the first record.
        bits: of a part.
        at: (2**bits,) i8, where each part goes on; moved on.
        ends: (2**bits,) i8, where each part ends.
        halves: (N, 2) u8, filled with the two halves as numbers.
        record: (N,) i4, filled.

    Returns:
        False if a part is fuller than was counted: what is read now is not what was counted.
    """
    shift = np.uint64(64 - bits)
    for i in range(refs.shape[0]):
        high = swapped(refs[i, 0])
        part = np.int64(high >> shift)
        to = at[part]
        if to >= ends[part]:
            return False
        at[part] = to + 1
        halves[to, 0] = high
        halves[to, 1] = swapped(refs[i, 1])
        record[to] = first + i // passes
    return True


@compiled("i8(i8, i8, i8, i8, i8, u8[:,::1], i4[::1], u4[::1])")
def sort_part(begin: int, end: int, entrance: int, inner: int, most: int, halves: U64, record: I32, starts: U32) -> int:
    """Sort one part by ref, through the prefixes that its entrances stand for.

    Args:
        begin: where the part begins in `halves`.
        end: where it ends.
        entrance: number of its first entrance.
        inner: bits that tell its entrances apart; `starts` has the rest of the bits above them.
        most: refs one entrance may have; refs are uniform unless somebody chose them.
        halves: (N, 2) u8, sorted in place.
        record: (N,) i4, moved along.
        starts: (2**b + 1,) u4, filled for the entrances of the part.

    Returns:
        refs that are there more than once (each further one counts), or -1 if an entrance has more than `most` refs;
        then nothing is sorted.
    """
    n = end - begin
    size = 1 << inner
    outer = 0
    while (starts.shape[0] - 1) >> outer > size:
        outer += 1
    shift = np.uint64(64 - inner - outer)
    mask = np.uint64(size - 1)
    bounds = np.zeros(size + 1, np.int64)
    for i in range(begin, end):
        bounds[np.int64((halves[i, 0] >> shift) & mask) + 1] += 1
    for k in range(size):
        if bounds[k + 1] > most:
            return -1
        bounds[k + 1] += bounds[k]
    for k in range(size):
        starts[entrance + k] = begin + bounds[k]
    bounds += begin
    old, owner = halves[begin:end].copy(), record[begin:end].copy()
    for i in range(n):
        slot = np.int64((old[i, 0] >> shift) & mask)
        to = bounds[slot]
        bounds[slot] += 1
        halves[to, 0], halves[to, 1], record[to] = old[i, 0], old[i, 1], owner[i]
    again = 0
    for k in range(size):
        first = np.int64(starts[entrance + k])
        for i in range(first + 1, bounds[k]):
            h, v, r = halves[i, 0], halves[i, 1], record[i]
            j = i - 1
            while j >= first and (halves[j, 0] > h or (halves[j, 0] == h and halves[j, 1] > v)):
                halves[j + 1, 0], halves[j + 1, 1], record[j + 1] = halves[j, 0], halves[j, 1], record[j]
                j -= 1
            if j >= first and halves[j, 0] == h and halves[j, 1] == v:
                again += 1
            halves[j + 1, 0], halves[j + 1, 1], record[j + 1] = h, v, r
    return again


_SHORT = 8  # refs that are walked through one by one; an entrance has four on average
AHEAD = 256  # refs looked up together: their cache misses overlap instead of following one another


@compiled("void(u8[:,::1], i8, i8, u4[::1], u8[:,::1], i4[::1], i8[::1], i8[::1])")
def records_of(asked: U64, m: int, bits: int, starts: U32, halves: U64, record: I32, found: I64, place: I64) -> None:
    """The record of each ref, or -1.

    Args:
        asked: (at least m, 2) u8, halves of refs.
        m: refs.
        bits: of an entrance.
        starts: (2**bits + 1,) u4, where the refs of each entrance start, and the end.
        halves: (N, 2) u8, sorted.
        record: (N,) i4.
        found: (at least m,) i8, filled.
        place: as long, scratch.
    """
    shift = np.uint64(64 - bits)
    top = halves.shape[0] - 1
    if top < 0:
        found[:m] = -1
        return
    for i in range(m):
        place[i] = starts[np.int64(asked[i, 0] >> shift)]
    for i in range(m):  # nothing waits for these but the memory
        first = min(place[i], top)
        found[i] = np.int64(halves[first, 0] & np.uint64(1)) + record[first]
    for i in range(m):
        h, v = asked[i, 0], asked[i, 1]
        end = np.int64(starts[np.int64(h >> shift) + 1])
        at, last = place[i], end
        while last - at > _SHORT:
            middle = (at + last) // 2
            if halves[middle, 0] < h or (halves[middle, 0] == h and halves[middle, 1] < v):
                at = middle + 1
            else:
                last = middle
        while at < last and (halves[at, 0] < h or (halves[at, 0] == h and halves[at, 1] < v)):
            at += 1
        found[i] = record[at] if at < end and halves[at, 0] == h and halves[at, 1] == v else -1


@compiled("void(u8[:,::1], i8, u4[::1], u8[:,::1], i4[::1], i8[::1])")
def find_refs(refs: U64, bits: int, starts: U32, halves: U64, record: I32, found: I64) -> None:
    """The record of each ref, or -1.

    Args:
        refs: (m, 2) u8, as they lie in memory (big-endian).
        bits: of an entrance.
        starts: (2**bits + 1,) u4, where the refs of each entrance start, and the end.
        halves: (N, 2) u8, sorted.
        record: (N,) i4.
        found: (m,) i8, filled.
    """
    asked, place = np.empty((AHEAD, 2), np.uint64), np.empty(AHEAD, np.int64)
    for begin in range(0, refs.shape[0], AHEAD):
        here = min(AHEAD, refs.shape[0] - begin)
        for i in range(here):
            asked[i, 0], asked[i, 1] = swapped(refs[begin + i, 0]), swapped(refs[begin + i, 1])
        records_of(asked, here, bits, starts, halves, record, found[begin : begin + here], place)
