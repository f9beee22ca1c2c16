"""The order in which pairs are considered, and greedy one-to-one along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.decide.aggregate import Pairs
from linkage.decide.densities import BINS
from linkage.decide.weights import cells

F8 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_SMALL = 1 << 20


def tie_ranks(tie_keys: NDArray[np.uint8]) -> I64:
    """(n,) i8: rank of each record's tie key, so that ties do not depend on the order of records."""
    from linkage.rows import sort_order

    ranks = np.empty(len(tie_keys), np.int64)
    ranks[sort_order(tie_keys)] = np.arange(len(tie_keys))
    return ranks


def ranking(pairs: Pairs, posterior: F8, ties: I64) -> I64:
    """Best pair first: posterior, then more edges, then closer ones, then tie keys.

    Args:
        pairs: m pairs.
        posterior: (m,) f8 of match, in steps of 1e-9.
        ties: (records,) ranks of tie keys.
    """
    if not len(pairs):
        return np.empty(0, np.int64)
    lo = np.minimum(ties[pairs.a], ties[pairs.b])
    hi = np.maximum(ties[pairs.a], ties[pairs.b])
    grade, grades = _grades(_kinds(posterior, pairs.c, pairs.s), pairs)
    width = int(max(hi.max(), 1)).bit_length()
    if 2 * width + grades.bit_length() <= 63:
        return np.argsort((grade << (2 * width)) | (lo << width) | hi)
    return np.lexsort((hi, lo, grade))


def _kinds(posterior: F8, c: NDArray[np.integer], s: NDArray[np.integer]) -> I64:
    """One number per distinct (posterior, c, s), in order of preference."""
    billionths = np.rint((1 - posterior) * 1e9).astype(np.int64)
    fewer = 0xFFFF - np.minimum(c, 0xFFFF).astype(np.int64)
    kinds: I64 = (billionths << 33) | (fewer << 17) | np.minimum(s, 0x1FFFF).astype(np.int64)
    return kinds


def _grades(kind: I64, pairs: Pairs) -> tuple[I64, int]:
    """(m,) i8: place of each kind among the distinct ones in ascending order; and how many there are."""
    span = int(pairs.s.max()) + 1
    size = (int(pairs.c.max()) + 1) * span
    if size <= _SMALL:
        # Mostly the posterior follows from (c, s): then millions of pairs need no sorting.
        cell = pairs.c.astype(np.int64) * span + pairs.s
        of_cell = np.full(size, -1, np.int64)
        of_cell[cell] = kind
        if (of_cell[cell] == kind).all():
            kinds = np.unique(of_cell[of_cell >= 0])
            return np.searchsorted(kinds, of_cell)[cell], len(kinds)
    kinds, grade = np.unique(kind, return_inverse=True)
    return grade, len(kinds)


def one_to_one(pairs: Pairs, order: I64, records: int) -> NDArray[np.bool_]:
    """(m,) bool: the pairs that win when each record may be in one pair only, in the order of `ranking`."""
    from linkage.kernels.onetoone import greedy

    won = np.zeros(len(pairs), np.bool_)
    greedy(order, pairs.a, pairs.b, np.zeros(records, np.bool_), won)
    return won


def winners(pairs: Pairs, by_cell: F8, ties: I64, partner: I32) -> NDArray[np.bool_]:
    """(m,) bool: the pairs that win when each record may be in one pair only, best first as `ranking` says.

    Args:
        pairs: m pairs.
        by_cell: (P * BINS,) f8, posterior of a match in each cell (`linkage.decide.weights.cells`), in steps of 1e-9.
        ties: (records,) ranks of tie keys.
        partner: (records,) i4, all -1, and left so: room to work in, made once for many pairs of sources.
    """
    from linkage.kernels.onetoone import first_come, pack_ranks, partners
    from linkage.kernels.radix import sort_numbers

    won, records = np.zeros(len(pairs), np.bool_), len(partner)
    if not len(pairs):
        return won
    passes = len(by_cell) // BINS
    span = int(pairs.s.max()) + 1
    width = max(records - 1, 1).bit_length()
    size = (int(pairs.c.max()) + 1) * span
    if size > _SMALL or 2 * width + size.bit_length() > 63:
        return one_to_one(pairs, ranking(pairs, by_cell[cells(pairs.c, pairs.s, passes)], ties), records)
    # All that counts but ties follows from (c, s), of which there are a few hundred: pairs need one sort, of numbers.
    c, s = np.divmod(np.arange(span, size), span)  # from c = 1 on
    kind = _kinds(by_cell[cells(c.astype(np.int32), np.maximum(s, c).astype(np.int32), passes)], c, s)
    grade = np.zeros(size, np.int64)
    grade[span:] = np.unique(kind, return_inverse=True)[1]
    keys = np.empty(len(pairs), np.uint64)
    pack_ranks(pairs.a, pairs.b, pairs.c, pairs.s, grade, span, ties, width, keys)
    keys = sort_numbers(keys, 2 * width + size.bit_length())
    first_come(keys, width, partner)
    partners(pairs.a, pairs.b, ties, partner, won)
    return won
