"""From matched pairs to persons: agglomeration in descending posterior (docs/spec/persons.md).

Two rules keep a bridging record from merging two persons. No merge may put two records of a deduplicated source
together; and the mean posterior over all pairs between the two clusters must exceed 1/2, where a pair without
any edge counts as 0. So one good pair joins two records, but never two groups whose other members disagree.

What people have decided goes before both the posterior and the mean, but never puts two records of a deduplicated
source together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.cluster.components import components
from linkage.decide import Class, Decision, tie_ranks
from linkage.decide.aggregate import Pairs
from linkage.decide.onetoone import ranking
from linkage.errors import VerdictError

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_UNIT = 1_000_000_000  # posteriors are in billionths
_AT_ONCE = 1 << 20  # pairs


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What people have decided about pairs of records.

    Attributes:
        same: pairs that are one person.
        different: pairs that are not, whatever joins them otherwise.
    """

    same: frozenset[tuple[int, int]] = frozenset()
    different: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def of(cls, said: Iterable[tuple[int, int, bool]]) -> Verdicts:
        """From (record, record, whether they are one person).

        Raises:
            VerdictError: a pair of one record, or a pair that is said to be both.
        """
        words: dict[tuple[int, int], bool] = {}
        for a, b, same in said:
            pair = (min(a, b), max(a, b))
            if a == b or words.get(pair, same) != same:
                raise VerdictError("a pair is said to be one person and not to be one", hint="decide it once more")
            words[pair] = same
        return cls(
            frozenset(pair for pair, same in words.items() if same),
            frozenset(pair for pair, same in words.items() if not same),
        )


@dataclass(frozen=True, slots=True)
class Clusters:
    """The partition.

    Attributes:
        labels: (records,) i4, numbered from 0 in the order of each cluster's first record.
        refused: (k,) i8, positions of the matched pairs whose merge was refused: work for clearing.
        unmet: pairs that people called one person and that were not joined, sorted: their persons would have held two
            records of a deduplicated source, or records that people called different.
    """

    labels: I32
    refused: I64
    unmet: tuple[tuple[int, int], ...] = ()


def cluster(decision: Decision, sources: I32, deduplicated: Sequence[bool], tie_keys: NDArray[np.uint8]) -> I32:
    """Labels of `agglomerate`."""
    return agglomerate(decision, sources, deduplicated, tie_keys).labels


def agglomerate(
    decision: Decision,
    sources: I32,
    deduplicated: Sequence[bool],
    tie_keys: NDArray[np.uint8],
    verdicts: Verdicts | None = None,
) -> Clusters:
    """Merge along what people called one person, then along the matched pairs, best first.

    Args:
        decision: of all pairs.
        sources: (records,) number of each record's source.
        deduplicated: per source; those that the decision refused do not count as such.
        tie_keys: (records, 16) u1, each once: the keyed lookup tags of the record numbers.
        verdicts: of people.
    """
    verdicts = verdicts or Verdicts()
    ranks = tie_ranks(tie_keys)
    matched = np.flatnonzero(decision.cls == Class.MATCH)
    pairs = decision.pairs
    trusted = [ok and s not in decision.refused for s, ok in enumerate(deduplicated)]
    alone = _alone(pairs, matched, len(sources), verdicts)
    couples = matched[alone]
    joined = _joined(decision, couples, sources, np.array(trusted, np.bool_))
    matched = matched[~alone]
    part = Pairs(pairs.a[matched], pairs.b[matched], pairs.c[matched], pairs.s[matched])
    order = matched[ranking(part, decision.posterior[matched], ranks)]
    forest = _Forest(decision, matched, sources, trusted, verdicts)

    def by_ties(pair: tuple[int, int]) -> tuple[int, int]:
        a, b = int(ranks[pair[0]]), int(ranks[pair[1]])
        return min(a, b), max(a, b)

    unmet = [pair for pair in sorted(verdicts.same, key=by_ties) if not forest.merge(*pair, asked=True)]
    refused = [k for k in order.tolist() if not forest.merge(int(pairs.a[k]), int(pairs.b[k]))]
    refused += couples[~joined].tolist()
    first = np.arange(len(sources))
    first[pairs.b[couples[joined]]] = pairs.a[couples[joined]]
    return Clusters(forest.labels(first), np.array(sorted(refused), np.int64), tuple(sorted(unmet)))


def _alone(pairs: Pairs, matched: I64, records: int, verdicts: Verdicts) -> NDArray[np.bool_]:
    """Which of the matched pairs stand alone: no other one, and no verdict, touches their records.

    Among two sources these are nearly all, and no merge but their own concerns them.
    """
    a, b = pairs.a[matched], pairs.b[matched]
    degree = np.bincount(a, minlength=records) + np.bincount(b, minlength=records)
    degree[list({record for pair in (*verdicts.same, *verdicts.different) for record in pair})] = 2
    alone: NDArray[np.bool_] = (degree[a] == 1) & (degree[b] == 1)
    return alone


