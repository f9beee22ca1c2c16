"""Edges by the pairs of records that they join, each once, whether it was known or is told again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trustcenter.store.packed import take

I64 = NDArray[np.int64]
Edges = NDArray[np.void]


def in_order(table: Edges, code: I64, fresh: NDArray[np.bool_]) -> I64:
    """Places of edges by pair of records, each edge once: where it was known, that one.

    In one pair the smaller ref tells an edge: it is of one pass, and so is the other record's ref. Its first half is
    enough to sort by unless somebody chose refs that begin alike; then all of both refs is.

    Args:
        table: (m,) EDGE.
        code: (m,) of the pair that each lies with.
        fresh: (m,) whether it was told now.
    """
    from linkage.rows import as_words

    high, low = as_words(table["lo"])
    if fresh.all() and bool((high[1:] >= high[:-1]).all()):  # a run brings its edges by their smaller ref
        order = np.argsort(code, kind="stable")
    else:
        order = np.lexsort((fresh, high, code))
    again, alike = _again(table, code, high, order)
    if alike:
        order = np.lexsort((fresh, *reversed(as_words(table["hi"])), low, high, code))
        again, _ = _again(table, code, high, order)
    return np.delete(order, again)


def _again(table: Edges, code: I64, high: NDArray[np.uint64], order: I64) -> tuple[I64, bool]:
    """Where the edge before is the same; and whether any that begins alike is another."""
    code, high = code[order], high[order]
    near = np.flatnonzero((code[1:] == code[:-1]) & (high[1:] == high[:-1])) + 1
    one, other = take(table, order[near - 1]), take(table, order[near])
    same = (one["lo"] == other["lo"]).all(axis=1) & (one["hi"] == other["hi"]).all(axis=1)
    return near[same], not same.all()
