"""Weights of a mixture whose densities are known."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

F8 = NDArray[np.float64]

_LEAST = 0.01
_GROWING = 1e-4


@compiled("f8(f8[:, ::1], f8[::1], f8[::1], f8[::1])")
def _step(density: F8, counts: F8, weights: F8, new: F8) -> float:
    """One round of expectation and maximisation into `new`, every sum in the order of the cells.

    Returns:
        logarithm of the likelihood under `weights`.
    """
    classes, cells = density.shape
    total = 0.0
    for j in range(cells):
        total += counts[j]
    new[:] = 0.0
    likelihood = 0.0
    for j in range(cells):
        mixed = 0.0
        for k in range(classes):
            mixed += weights[k] * density[k, j]
        likelihood += counts[j] * math.log(mixed)
        share = counts[j] / (mixed * total)
        for k in range(classes):
            new[k] += weights[k] * density[k, j] * share
    return likelihood


@compiled("f8(f8[:, ::1], f8[::1], f8[::1], i8, f8)")
def em(density: F8, counts: F8, weights: F8, rounds: int, close: float) -> float:
    """EM with extrapolation (SQUAREM: Varadhan and Roland, 2008), which plain EM would follow in thousands of rounds.

    Two rounds say where the weights go and how the steps shrink; the weights leap along that line, none to less than a
    hundredth of what it was, and a leap that makes the likelihood smaller than the two rounds did is taken back.

    Args:
        density: (classes, cells) f8, positive.
        counts: (cells,) f8, pairs in each cell, positive; at least one.
        weights: (classes,) f8 to start from; a class at 0 stays there; overwritten.
        rounds: at most so many leaps.
        close: end when no weight changes by as much in a round, and none grows by more than a ten-thousandth of
            itself (a small one may be at the start of its way up).

    Returns:
        logarithm of the likelihood, up to the last round.
    """
    classes = density.shape[0]
    one, two, leap, after = np.empty(classes), np.empty(classes), np.empty(classes), np.empty(classes)
    likelihood: float = 0.0
    for _ in range(rounds):
        _step(density, counts, weights, one)
        likelihood = _step(density, counts, one, two)
        change, first, second = 0.0, 0.0, 0.0
        for k in range(classes):
            r = one[k] - weights[k]
            v = two[k] - one[k] - r
            change = max(change, abs(r), close if r > _GROWING * weights[k] else 0.0)
            first += r * r
            second += v * v
        if change < close or second == 0.0:
            weights[:] = two
            return likelihood
        reach = max(1.0, math.sqrt(first / second))
        while True:
            allowed = True
            for k in range(classes):
                r = one[k] - weights[k]
                leap[k] = weights[k] + 2 * reach * r + reach * reach * (two[k] - one[k] - r)
                allowed = allowed and leap[k] >= _LEAST * weights[k]
            if allowed or reach == 1.0:
                break
            reach = 1.0 if reach < 1.1 else (1.0 + reach) / 2
        if reach == 1.0 or _step(density, counts, leap, after) < likelihood:
            weights[:] = two
        else:
            weights[:] = after
    return likelihood
