"""What is estimated per pair of sources: weights of the classes, and with them the posterior of every cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.decide.densities import BINS

F8 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_ROUNDS = 1000
_CLOSE = 1e-9


def cells(c: I32, s: I32, passes: int) -> I64:
    """The cell of each pair in a (passes, BINS) table, flattened; integers only.

    Args:
        c: (m,) edges.
        s: (m,) sum of their levels, so that p = 0.05 + 0.1 * (s / c - 1) and a bin is 0.025 wide.
        passes: P; more edges than that count as P.
    """
    from linkage.kernels.pairs import fill_cells

    cell = np.empty(len(c), np.int64)
    fill_cells(np.ascontiguousarray(c, np.int32), np.ascontiguousarray(s, np.int32), passes, BINS, cell)
    return cell


def groups(classes: int, grades: int) -> tuple[slice, slice, slice]:
    """Where matches of so many grades, relatives and strangers stand among the classes."""
    kinds = (classes - grades) // 2
    return slice(0, grades), slice(grades, grades + kinds), slice(grades + kinds, classes)


def estimate(counts: NDArray[np.int64], table: F8, grades: int, *, matches: bool = True) -> tuple[F8, float]:
    """Weights of the classes by EM, the densities fixed.

    Args:
        counts: (P * BINS,) pairs per cell.
        table: (K + 2N, P, BINS) densities: matches of K grades, relatives and strangers of N kinds.
        grades: K.
        matches: False: as if there were none.

    Returns:
        (K + 2N,) f8, summing to 1, and the logarithm of the likelihood.
    """
    from linkage.kernels.mixture import em

    classes = len(table)
    weights: F8 = np.zeros(classes)
    # Matches, relatives and strangers alike to start with, however many grades and kinds there are.
    parts = groups(classes, grades)[0 if matches else 1 :]
    for part in parts:
        weights[part] = 1 / len(parts) / len(weights[part])
    used = np.flatnonzero(counts)
    n = counts[used].astype(np.float64)
    if not len(used):
        weights[:] = 0
        weights[parts[-1]] = 1 / len(weights[parts[-1]])
        return weights, 0.0
    density = np.ascontiguousarray(table.reshape(classes, -1)[:, used])
    likelihood = em(density, n, weights, _ROUNDS, _CLOSE)
    return weights, float(likelihood)


def posteriors(weights: F8, table: F8, grades: int) -> F8:
    """(P * BINS,) probability of a match in each cell, rounded to 1e-9.

    Rounding makes equal what differs only by the order of a sum, so that ties are ties on every machine.
    """
    joint = weights[:, None] * table.reshape(len(table), -1)
    share = joint / joint.sum(axis=0)
    rounded: F8 = np.round(share[groups(len(table), grades)[0]].sum(axis=0), 9)
    return rounded
