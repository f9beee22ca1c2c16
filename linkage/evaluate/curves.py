"""Rates over thresholds: counted with the truth, estimated from labels, or from the posteriors alone.

All three look at pairs before persons are formed. A threshold takes the pairs that are not class non-match (the
others lost one-to-one, or lie below the lower bound) and whose posterior is greater.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from linkage.decide import Class
from linkage.evaluate.model import Bin, Point, Rates

F8 = NDArray[np.float64]
BOOL = NDArray[np.bool_]

# Where labels are pooled: narrow where most pairs are.
STRATA: tuple[float, ...] = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0)
_GRID = np.concatenate([np.arange(5, 100) / 100, [0.995, 0.999]])


def counted(true: BOOL, all_true: int) -> Callable[[BOOL], Rates]:
    """Rates of chosen pairs, by the truth.

    Args:
        true: (m,) whether a pair is one person.
        all_true: true pairs, candidates or not.
    """

    def rates(chosen: BOOL) -> Rates:
        return Rates(found=int(chosen.sum()), true=all_true, right=int((chosen & true).sum()))

    return rates


def expected(probability: F8) -> Callable[[BOOL], Rates]:
    """Rates of chosen pairs, where each is one person with some probability. True pairs without an edge are not seen.

    Args:
        probability: (m,) of a match.
    """
    total = float(probability.sum())

    def rates(chosen: BOOL) -> Rates:
        return Rates(found=int(chosen.sum()), true=total, right=float(probability[chosen].sum()))

    return rates


def from_labels(posterior: F8, cls: NDArray[np.uint8], labelled: Sequence[int], same: Sequence[bool]) -> F8:
    """(m,) probability of a match, where labels say more than the posterior.

    Pairs are pooled by posterior and by whether a threshold could take them; inside a stratum every pair gets the
    share of "same" among the labels, to which the mean posterior is added as the weight of one label. A labelled
    pair is what its label says.

    Args:
        posterior: (m,).
        cls: (m,) `Class`.
        labelled: positions of the pairs with a label, drawn at random inside each stratum.
        same: the labels.
    """
    stratum = stratum_of(posterior, cls)
    count = 2 * (len(STRATA) - 1)
    at = np.asarray(labelled, np.int64)
    said = np.asarray(same, np.float64)
    n = np.bincount(stratum[at], minlength=count)
    yes = np.bincount(stratum[at], weights=said, minlength=count)
    size = np.bincount(stratum, minlength=count)
    mean = np.bincount(stratum, weights=posterior, minlength=count) / np.maximum(size, 1)
    probability: F8 = ((yes + mean) / (n + 1))[stratum]
    # Where nobody labelled anything the single posteriors say more than their mean.
    probability = np.where(n[stratum] > 0, probability, posterior)
    probability[at] = said
    return probability


def stratum_of(posterior: F8, cls: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(m,) stratum of each pair."""
    place = np.clip(np.searchsorted(STRATA, posterior, side="right") - 1, 0, len(STRATA) - 2)
    stratum: NDArray[np.int64] = 2 * place.astype(np.int64) + (cls != Class.NON_MATCH)
    return stratum


def curve(posterior: F8, cls: NDArray[np.uint8], cut: float, rates: Callable[[BOOL], Rates]) -> list[Point]:
    """Rates at thresholds from 0.05 on; the cut is one of them."""
    taken = cls != Class.NON_MATCH
    return [
        Point(threshold=float(t), rates=rates(taken & (posterior > t)))
        for t in np.unique(np.append(_GRID, cut)).tolist()
    ]


def score_bins(posterior: F8, cls: NDArray[np.uint8], true: BOOL | None, count: int = 20) -> list[Bin]:
    """Pairs by posterior, in equal ranges."""
    place = np.minimum((posterior * count).astype(np.int64), count - 1)
    return _bins(place, cls, true, [(k / count, (k + 1) / count) for k in range(count)])


def edge_bins(edges: NDArray[np.int32], cls: NDArray[np.uint8], true: BOOL | None) -> list[Bin]:
    """Pairs by number of edges, from 1 to the most."""
    most = int(edges.max(initial=0))
    return _bins(edges.astype(np.int64) - 1, cls, true, [(k, k + 1) for k in range(1, most + 1)])


def _bins(
    place: NDArray[np.int64], cls: NDArray[np.uint8], true: BOOL | None, ranges: Sequence[tuple[float, float]]
) -> list[Bin]:
    n = len(ranges)
    by_class = [np.bincount(place[cls == c], minlength=n).tolist() for c in Class]
    right = None if true is None else np.bincount(place[true], minlength=n).tolist()
    return [
        Bin(
            low=low,
            high=high,
            non_match=by_class[0][k],
            possible=by_class[1][k],
            match=by_class[2][k],
            true=None if right is None else right[k],
        )
        for k, (low, high) in enumerate(ranges)
    ]
