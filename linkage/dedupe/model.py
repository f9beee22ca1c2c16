"""How likely two records of one source are one person: Fellegi-Sunter with three classes, weights by EM.

The classes are match, relative (another person of the household) and stranger. Estimated without truth: the levels of
matches, by EM under a weak prior, and the shares of matches and relatives among all pairs. The levels of strangers come
from all pairs of the source, less what the other classes take; those of relatives are constants, because there a free
class would swallow matches with errors. The population is all pairs of records, so the share of matches may be any.

Fellegi, Sunter: A theory for record linkage, JASA 64 (1969); Winkler: EM for Fellegi-Sunter, 1988.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]

# Comparison → number of levels; level 0 is "missing on one side" and says nothing.
LEVELS: dict[str, int] = {"given_name": 5, "surname": 5, "birth_date": 5, "address": 5, "insured_number": 3, "sex": 3}
PATTERNS = 5**4 * 3**2
CUT = 0.5  # a false join counts as much as a missed pair
_ROUNDS = 200
_PRIOR = 20.0  # pairs that the prior of each comparison weighs

# What careful and careless registration brings about; 20 pairs' worth, so that ten records do not invent a model.
_MATCH = {
    "given_name": (0.80, 0.12, 0.04, 0.04),
    "surname": (0.82, 0.10, 0.03, 0.05),
    "birth_date": (0.92, 0.05, 0.02, 0.01),
    "address": (0.70, 0.12, 0.10, 0.08),
    "insured_number": (0.98, 0.02),
    "sex": (0.98, 0.02),
}
# Spouses, parents, siblings; a few twins (equal dates) and namesakes.
_RELATIVE = {
    "given_name": (0.02, 0.04, 0.09, 0.85),
    "surname": (0.80, 0.10, 0.02, 0.08),
    "birth_date": (0.01, 0.01, 0.06, 0.92),
    "address": (0.85, 0.08, 0.05, 0.02),
    "insured_number": (0.001, 0.999),
    "sex": (0.45, 0.55),
}


def levels_of(pattern: I8) -> dict[str, I8]:
    """Comparison → level of each pattern number."""
    out: dict[str, I8] = {}
    rest = pattern
    for name, count in reversed(LEVELS.items()):
        out[name] = rest % count
        rest = rest // count
    return {name: out[name] for name in LEVELS}


@dataclass(frozen=True)
class Model:
    """What was estimated.

    Attributes:
        posterior: (PATTERNS,) f8, probability of match.
        matches: expected number of pairs of one person.
        relatives: expected number of pairs of one household.
        weights: comparison → base-2 logarithm of match against stranger per level from 1 on.
    """

    posterior: F8
    matches: float
    relatives: float
    weights: dict[str, list[float]]


def fit(counts: I8, totals: dict[str, F8], resolution: dict[str, F8], pairs: int) -> Model:
    """Estimate the model.

    Args:
        counts: (PATTERNS,) compared pairs per pattern; a pair of one person is among them or lost.
        totals: comparison → expected number of pairs per level among all pairs of the source.
        resolution: comparison → pairs that one counted pair stands for; half of it is the least a level can have.
        pairs: all pairs of the source.
    """
    seen = np.flatnonzero(counts)
    weight = counts[seen].astype(np.float64)
    level = levels_of(np.arange(PATTERNS))
    match = {name: _padded(values) for name, values in _MATCH.items()}
    relative = {name: _padded(values) for name, values in _RELATIVE.items()}
    other = {name: _stranger(totals[name], np.zeros(n, np.float64), resolution[name]) for name, n in LEVELS.items()}
    share = np.array([0.02, 0.2]) * max(1.0, pairs**0.5) / max(1, pairs)
    post = np.zeros((2, PATTERNS))
    for _ in range(_ROUNDS):
        likelihood = np.ones((3, PATTERNS))
        for name in LEVELS:
            likelihood *= np.stack([match[name], relative[name], other[name]])[:, level[name]]
        joint = likelihood * np.array([share[0], share[1], max(1e-300, 1.0 - share.sum())])[:, None]
        post = joint[:2] / joint.sum(axis=0)
        taken = post[:, seen] * weight
        new = np.minimum(taken.sum(axis=1) / max(1, pairs), 0.25)
        for name, n in LEVELS.items():
            got = [np.bincount(level[name][seen], weights=t, minlength=n) for t in taken]
            prior = _PRIOR * _padded(_MATCH[name])
            prior[0] = 0.0
            raised = got[0] + prior
            match[name] = _padded(tuple(raised[1:] / raised[1:].sum()))
            other[name] = _stranger(totals[name], np.asarray(got[0] + got[1], np.float64), resolution[name])
        settled = bool(np.abs(new - share).max() * max(1, pairs) < 1e-6)
        share = new
        if settled:
            break
    weights = {name: np.log2(match[name][1:] / other[name][1:]).round(3).tolist() for name in LEVELS}
    return Model(post[0], float(share[0] * pairs), float(share[1] * pairs), weights)


def _padded(values: tuple[float, ...]) -> F8:
    """Level 0 says nothing: likelihood 1 in every class."""
    return np.array([1.0, *values])


def _stranger(total: F8, taken: F8, resolution: F8) -> F8:
    """Levels of strangers: all pairs less matches and relatives."""
    left = np.maximum(total - taken, 0.5 * resolution)[1:]
    return _padded(tuple(left / left.sum()))
