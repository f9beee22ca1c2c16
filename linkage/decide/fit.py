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
        relative: (m,) f8, of relatives.
        winner: (m,) bool.
    """

    posterior: F8
    relative: F8
    winner: NDArray[np.bool_]


def fit(part: Pairs, partner: I32, densities: Densities, ties: I64) -> Fitted:
    """Weights on all pairs, then twice on the winners of one-to-one; at last those of the losers.

    Args:
        part: pairs of the two sources.
        partner: (records,) i4, all -1, and left so (`winners`).
        densities: of the study.
        ties: (records,) ranks of tie keys.
    """
    grades = len(densities.grades)
    cell = cells(part.c, part.s, densities.passes)
    size = densities.passes * BINS
    won = first_winners(part, partner, densities.table, grades, ties)
    for _ in range(_ROUNDS):
        counts = np.bincount(cell[won], minlength=size)
        weights, likelihood = estimate(counts, densities.winners, grades)
        won = winners(part, posteriors(weights, densities.winners, grades)[0], ties, partner)
    _, without = estimate(counts, densities.winners, grades, matches=False)
    lost, _ = estimate(np.bincount(cell[~won], minlength=size), densities.table, grades)
    evidence = max(0.0, (likelihood - without) / math.log(2))
    return Fitted(tuple(weights.tolist()), tuple(lost.tolist()), evidence)


def judge(part: Pairs, partner: I32, densities: Densities, ties: I64, fitted: Fitted) -> Judged:
    """Winners and posteriors under given weights: a function of these pairs alone, component by component.

    Args:
        part: pairs of the two sources.
        partner: (records,) i4, all -1, and left so (`winners`).
        densities: of the study.
        ties: (records,) ranks of tie keys.
        fitted: weights.
    """
    cell = cells(part.c, part.s, densities.passes)
    grades = len(densities.grades)
    won = posteriors(np.array(fitted.won), densities.winners, grades)
    lost = posteriors(np.array(fitted.lost), densities.table, grades)
    winner = winners(part, won[0], ties, partner)
    return Judged(np.where(winner, won[0, cell], lost[0, cell]), np.where(winner, won[1, cell], lost[1, cell]), winner)


def first_winners(part: Pairs, partner: I32, table: F8, grades: int, ties: I64) -> NDArray[np.bool_]:
    """One-to-one under weights estimated on all pairs: the first round of `fit`, which calibration repeats."""
    cell = cells(part.c, part.s, table.shape[1])
    weights, _ = estimate(np.bincount(cell, minlength=table.shape[1] * BINS), table, grades)
    return winners(part, posteriors(weights, table, grades)[0], ties, partner)
