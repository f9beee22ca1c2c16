"""What comes of a decision, as a worker hands it to the transaction that applies it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from trustcenter.messages import api

from .pairs import Key
from .reading import Setting
from .subjects import Subjects
from .tally import Counts

if TYPE_CHECKING:
    from linkage.cluster import Clusters
    from linkage.decide import Decision

LINK: Final = np.dtype(
    [("a", "i4"), ("b", "i4"), ("edges", "i4"), ("level", "f8"), ("posterior", "f8"), ("class", "u1")]
)
CLASSES: Final = ("", "possible", "match")
_POSSIBLE, _MATCH = 1, 2


@dataclass(frozen=True)
class Decided:
    """A decided window, as arrays: of a first run there are millions of records.

    Attributes:
        records: (n, 2) domain row id and serial, ascending.
        persons: (n, 16) of each, of whom those that there were before live on by seniority.
        quality: (n,) greatest posterior that holds the record in its person; NaN if it is alone.
        changed: (n,) bool, whether person or quality of the record are others than before.
        links: (k,) LINK, by positions of records.
        happened: what happened to how many persons.
        everything: whether all records were decided, or only what the window touches.
        departures: how often records had left linkage when the run read.
        counted: how many are linked after a first run, if nobody has left since.
        settled: those among the touched records that the run has seen.
    """

    records: NDArray[np.int64]
    persons: NDArray[np.uint8]
    quality: NDArray[np.float64]
    changed: NDArray[np.bool_]
    links: NDArray[np.void]
    happened: dict[str, int]
    counts: api.RunCounts
    parameters_hash: str
    bounds: tuple[float, float]  # posteriors between which a pair is doubtful
    cut: float  # the posterior above which a pair is joined
    parameters: bytes
    basis: str
    everything: bool
    settled: list[tuple[int, int, bytes]]
    left: frozenset[Key]  # looked at, and take part no more
    unmet: list[tuple[Key, Key]]  # called one person by people, and not joined
    departures: int
    counted: Counts | None
    left_out: frozenset[Key] = frozenset()  # records without the consent that the study requires

    def with_rows(self, rows: Mapping[str, int]) -> Decided:
        """The same, with the comparator's row counts per site."""
        sources = [msgspec.structs.replace(s, rows=rows.get(s.site, 0)) for s in self.counts.sources]
        return replace(self, counts=msgspec.structs.replace(self.counts, sources=sources))


def links_of(decision: Decision, clusters: Clusters) -> tuple[NDArray[np.float64], NDArray[np.void]]:
    """Quality of each record, and the links."""
    pairs, labels = decision.pairs, clusters.labels
    together = labels[pairs.a] == labels[pairs.b]
    quality = np.full(len(labels), -1.0)
    for side in (pairs.a, pairs.b):
        np.maximum.at(quality, side[together], decision.posterior[together])
    classes = decision.cls.copy()
    # Matched, but joining them would have merged two persons: a steward decides.
    unjoined = clusters.refused[~together[clusters.refused]]
    classes[unjoined] = _POSSIBLE
    chosen = classes > 0
    links = np.empty(int(chosen.sum()), LINK)
    for name, column in (
        ("a", pairs.a), ("b", pairs.b), ("edges", pairs.c), ("level", pairs.p),
        ("posterior", decision.posterior), ("class", classes),
    ):  # fmt: skip
        links[name] = column[chosen]
    return np.where(quality < 0, np.nan, quality), links


def counts_of(
    setting: Setting,
    left_out: frozenset[Key],
    subjects: Subjects,
    labels: NDArray[np.int32],
    links: NDArray[np.void],
    decision: Decision,
    others: Counts,
    edges: int,
) -> api.RunCounts:
    """Records and persons of the whole study; edges, matches and possible matches of what was decided."""
    linked, sizes = others
    sources = subjects.sources
    sizes = sizes + tallied(np.bincount(labels))
    linked = linked + tallied(subjects.keys[:, 0])
    without = Counter(domain for domain, _ in left_out)
    shape = (len(setting.sites),) * 2
    tally = {name: np.zeros(shape, np.int64) for name in ("edges", "match", "possible")}
    for name, a, b, weight in (
        ("edges", decision.pairs.a, decision.pairs.b, decision.pairs.c),
        ("match", links["a"], links["b"], links["class"] == _MATCH),
        ("possible", links["a"], links["b"], links["class"] == _POSSIBLE),
    ):
        one, other = sources[a], sources[b]
        np.add.at(tally[name], (np.minimum(one, other), np.maximum(one, other)), weight.astype(np.int64))
    return api.RunCounts(
        sources=[
            api.SourceCount(site=site, records=linked[domain], rows=0, left_out=without[domain])
            for site, domain in zip(setting.sites, setting.domains, strict=True)
        ],
        pairs=[
            api.PairCount(
                sites=[setting.sites[a], setting.sites[b]],
                edges=int(tally["edges"][a, b]),
                matches=int(tally["match"][a, b]),
                possible=int(tally["possible"][a, b]),
            )
            for a, b in combinations(range(len(setting.sites)), 2)
        ],
        edges=edges,
        decided=len(subjects),
        persons=sum(sizes.values()),
        linked_persons=sum(n for size, n in sizes.items() if size > 1),
        largest_cluster=max(sizes, default=0),
        refused_declarations=[setting.sites[index] for index in decision.refused],
    )


def tallied(values: NDArray[np.int64]) -> Counter[int]:
    """How often each value is there."""
    found, times = np.unique(values, return_counts=True)
    return Counter(dict(zip(found.tolist(), times.tolist(), strict=True)))
