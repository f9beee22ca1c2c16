"""Greedy one-to-one assignment: along an order of positions, or along sorted numbers that say the pair themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
U64 = NDArray[np.uint64]


@compiled("void(i8[::1], i4[::1], i4[::1], b1[::1], b1[::1])")
def greedy(
    order: I64, a: NDArray[np.int32], b: NDArray[np.int32], used: NDArray[np.bool_], won: NDArray[np.bool_]
) -> None:
    """Walk the pairs in `order`; a pair wins if neither of its records is taken yet.

    Args:
        order: (m,) i8, best pair first.
        a: (m,) i4, record of the one source.
        b: (m,) i4, record of the other source.
        used: (records,) bool, all False on entry; taken records are set.
        won: (m,) bool, filled.
    """
    for k in range(order.shape[0]):
        i = order[k]
        if not used[a[i]] and not used[b[i]]:
            used[a[i]] = True
            used[b[i]] = True
            won[i] = True
        else:
            won[i] = False


@compiled("void(i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i8, i8[::1], i8, u8[::1])")
def pack_ranks(a: I32, b: I32, c: I32, s: I32, grade: I64, span: int, ties: I64, width: int, keys: U64) -> None:
    """One number per pair, ascending from the best pair to the worst: its grade, then the ranks of its two records.

    Args:
        a: (m,) i4, record of the one source.
        b: (m,) i4, record of the other source.
        c: (m,) i4, edges.
        s: (m,) i4, sum of their levels.
        grade: (c, s) i8 as one row after the other, `span` of them each.
        span: above all of `s`.
        ties: (records,) i8, rank of each record.
        width: bits of a rank.
        keys: (m,) u8, filled.
    """
    for i in range(a.shape[0]):
        x, y = ties[a[i]], ties[b[i]]
        keys[i] = np.uint64((((grade[np.int64(c[i]) * span + s[i]] << width) | min(x, y)) << width) | max(x, y))


@compiled("void(u8[::1], i8, i4[::1])")
def first_come(keys: U64, width: int, partner: I32) -> None:
    """Walk the pairs of `pack_ranks` in order; a pair wins if neither of its records is taken yet.

    Args:
        keys: (m,) u8, sorted.
        width: bits of a rank.
        partner: (records,) i4, by rank, -1 on entry; filled with the rank of the partner.
    """
    mask = np.uint64((1 << width) - 1)
    for i in range(keys.shape[0]):
        x, y = np.int64((keys[i] >> np.uint64(width)) & mask), np.int64(keys[i] & mask)
        if partner[x] < 0 and partner[y] < 0:
            partner[x] = y
            partner[y] = x


@compiled("void(i4[::1], i4[::1], i8[::1], i4[::1], b1[::1])")
def partners(a: I32, b: I32, ties: I64, partner: I32, won: NDArray[np.bool_]) -> None:
    """Which pairs are pairs of partners, who are forgotten.

    Args:
        a: (m,) i4, record of the one source.
        b: (m,) i4, record of the other source.
        ties: (records,) i8, rank of each record.
        partner: (records,) i4, by rank; -1 again at the end for the records of the pairs.
        won: (m,) bool, filled.
    """
    for i in range(a.shape[0]):
        won[i] = partner[ties[a[i]]] == ties[b[i]]
    for i in range(a.shape[0]):
        partner[ties[a[i]]] = -1
        partner[ties[b[i]]] = -1
