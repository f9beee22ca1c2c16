"""The comparator's inner loops: rows of equal tokens together, and Hamming distances between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

_FIRST = 1024  # edges for which there is room to start with


@compiled("i8(u8)", inline="always")
def _popcount(x: Any) -> Any:
    """Bits set in 64; the constants are uint64 throughout, else numba widens to float."""
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled("i8(u8[:,::1], i8, i8[::1], i8[::1])")
def group_rows(words: U64, most: int, order: I64, starts: I64) -> int:
    """Put rows in an order in which those with equal first halves of their tokens stand together.

    Tokens are uniform unless somebody chose them, so their next bits say nearly where each row belongs.

    Args:
        words: (n, at least 8) u8, rows as `linkage.words` packs them.
        most: rows that may fall together by these bits; more are somebody's choice.
        order: (n,) i8, filled with row numbers.
        starts: (n + 1,) i8, filled with where in `order` each run of equal first halves starts, and the end.

    Returns:
        the number of runs, or -1 if too many rows fall together.
    """
    n = words.shape[0]
    tokens = words[:, 0].copy()
    low, high = np.uint64(2**64 - 1), np.uint64(0)
    for i in range(n):
        low, high = min(low, tokens[i]), max(high, tokens[i])
    shift = np.uint64(0)
    while n and (high - low) >> shift >= np.uint64(max(n, 2)):
        shift += np.uint64(1)
    ends = np.zeros(max(n, 2) + 1, np.int64)
    for i in range(n):
        ends[np.int64((tokens[i] - low) >> shift) + 1] += 1
    for k in range(ends.shape[0] - 1):
        if ends[k + 1] > most:
            return -1
        ends[k + 1] += ends[k]
    for i in range(n):
        place = np.int64((tokens[i] - low) >> shift)
        order[ends[place]] = i
        ends[place] += 1
    runs = 0
    first = 0
    for slot in range(ends.shape[0] - 1):
        end = ends[slot]
        for k in range(first + 1, end):
            row = order[k]
            token = tokens[row]
            at = k - 1
            while at >= first and tokens[order[at]] > token:
                order[at + 1] = order[at]
                at -= 1
            order[at + 1] = row
        for k in range(first, end):
            if k == first or tokens[order[k]] != tokens[order[k - 1]]:
                starts[runs] = k
                runs += 1
        first = end
    starts[runs] = n
    return runs


@compiled("b1(u8[:,::1], i8, i8)")
def _behind(entries: U64, i: int, j: int) -> bool:
    """Whether entry i stands behind entry j, whose token begins alike: by the rest of the token, then by ref."""
    for word in (1, 6, 7):
        if entries[i, word] != entries[j, word]:
            return bool(entries[i, word] > entries[j, word])
    return False


@compiled("void(u8[:,::1], i8[::1], i8[::1])")
def order_runs(entries: U64, order: I64, starts: I64) -> None:
    """Put each run of `group_rows` in order: by token, then by ref.

    Args:
        entries: (n, at least 8) u8, packed rows.
        order: (n,) i8 of `group_rows`, changed.
        starts: (runs + 1,) i8 of `group_rows`.
    """
    for run in range(starts.shape[0] - 1):
        for k in range(starts[run] + 1, starts[run + 1]):
            entry = order[k]
            at = k - 1
            while at >= starts[run] and _behind(entries, order[at], entry):
                order[at + 1] = order[at]
                at -= 1
            order[at + 1] = entry


@compiled("Tuple((i8[::1], i8[::1], u1[::1]))(i8[::1], i8[::1], u8[:,::1], i8[::1], i8[::1], i8, i8, i8[::1], i8[::1])")
def scan_blocks(
    starts: I64,
    order: I64,
    words: U64,
    source: I64,
    levels: I64,
    cap: int,
    budget: int,
    over_cap: I64,
    tally: I64,
) -> tuple[I64, I64, U8]:
    """The edges of one pass, or of some of its tokens.

    Args:
        starts: (k + 1,) i8, where in `order` each run of rows with equal `words[:, 0]` starts, and the end.
        order: (m,) i8, rows sorted by the first half of their token.
        words: (m, 8) u8, rows as `linkage.words` packs them; one row is one cache line.
        source: (m,) i8, number of the source of each row.
        levels: (4,) i8, ascending upper bounds on differing bits.
        cap: rows one source may have in a block; a source with more takes no part in that block.
        budget: pairs of rows, of whatever source, that a block may have; a block with more is left out.
        over_cap: (sources,) i8, rows left out by the cap, added to.
        tally: (3,) i8: pairs compared, blocks over budget, rows in the largest block; added to.

    Returns:
        two row numbers of each edge, and its level, 1 (closest) to 4.
    """
    edges = 0
    first, second, level = np.empty(_FIRST, np.int64), np.empty(_FIRST, np.int64), np.empty(_FIRST, np.uint8)
    seen = np.zeros(over_cap.shape[0], np.int64)
    chosen = np.empty(order.shape[0], np.int64)
    for run in range(starts.shape[0] - 1):
        lo, hi = starts[run], starts[run + 1]
        if hi - lo < 2:
            continue
        for k in range(lo, hi):
            seen[source[order[k]]] += 1
        # Only rows that take part are gone through in pairs: a source over its cap costs no more than its own rows.
        rows = 0
        squares = 0
        for k in range(lo, hi):
            of = source[order[k]]
            if seen[of] <= cap:
                chosen[rows] = order[k]
                rows += 1
                squares += seen[of]
            else:
                over_cap[of] += 1
        for k in range(lo, hi):
            seen[source[order[k]]] = 0
        pairs = (rows * rows - squares) // 2
        work = rows * (rows - 1) // 2  # the loop below visits pairs within a source too, if only to skip them
        tally[2] = max(tally[2], hi - lo)
        if work > budget:
            tally[1] += 1
            continue
        if pairs == 0:
            continue
        tally[0] += pairs
        for k in range(rows - 1):
            i = chosen[k]
            for other in range(k + 1, rows):
                j = chosen[other]
                if source[j] == source[i] or words[i, 1] != words[j, 1]:
                    continue
                d = (
                    _popcount(words[i, 2] ^ words[j, 2])
                    + _popcount(words[i, 3] ^ words[j, 3])
                    + _popcount(words[i, 4] ^ words[j, 4])
                    + _popcount(words[i, 5] ^ words[j, 5])
                )
                if d <= levels[3]:
                    if edges == len(first):
                        first = np.concatenate((first, np.empty_like(first)))
                        second = np.concatenate((second, np.empty_like(second)))
                        level = np.concatenate((level, np.empty_like(level)))
                    step = 1
                    while d > levels[step - 1]:
                        step += 1
                    first[edges], second[edges], level[edges] = i, j, step
                    edges += 1
    return first[:edges].copy(), second[:edges].copy(), level[:edges].copy()