def _joined(decision: Decision, couples: I64, sources: I32, trusted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the pairs that stand alone are joined: the rules of `_Forest.merge` for two single records."""
    a, b = sources[decision.pairs.a[couples]], sources[decision.pairs.b[couples]]
    agree = 2 * np.rint(decision.posterior[couples] * _UNIT).astype(np.int64) > _UNIT
    joined: NDArray[np.bool_] = agree & ~(trusted[a] & (a == b))
    return joined


class _Forest:
    """Clusters under way; only records of the given matched pairs, or with a verdict, enter it."""

    def __init__(
        self, decision: Decision, matched: I64, sources: I32, trusted: Sequence[bool], verdicts: Verdicts
    ) -> None:
        pairs = decision.pairs
        self._n = len(sources)
        touched = np.zeros(self._n, np.bool_)
        touched[pairs.a[matched]] = True
        touched[pairs.b[matched]] = True
        said = np.array([*verdicts.same, *verdicts.different], np.int64).reshape(-1, 2)
        touched[said.ravel()] = True
        # No merge looks beyond the records that matched pairs and verdicts connect: few of all pairs.
        place = np.cumsum(touched, dtype=np.int32) - np.int32(1)
        ends = [place[np.concatenate([side[matched], said[:, k]])] for k, side in enumerate((pairs.a, pairs.b))]
        root = np.full(self._n, -1, np.int32)
        root[touched] = components(int(touched.sum()), *ends)
        self._posterior: dict[int, float] = {}
        for begin in range(0, len(pairs), _AT_ONCE):
            first, second = pairs.a[begin : begin + _AT_ONCE], pairs.b[begin : begin + _AT_ONCE]
            likely = decision.posterior[begin : begin + _AT_ONCE] > 0
            inside = np.flatnonzero((root[first] == root[second]) & (root[first] >= 0) & likely)
            keys = first[inside].astype(np.int64) * self._n + second[inside]
            self._posterior.update(zip(keys.tolist(), decision.posterior[begin + inside].tolist(), strict=True))
        self._posterior |= {a * self._n + b: 1.0 for a, b in verdicts.same}
        self._posterior |= {a * self._n + b: 0.0 for a, b in verdicts.different}
        self._home: dict[int, int] = {}
        self._members: dict[int, list[int]] = {}
        self._sources: dict[int, int] = {}  # cluster → set of deduplicated sources, as bits
        self._apart: dict[int, set[int]] = {}  # record → records that people called different
        for a, b in verdicts.different:
            self._apart.setdefault(a, set()).add(b)
            self._apart.setdefault(b, set()).add(a)
        for record in np.flatnonzero(touched).tolist():
            source = int(sources[record])
            self._home[record] = record
            self._members[record] = [record]
            self._sources[record] = 1 << source if trusted[source] else 0

    def merge(self, a: int, b: int, *, asked: bool = False) -> bool:
        """Put the clusters of two records together; False if a rule forbids it. `asked`: people said so."""
        x, y = self._home[a], self._home[b]
        if x == y:
            return True
        if self._sources[x] & self._sources[y] or self._parted(self._members[x], self._members[y]):
            return False
        if not asked and not self._agree(self._members[x], self._members[y]):
            return False
        if len(self._members[x]) < len(self._members[y]):
            x, y = y, x
        for record in self._members[y]:
            self._home[record] = x
        self._members[x] += self._members.pop(y)
        self._sources[x] |= self._sources.pop(y)
        return True

    def _parted(self, left: list[int], right: list[int]) -> bool:
        """Whether people called a record of one side and a record of the other different."""
        return any(not self._apart[i].isdisjoint(right) for i in left if i in self._apart)

    def _agree(self, left: list[int], right: list[int]) -> bool:
        """Whether the mean posterior between two clusters exceeds 1/2; in billionths, so that sums are exact."""
        total = 0
        for i in left:
            for j in right:
                key = i * self._n + j if i < j else j * self._n + i
                total += round(self._posterior.get(key, 0.0) * _UNIT)
        return 2 * total > _UNIT * len(left) * len(right)

    def labels(self, first: I64) -> I32:
        """Number of each record's cluster, in the order of the clusters' first records.

        Args:
            first: (records,) first record of the cluster of each record that is not in here; changed.
        """
        for members in self._members.values():
            first[members] = min(members)
        number = np.cumsum(first == np.arange(len(first)), dtype=np.int32) - 1
        return number[first]
