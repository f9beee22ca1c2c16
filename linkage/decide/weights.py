"""What is estimated per pair of sources: three weights, and with them the posterior of every cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.decide.densities import BINS, Densities

F8 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_ROUNDS = 1000
_CLOSE = 1e-10


def cells(c: I32, s: I32, passes: int) -> I64:
    """The cell of each pair in a (passes, BINS) table, flattened; integers only.

    Args:
        c: (m,) edges.
        s: (m,) sum of their levels, so that p = 0.05 + 0.1 * (s / c - 1) and a bin is 0.025 wide.
        passes: P; more edges than that count as P.
    """
    c, s = c.astype(np.int64), s.astype(np.int64)
    bins = np.minimum(4 * (s - c) // c, BINS - 1)
    cell: I64 = (np.minimum(c, passes) - 1) * BINS + bins
    return cell


def estimate(counts: NDArray[np.int64], densities: Densities) -> F8:
    """Weights of match, relative and stranger by EM, the densities fixed.

    Args:
        counts: (P * BINS,) pairs per cell.
        densities: of the three classes.

    Returns:
        (3,) f8, summing to 1.
    """
    weights: F8 = np.full(3, 1 / 3)
    used = np.flatnonzero(counts)
    n = counts[used].astype(np.float64)
    if not len(used):
        return np.array([0.0, 0.0, 1.0])
    density = densities.table.reshape(3, -1)[:, used]
    for _ in range(_ROUNDS):
        joint = weights[:, None] * density
        new: F8 = (joint / joint.sum(axis=0) * n).sum(axis=1) / n.sum()
        if np.abs(new - weights).max() < _CLOSE:
            return new
        weights = new
    return weights


def posteriors(weights: F8, densities: Densities) -> F8:
    """(3, P * BINS): probability of each class in each cell, rounded to 1e-9.

    Rounding makes equal what differs only by the order of a sum, so that ties are ties on every machine.
    """
    joint = weights[:, None] * densities.table.reshape(3, -1)
    rounded: F8 = np.round(joint / joint.sum(axis=0), 9)
    return rounded
