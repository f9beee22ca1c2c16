"""Edges as bytes: written from rows, and sorted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled
from linkage.kernels.cut import big

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

EDGE_BYTES = 33  # two refs of 16, the smaller one first; level
_SOME = 2048  # edges sorted inside a core's cache


@compiled("void(u1[::1], u8, u8)", inline="always")
def _put(raw: U8, at: Any, x: Any) -> None:
    """A number as eight bytes, big-endian."""
    for k in range(8):
        raw[at + np.uint64(k)] = np.uint8((x >> np.uint64(56 - 8 * k)) & np.uint64(255))


@compiled("void(u8[:,::1], i8[::1], i8[::1], u1[::1], u1[::1])")
def write_edges(words: U64, first: I64, second: I64, level: U8, raw: U8) -> None:
    """EDGE of each pair of rows, the smaller ref first.

    Args:
        words: (n, 8) u8, rows as `linkage.words` packs them; the last two are the ref.
        first: (m,) i8, a row of each edge.
        second: (m,) i8, the other row.
        level: (m,) u1.
        raw: (33 m,) u1, filled.
    """
    for e in range(len(level)):
        i, j = first[e], second[e]
        if words[i, 6] > words[j, 6] or (words[i, 6] == words[j, 6] and words[i, 7] > words[j, 7]):
            i, j = j, i
        at = np.uint64(e * EDGE_BYTES)
        _put(raw, at, words[i, 6])
        _put(raw, at + np.uint64(8), words[i, 7])
        _put(raw, at + np.uint64(16), words[j, 6])
        _put(raw, at + np.uint64(24), words[j, 7])
        raw[at + np.uint64(32)] = level[e]


@compiled("b1(u1[::1], i8, i8)")
def _after(raw: U8, i: int, j: int) -> bool:
    """Whether edge i stands behind edge j when both begin with the same eight bytes."""
    for k in range(8, EDGE_BYTES):
        x, y = raw[i * EDGE_BYTES + k], raw[j * EDGE_BYTES + k]
        if x != y:
            return bool(x > y)
    return False


@compiled("void(u1[::1], i8, u1[::1], i8)", inline="always")
def _copy(raw: U8, i: Any, out: U8, j: Any) -> None:
    """Edge i of `raw` as edge j of `out`."""
    for byte in range(EDGE_BYTES):
        out[j * EDGE_BYTES + byte] = raw[i * EDGE_BYTES + byte]


@compiled("i8(u8, u8, i8)")
def _shift(low: Any, high: Any, slots: int) -> int:
    """How far to shift numbers from 0 to high - low, so that they are below `slots`."""
    shift = 0
    while (high - low) >> np.uint64(shift) >= np.uint64(slots):
        shift += 1
    return shift


@compiled("b1(u1[::1], i8, i8, i8, u1[::1])")
def _sort_some(raw: U8, begin: int, end: int, most: int, out: U8) -> bool:
    """Sort the edges begin..end-1 into the same places of `out`: by their first bits, and then by comparing."""
    m = end - begin
    keys = np.empty(m, np.uint64)
    for i in range(m):
        keys[i] = big(raw, np.uint64((begin + i) * EDGE_BYTES))
    low = keys.min()
    shift = np.uint64(_shift(low, keys.max(), m))
    ends = np.zeros(m + 1, np.int64)
    for i in range(m):
        ends[np.int64((keys[i] - low) >> shift) + 1] += 1
    for k in range(m):
        if ends[k + 1] > most:
            return False
        ends[k + 1] += ends[k]
    order = np.empty(m, np.int64)
    for i in range(m):
        place = np.int64((keys[i] - low) >> shift)
        order[ends[place]] = i
        ends[place] += 1
    first = 0
    for slot in range(m):
        for k in range(first + 1, ends[slot]):
            edge = order[k]
            key = keys[edge]
            at = k - 1
            while at >= first and (
                keys[order[at]] > key or (keys[order[at]] == key and _after(raw, begin + order[at], begin + edge))
            ):
                order[at + 1] = order[at]
                at -= 1
            order[at + 1] = edge
        first = ends[slot]
    for k in range(m):
        _copy(raw, begin + order[k], out, begin + k)
    return True


@compiled("b1(u1[::1], i8, u1[::1])")
def sort_edges(raw: U8, most: int, out: U8) -> bool:
    """Edges sorted bytewise: by smaller ref, larger ref, level.

    Args:
        raw: (33 m,) u1.
        most: edges whose smaller refs may begin alike; refs are uniform unless somebody chose them.
        out: (33 m,) u1, filled.

    Returns:
        False if too many begin alike; then nothing is sorted.
    """
    m = len(raw) // EDGE_BYTES
    if m < 2 * _SOME:
        return m == 0 or _sort_some(raw, 0, m, most, out)
    low, high = np.uint64(2**64 - 1), np.uint64(0)
    for i in range(m):
        key = big(raw, np.uint64(i * EDGE_BYTES))
        low, high = min(low, key), max(high, key)
    parts = m // _SOME
    shift = np.uint64(_shift(low, high, parts))
    ends = np.zeros(parts + 1, np.int64)
    for i in range(m):
        ends[np.int64((big(raw, np.uint64(i * EDGE_BYTES)) - low) >> shift) + 1] += 1
    for part in range(parts):
        ends[part + 1] += ends[part]
    apart = np.empty_like(raw)
    for i in range(m):
        place = np.int64((big(raw, np.uint64(i * EDGE_BYTES)) - low) >> shift)
        _copy(raw, i, apart, ends[place])
        ends[place] += 1
    first = 0
    for part in range(parts):
        if ends[part] > first and not _sort_some(apart, first, ends[part], most, out):
            return False
        first = ends[part]
    return True


@compiled("b1(u1[::1])")
def ascend(raw: U8) -> bool:
    """Whether the edges in (33 m,) u1 are sorted bytewise; equal ones may follow each other."""
    for at in range(EDGE_BYTES, len(raw), EDGE_BYTES):
        for k in range(at, at + EDGE_BYTES):
            before, here = raw[k - EDGE_BYTES], raw[k]
            if before != here:
                if before > here:
                    return False
                break
    return True
