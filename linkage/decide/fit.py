"""One pair of sources: its weights, the winners of one-to-one, and the posteriors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.decide.aggregate import Pairs
from linkage.decide.densities import BINS, Densities
from linkage.decide.onetoone import winners
from linkage.decide.weights import cells, estimate, posteriors

F8 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROUNDS = 2  # "once more": weights on winners twice


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights of the classes in one pair of sources, in the order of the densities; each sums to 1.

    Attributes:
        won: among the winners of one-to-one.
        lost: among the others; the weights of winners say nothing about them.
        evidence: bits by which the winners speak for matches among them, against relatives and strangers alone.
    """

    won: tuple[float, ...]
    lost: tuple[float, ...]
    evidence: float


@dataclass(frozen=True, slots=True)
class Judged:
    """The pairs of one pair of sources under its weights.

    Attributes:
        posterior: (m,) f8, probability of a match.
        winner: (m,) bool.
    """

    posterior: F8
    winner: NDArray[np.bool_]


def judge(
    part: Pairs, partner: I32, densities: Densities, ties: I64, fitted: Fitted | None = None
) -> tuple[Fitted, Judged]:
    """Winners and posteriors under given weights, or under those that are estimated from these pairs.

    Either way a function of these pairs alone; under given weights, component by component.

    Args:
        part: pairs of the two sources.
        partner: (records,) i4, all -1, and left so (`winners`).
        densities: of the study.
        ties: (records,) ranks of tie keys.
        fitted: the weights, if they are known.
    """
    cell = cells(part.c, part.s, densities.passes)
    if fitted is None:
        fitted, winner = _fit(part, cell, partner, densities, ties)
    else:
        winner = _winners(part, np.array(fitted.won), densities.winners, len(densities.grades), ties, partner)
    won = posteriors(np.array(fitted.won), densities.winners, len(densities.grades))
    lost = posteriors(np.array(fitted.lost), densities.table, len(densities.grades))
    return fitted, Judged(np.where(winner, won[cell], lost[cell]), winner)


def _fit(part: Pairs, cell: I64, partner: I32, densities: Densities, ties: I64) -> tuple[Fitted, Bools]:
    """Weights on all pairs, then twice on the winners of one-to-one; at last those of the losers → also the winners."""
    grades, size = len(densities.grades), densities.passes * BINS
    weights, _ = estimate(np.bincount(cell, minlength=size), densities.table, grades)
    won = _winners(part, weights, densities.table, grades, ties, partner)
    for _ in range(_ROUNDS):
        counts = np.bincount(cell[won], minlength=size)
        weights, likelihood = estimate(counts, densities.winners, grades)
        won = _winners(part, weights, densities.winners, grades, ties, partner)
    _, without = estimate(counts, densities.winners, grades, matches=False)
    lost, _ = estimate(np.bincount(cell[~won], minlength=size), densities.table, grades)
    evidence = max(0.0, (likelihood - without) / math.log(2))
    return Fitted(tuple(weights.tolist()), tuple(lost.tolist()), evidence), won


def _winners(part: Pairs, weights: F8, table: F8, grades: int, ties: I64, partner: I32) -> Bools:
    return winners(part, posteriors(weights, table, grades), ties, partner)


def first_winners(part: Pairs, partner: I32, table: F8, grades: int, ties: I64) -> Bools:
    """One-to-one under weights estimated on all pairs: the first round of a fit, which calibration repeats."""
    size = table.shape[1] * BINS
    weights, _ = estimate(np.bincount(cells(part.c, part.s, table.shape[1]), minlength=size), table, grades)
    return _winners(part, weights, table, grades, ties, partner)
