"""What an evaluation says, as data: the page, the tables and the JSON of the program are written from this alone."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from linkage.evaluate.quality import Ratios

Basis = Literal["truth", "labels", "estimate"]


class Rates(Ratios, msgspec.Struct, frozen=True, kw_only=True):
    """Counts of pairs (expected ones, unless the basis is the truth) and what follows.

    Attributes:
        found: pairs that are joined.
        true: pairs that belong together.
        right: pairs that are both.
    """

    found: float
    true: float
    right: float


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold: every pair with a greater posterior would be joined.

    Attributes:
        threshold: posterior.
        rates: of the pairs above it.
    """

    threshold: float
    rates: Rates


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs whose posterior, or number of edges, is in one range.

    Attributes:
        low: of the range, included.
        high: of the range; included where it is the last range of posteriors.
        match: pairs in class match.
        possible: pairs in class possible.
        non_match: all others.
        true: pairs that belong together, where the truth is known.
    """

    low: float
    high: float
    match: int
    possible: int
    non_match: int
    true: int | None = None


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """What the passes left to decide on.

    Attributes:
        possible: pairs of records of different sources.
        candidates: pairs with at least one edge.
        comparisons: pairs of rows that were compared, as far as it is known.
        reduction_ratio: share of the possible pairs that are no candidates.
        completeness: share of the true pairs that are candidates, where the truth is known.
        without: records without any edge.
        without_partner: of these, records of a person whom another source knows, where the truth is known.
    """

    possible: int
    candidates: int
    comparisons: int | None
    reduction_ratio: float
    completeness: float | None = None
    without: int
    without_partner: int | None = None


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the true pairs went; the five add up to all of them.

    Attributes:
        joined: found.
        no_edge: not joined, no edge.
        non_match: not joined, an edge and class non-match.
        possible: not joined, class possible: clearing may still join them.
        refused: not joined, class match, but the merge would have joined two persons.
    """

    joined: int
    no_edge: int
    non_match: int
    possible: int
    refused: int


class PassUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass does, in the order in which passes add most.

    Attributes:
        number: of the pass in the schema.
        name: of the pass.
        blocks: different tokens.
        shared: blocks with rows of two sources.
        largest: rows in the largest block.
        sizes: rows in blocks of 1, 2, 3-4, 5-8, … rows.
        pairs: of the pairs looked for, those that share a block in this pass.
        together: of these, those that share a block in this pass or one above it.
    """

    number: int
    name: str
    blocks: int
    shared: int
    largest: int
    sizes: list[int]
    pairs: int
    together: int


class Passes(msgspec.Struct, frozen=True, kw_only=True):
    """All passes.

    Attributes:
        of: what was looked for: true pairs, or joined ones where the truth is not known.
        pairs: how many.
        use: of each pass.
    """

    of: Literal["true pairs", "joined pairs"]
    pairs: int
    use: list[PassUse]


class BySources(msgspec.Struct, frozen=True, kw_only=True):
    """Two sources.

    Attributes:
        sources: their names.
        rates: of the persons joined.
    """

    sources: tuple[str, str]
    rates: Rates


# Said wherever `Projected` is shown; docs/how-to/evaluate.md has the cases behind it.
CAUTION: Final = (
    "Expected, not counted: on synthetic sources 1.2 to 1.5 times as many matches were wrong as expected, and about as "
    "many as expected in towns and between a hospital and its practices."
)


class Projected(msgspec.Struct, frozen=True, kw_only=True):
    """What the posteriors expect of two sources, at their full size (`linkage.decide.rates`).

    Attributes:
        sources: their names.
        pairs: matches, possible pairs, non-matches, pairs without an edge: all that there are.
        same: expected pairs of one person among each.
        false_matches: share of the matches that join two people.
        false_possible: share of the possible pairs that are two people.
        missed: share of the pairs of one person that are neither matched nor possible.
        false_non_matches: share of all pairs called different that are one person.
    """

    sources: tuple[str, str]
    pairs: tuple[int, int, int, int]
    same: tuple[float, float, float, float]
    false_matches: float
    false_possible: float
    missed: float
    false_non_matches: float


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome of `match`, judged.

    Attributes:
        format: of this structure.
        basis: where the rates come from.
        sources: names.
        records: per source.
        persons: clusters, also those of one record.
        cluster_sizes: size → clusters.
        conflicts: records that share their cluster with an earlier one of their source.
        overall: rates of the persons joined; of the pairs at the cut unless the basis is the truth.
        by_sources: for every two sources, where the truth is known.
        estimated: rates of the pairs at the cut that the posteriors themselves expect.
        projected: error rates that the posteriors expect, for every two sources, where they are known.
        labelled: pairs with a label, where there are labels.
        cut: posterior above which a pair is a match.
        curve: rates of pairs over thresholds.
        scores: pairs by posterior.
        edges: pairs by number of edges.
        candidates: what the passes left.
        losses: where true pairs went, where the truth is known.
        passes: what each pass does, where the rows were given.
        parameters: of the run, for the record.
    """

    format: str = "trustcenter/linkage-evaluation/1"
    basis: Basis
    sources: list[str]
    records: list[int]
    persons: int
    cluster_sizes: dict[int, int]
    conflicts: int
    overall: Rates
    by_sources: list[BySources]
    estimated: Rates
    projected: list[Projected] = []
    labelled: int | None = None
    cut: float
    curve: list[Point]
    scores: list[Bin]
    edges: list[Bin]
    candidates: Candidates
    losses: Losses | None = None
    passes: Passes | None = None
    parameters: dict[str, object] = {}
