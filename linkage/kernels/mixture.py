"""Weights of a mixture whose densities are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

F8 = NDArray[np.float64]


@compiled("void(f8[:, ::1], f8[::1], f8[::1], i8, f8)")
def em(density: F8, counts: F8, weights: F8, rounds: int, close: float) -> None:
    """Expectation and maximisation in turn, every sum in the order of the cells.

    Args:
        density: (classes, cells) f8, positive.
        counts: (cells,) f8, pairs in each cell, positive; at least one.
        weights: (classes,) f8 to start from; overwritten.
        rounds: at most so many.
        close: end when no weight changes by as much.
    """
    classes, cells = density.shape
    total = 0.0
    for j in range(cells):
        total += counts[j]
    new = np.empty(classes)
    for _ in range(rounds):
        new[:] = 0.0
        for j in range(cells):
            mixed = 0.0
            for k in range(classes):
                mixed += weights[k] * density[k, j]
            share = counts[j] / (mixed * total)
            for k in range(classes):
                new[k] += weights[k] * density[k, j] * share
        change = 0.0
        for k in range(classes):
            change = max(change, abs(new[k] - weights[k]))
            weights[k] = new[k]
        if change < close:
            return
