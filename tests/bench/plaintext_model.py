"""Fellegi-Sunter with levels of agreement: two classes, fields independent in each, estimated by EM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]
I64 = NDArray[np.int64]

ROUNDS, _CLOSE = 500, 1e-7
_STARTS = 0.9  # share of matches that agree fully, to start with


@dataclass(frozen=True)
class Model:
    """Two classes, fields independent in each.

    Attributes:
        prior: share of matches.
        match: per field, shares of its levels among matches.
        other: among the rest.
    """

    prior: float
    match: list[F8]
    other: list[F8]

    @classmethod
    def counted(cls, vectors: I64, sizes: Sequence[int], shares: F8) -> Model:
        """From (2, k) shares in each class; half a pair for every level that is not there."""
        tables: tuple[list[F8], list[F8]] = ([], [])
        for field, size in enumerate(sizes):
            there = vectors[:, field] >= 0
            for table, share in zip(tables, shares, strict=True):
                count = np.bincount(vectors[there, field], weights=share[there], minlength=size) + 0.5
                table.append(count / count.sum())
        return cls(float(shares[0].sum() / max(shares.sum(), 1e-9)), *tables)

    @classmethod
    def fit(cls, vectors: I64, sizes: Sequence[int], other: list[F8], agreed: Sequence[int]) -> Model:
        """EM over the patterns that there are, without fields that all agree in; how often strangers do is given."""
        vectors = vectors.copy()
        vectors[:, agreed] = -1
        patterns, counts = np.unique(vectors, axis=0, return_counts=True)
        model = cls(0.1, [np.append(np.full(n - 1, (1 - _STARTS) / (n - 1)), _STARTS) for n in sizes], other)
        for _ in range(ROUNDS):
            share = chances(model.score(patterns))
            new = cls.counted(patterns, sizes, np.stack((share * counts, (1 - share) * counts)))
            done = abs(new.prior - model.prior) < _CLOSE
            model = replace(new, other=other)
            if done:
                break
        return model

    def score(self, vectors: I64) -> F8:
        """(k,) logarithm of the odds; a missing value says nothing."""
        prior = min(max(self.prior, 1e-12), 1 - 1e-12)
        total = np.full(len(vectors), np.log(prior / (1 - prior)))
        for field, (match, other) in enumerate(zip(self.match, self.other, strict=True)):
            total += np.append(np.log(match / other), 0.0)[vectors[:, field]]  # the last for -1
        return total


def chances(score: F8) -> F8:
    """Probability of a match from the logarithm of the odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -700, 700))))
