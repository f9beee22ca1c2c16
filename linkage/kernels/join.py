"""The comparator's inner loop: Hamming distances inside blocks of equal tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


@compiled("i8(u8)", inline="always")
def _popcount(x: Any) -> Any:
    """Bits set in 64; the constants are uint64 throughout, else numba widens to float."""
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled(
    "i8(i8[::1], u8[:,::1], u8[:,::1], i8[::1], i8[::1], i8, i8, b1, i8[::1], i8[::1], u1[::1], i8[::1], i8[::1])",
)
def scan_blocks(
    starts: I64,
    token: U64,
    bits: U64,
    source: I64,
    levels: I64,
    cap: int,
    budget: int,
    fill: bool,
    first: I64,
    second: I64,
    level: NDArray[np.uint8],
    over_cap: I64,
    tally: I64,
) -> int:
    """Count, or write, the edges of one pass.

    Args:
        starts: (k + 1,) i8, where each run of rows with equal `token[:, 0]` starts, and the end.
        token: (m, 2) u8, both halves of each row's token, sorted by the first half.
        bits: (m, 4) u8, filters in the same order.
        source: (m,) i8, number of the source.
        levels: (4,) i8, ascending upper bounds on differing bits.
        cap: rows one source may have in a block; a source with more takes no part in that block.
        budget: pairs of rows, of whatever source, that a block may have; a block with more is left out.
        fill: write into `first`, `second`, `level` (of the size that a run without `fill` returned), else only count.
        first: row numbers, filled.
        second: row numbers, filled.
        level: 1 (closest) to 4, filled.
        over_cap: (sources,) i8, rows left out by the cap, added to when counting.
        tally: (3,) i8: pairs compared, blocks over budget, rows in the largest block; added to when counting.

    Returns:
        the number of edges.
    """
    edges = 0
    seen = np.zeros(over_cap.shape[0], np.int64)
    for k in range(starts.shape[0] - 1):
        lo, hi = starts[k], starts[k + 1]
        if hi - lo < 2:
            continue
        for i in range(lo, hi):
            seen[source[i]] += 1
        rows = 0
        squares = 0
        for i in range(lo, hi):
            if seen[source[i]] <= cap:
                rows += 1
                squares += seen[source[i]]
        pairs = (rows * rows - squares) // 2
        work = rows * (rows - 1) // 2  # the loop below visits pairs within a source too, if only to skip them
        if not fill:
            tally[2] = max(tally[2], hi - lo)
            for i in range(lo, hi):
                if seen[source[i]] > cap:
                    over_cap[source[i]] += 1
            if work > budget:
                tally[1] += 1
        if pairs > 0 and work <= budget:
            if not fill:
                tally[0] += pairs
            for i in range(lo, hi - 1):
                if seen[source[i]] > cap:
                    continue
                for j in range(i + 1, hi):
                    if source[j] == source[i] or seen[source[j]] > cap or token[i, 1] != token[j, 1]:
                        continue
                    d = (
                        _popcount(bits[i, 0] ^ bits[j, 0])
                        + _popcount(bits[i, 1] ^ bits[j, 1])
                        + _popcount(bits[i, 2] ^ bits[j, 2])
                        + _popcount(bits[i, 3] ^ bits[j, 3])
                    )
                    if d <= levels[3]:
                        if fill:
                            first[edges] = i
                            second[edges] = j
                            step = 1
                            while d > levels[step - 1]:
                                step += 1
                            level[edges] = step
                        edges += 1
        for i in range(lo, hi):
            seen[source[i]] = 0
    return edges
