"""The registrar's decision (docs/spec/keyed-passes.md, section 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from linkage.decide.aggregate import Pairs
from linkage.decide.densities import Densities
from linkage.decide.fit import Fitted, judge
from linkage.decide.sources import blocks, of_two, slices
from linkage.decide.weights import groups
from linkage.threads import cores, each

F8 = NDArray[np.float64]
I64 = NDArray[np.int64]
Progress = Callable[[int, int], None]

_MOST_THREADS = 8  # each has room of 4 bytes a record
CUT_OF_TWO = 0.5  # two sources: a false join counts as much as a missed pair
CUT = 0.8  # more: four times as much, for it puts several pairs wrong, and a missed one may be joined through a third


@dataclass(frozen=True, slots=True)
class Limits:
    """Below which a pair of sources, or a source, yields no match.

    Attributes:
        evidence: bits by which the winners must speak for matches among them: a thousand to one. A pair of twins in a
            practice of strangers looks like a patient in common, and is worth two or three bits.
        double_share: share of a source's matches above which its declaration of being deduplicated is refused.
        double_min: records, at least, for that: a share of the matches of a small source says nothing.
    """

    evidence: float = 10.0
    double_share: float = 0.005
    double_min: int = 5


class Class(IntEnum):
    """What is decided about a pair."""

    NON_MATCH = 0
    POSSIBLE = 1
    MATCH = 2


@dataclass(frozen=True, slots=True)
class Weights:
    """Of one pair of sources.

    Attributes:
        sources: numbers of the two sources, ascending.
        pairs: pairs of records with an edge.
        winners: pairs left after one-to-one.
        match: estimated share of matches among the winners.
        relative: of relatives.
        stranger: of strangers.
        grades: `match` by grade.
        fitted: what they were taken from.
    """

    sources: tuple[int, int]
    pairs: int
    winners: int
    match: float
    relative: float
    stranger: float
    grades: dict[str, float]
    fitted: Fitted


@dataclass(frozen=True, slots=True)
class Decision:
    """About every pair, in the order of `pairs`.

    Attributes:
        pairs: m pairs of records.
        posterior: (m,) f8, probability of a match; of losers under weights estimated on losers.
        winner: (m,) bool, best pair of both its records.
        cls: (m,) u1, a `Class`: MATCH joins, POSSIBLE goes to clearing.
        band: (m,) bool, winners with a posterior between the bounds: the unsure ones, on either side of the cut.
        weights: one per pair of sources that has pairs.
        refused: numbers of the sources whose declaration of being deduplicated does not hold.
    """

    pairs: Pairs
    posterior: F8
    winner: NDArray[np.bool_]
    cls: NDArray[np.uint8]
    band: NDArray[np.bool_]
    weights: tuple[Weights, ...]
    refused: tuple[int, ...]


def cut_for(sources: int) -> float:
    """The posterior above which a pair is a match, for so many sources."""
    return CUT_OF_TWO if sources <= 2 else CUT


def decide(
    pairs: Pairs,
    sources: NDArray[np.int32],
    deduplicated: Sequence[bool],
    densities: Densities,
    bounds: tuple[float, float] = (0.05, 0.95),
    *,
    cut: float | None = None,
    ties: I64 | None = None,
    known: Mapping[tuple[int, int], Fitted] | None = None,
    refused: Sequence[int] | None = None,
    limits: Limits = Limits(),
    progress: Progress | None = None,
) -> Decision:
    """Estimate the weights per pair of sources, where they are not known, and decide.

    Args:
        pairs: pairs of records with at least one edge.
        sources: (records,) number of each record's source.
        deduplicated: per source, whether it declares itself deduplicated.
        densities: frozen with the study version.
        bounds: posteriors between which a pair is unsure.
        cut: posterior above which a pair is a match; by default `cut_for` the number of sources.
        ties: (records,) ranks of tie keys (`tie_ranks`); without them the record number breaks ties.
        known: frozen weights, per pair of numbers of sources, ascending (`linkage.decide.parameters`).
        refused: sources whose declaration does not hold, where that is known; otherwise it is checked, over all pairs.
        limits: of evidence and of declarations.
        progress: called with (pairs done, pairs) after every pair of sources; may raise to cancel.
    """
    m = len(pairs)
    known = known or {}
    cut = cut_for(len(deduplicated)) if cut is None else cut
    ranks = np.arange(len(sources)) if ties is None else ties
    posterior = np.zeros(m)
    winner, shown = np.zeros(m, np.bool_), np.zeros(m, np.bool_)
    threads = min(cores(), _MOST_THREADS)
    scratch: SimpleQueue[NDArray[np.int32]] = SimpleQueue()  # one for each thread that is needed

    def weigh(at: tuple[tuple[int, int], I64 | slice]) -> Weights:
        """Decide the pairs of two sources; what others write lies elsewhere."""
        key, chosen = at
        part = pairs.part(chosen)
        try:
            partner = scratch.get_nowait()
        except Empty:
            partner = np.full(len(sources), -1, np.int32)
        try:
            fitted, found = judge(part, partner, densities, ranks, known.get(key))
        finally:
            scratch.put(partner)
        posterior[chosen], winner[chosen] = found.posterior, found.winner
        shown[chosen] = fitted.evidence >= limits.evidence
        return _weights_of(key, found.winner, fitted, densities)

    weights: list[Weights] = []
    done = 0
    if progress is not None:
        progress(done, m)
    for block in blocks(pairs, sources):
        for one in each(weigh, of_two(pairs, block, sources, len(deduplicated)), threads):
            weights.append(one)
            done += one.pairs
            if progress is not None:
                progress(done, m)
    declared = np.array(deduplicated, np.bool_)
    if refused is None:
        refused = _wrongly_declared(pairs, sources, declared, posterior, winner, cut, bounds[1], limits)
    declared[list(refused)] = False
    band = winner & (posterior >= bounds[0]) & (posterior <= bounds[1])
    cls = np.full(m, Class.NON_MATCH, np.uint8)
    for some in slices(m):
        both = declared[sources[pairs.a[some]]] & declared[sources[pairs.b[some]]]
        won, likely, mine = winner[some], posterior[some], cls[some]
        # Without one-to-one on one side a loser may be as true as the winner.
        mine[(won | ~both) & (likely >= bounds[0])] = Class.POSSIBLE
        mine[won & both & shown[some] & (likely > cut)] = Class.MATCH
    return Decision(pairs, posterior, winner, cls, band, tuple(weights), tuple(refused))


def _weights_of(key: tuple[int, int], winner: NDArray[np.bool_], fitted: Fitted, densities: Densities) -> Weights:
    won = np.array(fitted.won)
    same, kin, others = groups(len(won), len(densities.grades))
    return Weights(
        key,
        len(winner),
        int(winner.sum()),
        float(won[same].sum()),
        float(won[kin].sum()),
        float(won[others].sum()),
        dict(zip(densities.grades, fitted.won, strict=False)),
        fitted,
    )


def _wrongly_declared(
    pairs: Pairs,
    sources: NDArray[np.int32],
    declared: NDArray[np.bool_],
    posterior: F8,
    winner: NDArray[np.bool_],
    cut: float,
    sure: float,
    limits: Limits,
) -> list[int]:
    """Sources of which two records have a confident pair with one and the same record elsewhere, too often.

    Confident are a winner and a loser: with a deduplicated source the weights of losers leave no confident loser.
    """
    count = len(declared)
    confident = posterior > sure
    a, b = pairs.a[confident].astype(np.int64), pairs.b[confident].astype(np.int64)
    # By source and record elsewhere: how many of the source's records have a confident pair with it.
    seen, times = np.unique(np.concatenate((b * count + sources[a], a * count + sources[b])), return_counts=True)
    doubles = np.bincount(seen[times > 1] % count, minlength=count)
    matched = winner & (posterior > cut)
    matches = sum(np.bincount(sources[side[matched]], minlength=count) for side in (pairs.a, pairs.b))
    wrong = declared & (doubles >= limits.double_min) & (doubles > limits.double_share * matches)
    return np.flatnonzero(wrong).tolist()
