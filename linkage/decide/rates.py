"""How many pairs of one person to expect among matches, possible ones, non-matches, and all the rest of the sources.

Nobody knows the truth of a run; but the posteriors are probabilities, and their sums are expected counts. Pairs that
have no edge have no posterior. How many of one person are among them follows from calibration, where the truth is
known: for each match of a grade with an edge, so many have none. So the rates are those of the sources at their full
size, not of the pairs that happened to be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.decide.decision import Class, Decision
from linkage.decide.densities import Densities
from linkage.decide.sources import pair_of_sources, slices


@dataclass(frozen=True, slots=True)
class Expected:
    """Of one pair of sources.

    Attributes:
        sources: their numbers, ascending.
        pairs: pairs of records that were matched, left as possible, called non-matches, and have no edge: together all
            that the two sources have.
        same: expected pairs of one person among each.
    """

    sources: tuple[int, int]
    pairs: tuple[int, int, int, int]
    same: tuple[float, float, float, float]

    @property
    def false_matches(self) -> float:
        """Share of the matches that join two people: 1 - precision."""
        return 1 - self.same[0] / self.pairs[0] if self.pairs[0] else 0.0

    @property
    def false_possible(self) -> float:
        """Share of the possible pairs that are two people."""
        return 1 - self.same[1] / self.pairs[1] if self.pairs[1] else 0.0

    @property
    def missed(self) -> float:
        """Share of the pairs of one person that are neither matched nor possible."""
        total = sum(self.same)
        return (self.same[2] + self.same[3]) / total if total > 0 else 0.0

    @property
    def false_non_matches(self) -> float:
        """Share of all pairs called different, with or without an edge, that are one person."""
        apart = self.pairs[2] + self.pairs[3]
        return (self.same[2] + self.same[3]) / apart if apart else 0.0


def expected_rates(decision: Decision, sources: NDArray[np.int32], densities: Densities) -> list[Expected]:
    """What to expect per pair of sources that have pairs, ascending.

    Args:
        decision: of all pairs.
        sources: (records,) number of each record's source.
        densities: with which was decided.
    """
    sizes = np.bincount(sources).tolist()
    cells = len(sizes) ** 2 * len(Class)
    counts, sums = np.zeros(cells, np.int64), np.zeros(cells)
    for some in slices(len(decision.pairs)):
        two = pair_of_sources(decision.pairs.part(some), sources, len(sizes))
        cell = two * np.int32(len(Class)) + decision.cls[some]
        counts += np.bincount(cell, minlength=cells)
        sums += np.bincount(cell, weights=decision.posterior[some], minlength=cells)
    by_class, likely = counts.reshape(-1, len(Class)), sums.reshape(-1, len(Class))
    found = []
    for weights in decision.weights:
        x, y = weights.sources
        apart, possible, match = by_class[x * len(sizes) + y].tolist()
        same = likely[x * len(sizes) + y].tolist()
        unseen = sum(same) * _unseen(weights.fitted.won, densities.unseen)
        rest = sizes[x] * sizes[y] - match - possible - apart
        found.append(Expected((x, y), (match, possible, apart, rest), (same[2], same[1], same[0], unseen)))
    return found


def _unseen(won: Sequence[float], unseen: Sequence[float]) -> float:
    """Pairs of one person without an edge for each with one, under the weights of the grades."""
    matches = won[: len(unseen)]
    total = sum(matches)
    return sum(w * u for w, u in zip(matches, unseen, strict=True)) / total if total > 0 else 0.0
