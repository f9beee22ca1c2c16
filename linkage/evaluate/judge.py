"""From the outcome of `match` to an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.decide import CUT, Class
from linkage.evaluate.curves import counted, curve, edge_bins, expected, from_labels, score_bins
from linkage.evaluate.model import BySources, Candidates, Evaluation, Losses, Passes, Projected, Rates
from linkage.evaluate.passes import Rows, pass_use, true_pairs
from linkage.evaluate.quality import Quality, by_pair_of_sources, cluster_sizes, conflicts, pairwise

I8 = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """What `match` found; `MatchResult` and its files both give this.

    Attributes:
        pairs: (m,) with the fields a, b, edges, posterior, class.
        labels: (records,) person of each record.
        sources: (records,) source of each record.
        names: of the sources.
        cut: posterior above which a pair is a match.
        comparisons: pairs of rows that were compared, if it is known.
        parameters: of the run, for the record.
        projected: error rates to expect at the full size of the sources, if they are known.
    """

    pairs: NDArray[np.void]
    labels: NDArray[np.integer]
    sources: NDArray[np.integer]
    names: Sequence[str]
    cut: float = CUT
    comparisons: int | None = None
    parameters: Mapping[str, object] | None = None
    projected: Sequence[Projected] = ()


def evaluate(
    outcome: Outcome,
    *,
    persons: Sequence[int] | None = None,
    labels: Sequence[tuple[int, bool]] | None = None,
    rows: Sequence[Rows] | None = None,
    passes: Sequence[str] = (),
) -> Evaluation:
    """Judge an outcome by the truth, by labels, or by its own posteriors.

    Args:
        outcome: of `match`.
        persons: (records,) true person of each record.
        labels: (position of a pair, same person); see `curves.from_labels`. The truth goes before labels.
        rows: the sources that were matched, in order: adds what each pass does.
        passes: their names.
    """
    pairs, sources = outcome.pairs, np.asarray(outcome.sources, np.int64)
    posterior, cls = np.asarray(pairs["posterior"]), np.asarray(pairs["class"])
    joined = np.asarray(outcome.labels)[pairs["a"]] == np.asarray(outcome.labels)[pairs["b"]]
    own = expected(posterior)
    true: NDArray[np.bool_] | None = None
    quality: Quality | None = None
    who: I8 | None = None
    rates = own
    if persons is not None:
        who = np.unique(np.asarray(persons), return_inverse=True)[1].astype(np.int64)
        true = who[pairs["a"]] == who[pairs["b"]]
        quality = pairwise(outcome.labels, who.tolist(), sources.tolist())
        rates = counted(true, quality.true)
    elif labels is not None:
        rates = expected(from_labels(posterior, cls, [k for k, _ in labels], [same for _, same in labels]))
    matched = (cls == Class.MATCH) & joined
    return Evaluation(
        basis="truth" if persons is not None else "labels" if labels is not None else "estimate",
        sources=list(outcome.names),
        records=np.bincount(sources, minlength=len(outcome.names)).tolist(),
        persons=len(np.unique(outcome.labels)),
        cluster_sizes=cluster_sizes(outcome.labels),
        conflicts=conflicts(outcome.labels, sources.tolist()),
        overall=_rates(quality) if quality is not None else rates(matched),
        by_sources=_by_sources(outcome, who, sources) if who is not None else [],
        estimated=own(matched),
        projected=list(outcome.projected),
        labelled=None if labels is None or persons is not None else len(labels),
        cut=outcome.cut,
        curve=curve(posterior, cls, outcome.cut, rates),
        scores=score_bins(posterior, cls, true),
        edges=edge_bins(pairs["edges"], cls, true),
        candidates=_candidates(outcome, sources, who, true, quality),
        losses=None if quality is None or true is None else _losses(quality, cls, joined, true),
        passes=None if rows is None else _passes(outcome, rows, passes, who, sources),
        parameters=dict(outcome.parameters or {}),
    )


def _rates(q: Quality) -> Rates:
    return Rates(found=q.found, true=q.true, right=q.right)


def _by_sources(outcome: Outcome, who: I8, sources: I8) -> list[BySources]:
    found = by_pair_of_sources(outcome.labels, who.tolist(), sources.tolist())
    return [
        BySources(sources=(outcome.names[a], outcome.names[b]), rates=_rates(q)) for (a, b), q in sorted(found.items())
    ]


def _candidates(
    outcome: Outcome, sources: I8, who: I8 | None, true: NDArray[np.bool_] | None, quality: Quality | None
) -> Candidates:
    sizes = np.bincount(sources).tolist()
    n = len(sources)
    possible = (n * n - sum(s * s for s in sizes)) // 2
    touched = np.zeros(n, np.bool_)
    touched[outcome.pairs["a"]] = True
    touched[outcome.pairs["b"]] = True
    partner = None
    if who is not None:
        first, second = true_pairs(who, sources)
        known = np.zeros(n, np.bool_)
        known[first] = True
        known[second] = True
        partner = int((known & ~touched).sum())
    found = len(outcome.pairs)
    return Candidates(
        possible=possible,
        candidates=found,
        comparisons=outcome.comparisons,
        reduction_ratio=1 - found / possible if possible else 1.0,
        completeness=None
        if true is None or quality is None
        else (int(true.sum()) / quality.true if quality.true else 1.0),
        without=int((~touched).sum()),
        without_partner=partner,
    )


def _losses(quality: Quality, cls: NDArray[np.uint8], joined: NDArray[np.bool_], true: NDArray[np.bool_]) -> Losses:
    lost = true & ~joined
    by_class = [int((lost & (cls == c)).sum()) for c in Class]
    return Losses(
        joined=quality.right,
        no_edge=quality.true - quality.right - sum(by_class),
        non_match=by_class[Class.NON_MATCH],
        possible=by_class[Class.POSSIBLE],
        refused=by_class[Class.MATCH],
    )


def _passes(outcome: Outcome, rows: Sequence[Rows], names: Sequence[str], who: I8 | None, sources: I8) -> Passes:
    whose = who if who is not None else np.unique(outcome.labels, return_inverse=True)[1].astype(np.int64)
    first, second = true_pairs(whose, sources)
    return Passes(
        of="joined pairs" if who is None else "true pairs",
        pairs=len(first),
        use=pass_use(rows, names, first, second),
    )
