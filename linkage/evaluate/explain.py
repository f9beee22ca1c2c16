"""Why a pair of records was joined, or was not: what the registrar can say, which never is a name or a pass.

Evidence is told in bits, base-2 logarithms of odds: what was to be expected before looking (the weights of the two
sources), what the number of edges adds, and what their closeness adds to that. The three sum up to the posterior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.decide import Class, Parameters, Weights
from linkage.decide.densities import BINS
from linkage.evaluate.judge import Outcome

_SAME = 1e-6  # posteriors that differ less are one
_MOST = 60.0  # bits; more say nothing to a person
_ONE_NAME = "; one name may differ wholly: twins at one address, or a changed surname?"


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """Another pair of one of the two records with a record of the other's source.

    Attributes:
        record: the other record of that pair.
        edges: of that pair.
        closeness: mean differing share of its rows, 0.05 to 0.35.
        posterior: of a match.
        decision: its class.
        joined: whether its records are one person.
    """

    record: int
    edges: int
    closeness: float
    posterior: float
    decision: str
    joined: bool


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Bits; positive speaks for a match. Their sum is the logarithm of the odds of the posterior.

    Attributes:
        before: what was to be expected of a best pair of these sources.
        edges: of the number of edges.
        closeness: of the mean closeness, the number of edges known.
    """

    before: float
    edges: float
    closeness: float

    @property
    def total(self) -> float:
        """Of the odds."""
        return self.before + self.edges + self.closeness


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One pair.

    Attributes:
        a: number of the first record.
        b: of the second.
        sources: their names.
        edges: passes in which their rows are close; 0 = not a candidate.
        closeness: mean differing share, 0.05 to 0.35; None without edges.
        level: mean level, 1 (nearly equal) to 4; None without edges.
        posterior: of a match.
        decision: class.
        joined: whether the two are one person in the end.
        evidence: None where the pair lost one-to-one (the weights are those of winners) or the densities are not known.
        rivals_a: other pairs of `a`, best first.
        rivals_b: other pairs of `b`.
        reason: one sentence.
    """

    a: int
    b: int
    sources: tuple[str, str]
    edges: int
    closeness: float | None
    level: float | None
    posterior: float
    decision: str
    joined: bool
    evidence: Evidence | None
    rivals_a: list[Rival]
    rivals_b: list[Rival]
    reason: str


class Explainer:
    """Explains pairs of one outcome."""

    def __init__(
        self,
        outcome: Outcome,
        weights: Sequence[Weights] = (),
        parameters: Parameters | None = None,
    ) -> None:
        """Prepare the look-ups.

        Args:
            outcome: of `match`.
            weights: that were estimated.
            parameters: with which was decided; without them there is no evidence, and the bounds are the default ones.
        """
        self._outcome = outcome
        self._parameters = parameters
        self._densities = None if parameters is None else parameters.tables()
        self._weights = {w.sources: w for w in weights}
        self._lowest = 0.05 if parameters is None else parameters.bounds[0]
        n = len(outcome.labels)
        ends = np.concatenate([outcome.pairs["a"], outcome.pairs["b"]]).astype(np.int64)
        self._order = np.argsort(ends, kind="stable")
        self._starts = np.searchsorted(ends[self._order], np.arange(n + 1))

    def explain(self, a: int, b: int) -> Explanation:
        """The pair of two records, candidates or not."""
        a, b = min(a, b), max(a, b)
        o = self._outcome
        names = (o.names[int(o.sources[a])], o.names[int(o.sources[b])])
        joined = bool(o.labels[a] == o.labels[b])
        at = next((k for k in self._pairs(a) if int(o.pairs["b"][k]) == b and int(o.pairs["a"][k]) == a), None)
        rivals_a, rivals_b = self._rivals(a, b), self._rivals(b, a)
        if at is None:
            return Explanation(
                a=a,
                b=b,
                sources=names,
                edges=0,
                closeness=None,
                level=None,
                posterior=0.0,
                decision=_word(Class.NON_MATCH),
                joined=joined,
                evidence=None,
                rivals_a=rivals_a,
                rivals_b=rivals_b,
                reason=_without_edge(names, joined),
            )
        row = o.pairs[at]
        closeness, posterior = float(row["closeness"]), float(row["posterior"])
        cls = Class(int(row["class"]))
        return Explanation(
            a=a,
            b=b,
            sources=names,
            edges=int(row["edges"]),
            closeness=closeness,
            level=1 + (closeness - 0.05) / 0.1,
            posterior=posterior,
            decision=_word(cls),
            joined=joined,
            evidence=self._evidence(a, b, int(row["edges"]), closeness, posterior),
            rivals_a=rivals_a,
            rivals_b=rivals_b,
            reason=self._left(a, b, int(row["edges"]))
            if cls == Class.POSSIBLE and posterior > o.cut and not joined
            else self._reason(cls, posterior, joined, [*rivals_a, *rivals_b])
            + (_ONE_NAME if cls == Class.MATCH and row["other_name"] else ""),
        )

    def _pairs(self, record: int) -> list[int]:
        """Positions of the pairs of a record."""
        own = self._order[self._starts[record] : self._starts[record + 1]]
        found: list[int] = (own % max(len(self._outcome.pairs), 1)).tolist()
        return found

    def _rivals(self, record: int, other: int) -> list[Rival]:
        o = self._outcome
        rivals = []
        for k in self._pairs(record):
            row = o.pairs[k]
            end = int(row["b"]) if int(row["a"]) == record else int(row["a"])
            if end == other or o.sources[end] != o.sources[other]:
                continue
            rivals.append(
                Rival(
                    record=end,
                    edges=int(row["edges"]),
                    closeness=float(row["closeness"]),
                    posterior=float(row["posterior"]),
                    decision=_word(Class(int(row["class"]))),
                    joined=bool(o.labels[end] == o.labels[record]),
                )
            )
        return sorted(rivals, key=lambda r: (-r.posterior, -r.edges, r.closeness, r.record))

    def _evidence(self, a: int, b: int, edges: int, closeness: float, posterior: float) -> Evidence | None:
        weights = self._weights.get(self._pair(a, b))
        if weights is None or self._densities is None or not 0 < weights.match < 1:
            return None
        table = self._densities.winners
        share, grades = np.array(weights.fitted.won), len(self._densities.grades)
        row = min(edges, self._densities.passes) - 1
        sum_of_levels = round(edges * (1 + (closeness - 0.05) / 0.1))
        column = min(4 * (sum_of_levels - edges) // edges, BINS - 1)
        before = _bits(share, np.ones(len(share)), grades)
        by_edges = _bits(share, table[:, row].sum(axis=1), grades)
        whole = _bits(share, table[:, row, column], grades)
        if abs(1 / (1 + 2.0**-whole) - posterior) > _SAME:
            return None
        return Evidence(before=before, edges=by_edges - before, closeness=whole - by_edges)

    def _left(self, a: int, b: int, edges: int) -> str:
        """Why a pair above the cut was left to people."""
        weights = self._weights.get(self._pair(a, b))
        if self._parameters is not None:
            needed = self._parameters.limits.evidence
            if weights is not None and weights.fitted.evidence < needed:
                return (
                    f"possible: the two sources show {weights.fitted.evidence:.1f} bits of evidence that anybody is in "
                    f"common, {needed:g} are needed"
                )
            if any(least <= edges <= most for least, most, *_ in self._parameters.left):
                return "possible: one name differs wholly, as of twins or a changed surname: the study asks people"
        return "possible: a source that is not free of duplicates yields no match"

    def _pair(self, a: int, b: int) -> tuple[int, int]:
        x, y = int(self._outcome.sources[a]), int(self._outcome.sources[b])
        return min(x, y), max(x, y)

    def _reason(self, cls: Class, posterior: float, joined: bool, rivals: list[Rival]) -> str:
        cut = self._outcome.cut
        if cls == Class.MATCH:
            if joined:
                return f"joined: the best pair of both records, and its posterior is above {cut:g}"
            return "matched but not joined: it would have merged two persons, or two records of one source"
        if joined:
            return "joined through other records of the person, not by this pair"
        better = [r for r in rivals if r.posterior > posterior or r.joined]
        if cls == Class.POSSIBLE:
            return f"possible: the posterior lies between {self._lowest:g} and {cut:g}"
        if posterior < self._lowest:
            return f"not joined: the posterior is below {self._lowest:g}"
        if better:
            return "not joined: one of the two records has a better pair"
        return "not joined: one of the two records was taken by another pair of equal worth"


def _bits(share: NDArray[np.float64], likelihood: NDArray[np.float64], grades: int) -> float:
    """Base-2 logarithm of the odds of match against all else."""
    joint = share * likelihood
    match, other = float(joint[:grades].sum()), float(joint[grades:].sum())
    if match <= 0 or other <= 0:
        return _MOST if match > other else -_MOST
    return math.log2(match / other)


def _word(cls: Class) -> str:
    return cls.name.lower().replace("_", "-")


def _without_edge(names: tuple[str, str], joined: bool) -> str:
    if names[0] == names[1]:
        return "two records of one source are never compared: a site finds its own duplicates"
    if joined:
        return "joined through other records of the person: the two have no edge themselves"
    return "not joined: in no pass do the two have rows that are close"
