"""From edges to pairs of records: one number per edge, sorted, and counted where it is the same pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled
from linkage.kernels.cut import big
from linkage.kernels.edges import EDGE_BYTES
from linkage.kernels.refs import AHEAD, records_of

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@compiled("i8(u1[::1], i8, i8, i8, u4[::1], u8[:,::1], i4[::1], u8[::1])")
def edge_keys(raw: U8, n: int, records: int, bits: int, starts: U32, halves: U64, record: I32, keys: U64) -> int:
    """(smaller record * records + larger record) * 4 + level - 1 of every edge between two records that are there.

    Args:
        raw: 33 n bytes of edges.
        n: edges.
        records: their number.
        bits: of an entrance.
        starts: (2**bits + 1,) u4, entrances of the refs.
        halves: (N, 2) u8, refs.
        record: (N,) i4, their records.
        keys: (n,) u8, filled from the front.

    Returns:
        how many there are, or -1 if a level is not 1 to 4.
    """
    asked = np.empty((AHEAD, 2), np.uint64)
    found, place = np.empty(AHEAD, np.int64), np.empty(AHEAD, np.int64)
    known = 0
    for begin in range(0, n, AHEAD // 2):
        here = min(AHEAD // 2, n - begin)
        for i in range(2 * here):
            at = np.uint64((begin + i // 2) * EDGE_BYTES + i % 2 * 16)
            asked[i, 0], asked[i, 1] = big(raw, at), big(raw, at + np.uint64(8))
        records_of(asked, 2 * here, bits, starts, halves, record, found, place)
        for i in range(here):
            level = np.int64(raw[(begin + i) * EDGE_BYTES + 32])
            if level < 1 or level > 4:
                return -1
            a, b = found[2 * i], found[2 * i + 1]
            if a >= 0 and b >= 0 and a != b:
                keys[known] = np.uint64((min(a, b) * records + max(a, b)) * 4 + level - 1)
                known += 1
    return known


@compiled("i8(u8[::1])")
def count_pairs(keys: U64) -> int:
    """Pairs of records among sorted keys."""
    pairs = 0
    for i in range(keys.shape[0]):
        if i == 0 or keys[i] >> np.uint64(2) != keys[i - 1] >> np.uint64(2):
            pairs += 1
    return pairs


@compiled("void(u8[::1], i8, i4[::1], i4[::1], i4[::1], i4[::1])")
def fill_pairs(keys: U64, records: int, a: I32, b: I32, c: I32, s: I32) -> None:
    """Write the pairs of sorted keys.

    Args:
        keys: sorted.
        records: number of records, above 0.
        a: (pairs,) i4, smaller record, filled.
        b: larger record.
        c: edges.
        s: sum of their levels.
    """
    at = -1
    for i in range(keys.shape[0]):
        pair = keys[i] >> np.uint64(2)
        if i == 0 or pair != keys[i - 1] >> np.uint64(2):
            at += 1
            a[at] = pair // np.uint64(records)
            b[at] = pair % np.uint64(records)
            c[at] = 0
            s[at] = 0
        c[at] += 1
        s[at] += np.int32(keys[i] & np.uint64(3)) + 1


@compiled("void(i4[::1], i4[::1], i8, i8, i8[::1])")
def fill_cells(c: I32, s: I32, passes: int, bins: int, cell: I64) -> None:
    """The cell of each pair: row by its edges, at most `passes` of them, column by their mean level.

    Args:
        c: (m,) i4, edges, at least 1.
        s: (m,) i4, sum of their levels, at least c.
        passes: rows.
        bins: columns; a level is four columns wide.
        cell: (m,) i8, filled.
    """
    for i in range(c.shape[0]):
        edges, levels = int(c[i]), int(s[i])
        cell[i] = (min(edges, passes) - 1) * bins + min(4 * (levels - edges) // edges, bins - 1)
