"""Quality of a partition against known persons, over pairs of records of different sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


class Ratios:
    """Precision, recall and F1 of whatever counts pairs as found, true and both."""

    __slots__ = ()
    found: float
    true: float
    right: float

    @property
    def precision(self) -> float:
        """Share of the found pairs that are right; 1 if none was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the true pairs that were found; 1 if there is none."""
        return self.right / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 if there was nothing to find and nothing was found."""
        total = self.found + self.true
        return 2 * self.right / total if total else 1.0

    @property
    def told(self) -> tuple[str, str, str]:
        """Precision, recall and F1 for people; "none" where there is nothing that it could be a share of."""
        shares = ((self.precision, self.found), (self.recall, self.true), (self.f1, self.found + self.true))
        precision, recall, f1 = (f"{share:.4f}" if of else "none" for share, of in shares)
        return precision, recall, f1


@dataclass(frozen=True, slots=True)
class Quality(Ratios):
    """Pairwise quality.

    Attributes:
        found: pairs that the partition joins.
        true: pairs that belong together.
        right: pairs that are both.
    """

    found: int
    true: int
    right: int

    def __str__(self) -> str:
        return f"F1 {self.f1:.4f} (precision {self.precision:.4f}, recall {self.recall:.4f})"


def pairwise(labels: Sequence[int] | NDArray[np.integer], persons: Sequence[int], sources: Sequence[int]) -> Quality:
    """Quality over all pairs of records of different sources.

    Args:
        labels: (n,) cluster of each record.
        persons: (n,) true person of each record.
        sources: (n,) source of each record.
    """
    label, person, source = _dense(labels), _dense(persons), _dense(sources)
    both = _dense(label * (int(person.max(initial=0)) + 1) + person)
    return Quality(_across(label, source), _across(person, source), _across(both, source))


def by_pair_of_sources(
    labels: Sequence[int] | NDArray[np.integer], persons: Sequence[int], sources: Sequence[int]
) -> dict[tuple[int, int], Quality]:
    """`pairwise` for every two sources, keyed by their numbers in ascending order."""
    label, person, source = np.asarray(labels), np.asarray(persons), np.asarray(sources)
    names = np.unique(source).tolist()
    result = {}
    for i, x in enumerate(names):
        for y in names[i + 1 :]:
            chosen = (source == x) | (source == y)
            result[x, y] = pairwise(label[chosen], person[chosen].tolist(), source[chosen].tolist())
    return result


def of_pairs(found: set[tuple[int, int]], true: set[tuple[int, int]]) -> Quality:
    """Quality of a set of pairs, for tools that give pairs and no partition."""
    return Quality(len(found), len(true), len(found & true))


def cluster_sizes(labels: Sequence[int] | NDArray[np.integer]) -> dict[int, int]:
    """Size of cluster → number of clusters, ascending."""
    sizes, counts = np.unique(np.unique(np.asarray(labels), return_counts=True)[1], return_counts=True)
    return dict(zip(sizes.tolist(), counts.tolist(), strict=True))


def conflicts(labels: Sequence[int] | NDArray[np.integer], sources: Sequence[int]) -> int:
    """Records that share their cluster with an earlier record of the same source: 0 among deduplicated sources."""
    label, source = _dense(labels), _dense(sources)
    key = label * (int(source.max(initial=0)) + 1) + source
    return len(key) - len(np.unique(key))


def _dense(column: Sequence[int] | NDArray[np.integer]) -> I64:
    return np.unique(np.asarray(column), return_inverse=True)[1].astype(np.int64)


def _choose2(group: I64) -> int:
    counts = np.bincount(group) if len(group) else np.zeros(0, np.int64)
    return int((counts * (counts - 1) // 2).sum())


def _across(group: I64, source: I64) -> int:
    """Pairs inside a group and not inside a source."""
    return _choose2(group) - _choose2(_dense(group * (int(source.max(initial=0)) + 1) + source))
