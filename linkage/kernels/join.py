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
    "i8(i8[::1], i8[::1], u8[:,::1], i8[::1], i8[::1], i8, i8, b1, i8[::1], i8[::1], u1[::1], i8[::1], i8[::1])",
)
def scan_blocks(
    starts: I64,
    order: I64,
    words: U64,
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
        starts: (k + 1,) i8, where in `order` each run of rows with equal `words[:, 0]` starts, and the end.
        order: (m,) i8, rows sorted by the first half of their token.
        words: (m, 8) u8, rows as `linkage.words` packs them; one row is one cache line.
        source: (m,) i8, number of the source of each row.
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
    for run in range(starts.shape[0] - 1):
        lo, hi = starts[run], starts[run + 1]
        if hi - lo < 2:
            continue
        for k in range(lo, hi):
            seen[source[order[k]]] += 1
        rows = 0
        squares = 0
        for k in range(lo, hi):
            if seen[source[order[k]]] <= cap:
                rows += 1
                squares += seen[source[order[k]]]
        pairs = (rows * rows - squares) // 2
        work = rows * (rows - 1) // 2  # the loop below visits pairs within a source too, if only to skip them
        if not fill:
            tally[2] = max(tally[2], hi - lo)
            for k in range(lo, hi):
                if seen[source[order[k]]] > cap:
                    over_cap[source[order[k]]] += 1
            if work > budget:
                tally[1] += 1
        if pairs > 0 and work <= budget:
            if not fill:
                tally[0] += pairs
            for k in range(lo, hi - 1):
                i = order[k]
                if seen[source[i]] > cap:
                    continue
                for other in range(k + 1, hi):
                    j = order[other]
                    if source[j] == source[i] or seen[source[j]] > cap or words[i, 1] != words[j, 1]:
                        continue
                    d = (
                        _popcount(words[i, 2] ^ words[j, 2])
                        + _popcount(words[i, 3] ^ words[j, 3])
                        + _popcount(words[i, 4] ^ words[j, 4])
                        + _popcount(words[i, 5] ^ words[j, 5])
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
        for k in range(lo, hi):
            seen[source[order[k]]] = 0
    return edges
