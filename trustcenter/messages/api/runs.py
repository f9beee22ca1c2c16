"""Runs of the linkage: what one would do, how far it is, and what it found."""

from __future__ import annotations

import msgspec

from trustcenter.messages.common import Count, Hex16, Hex32, Message, Name


class SourceCount(Message, frozen=True, kw_only=True):
    """What a source brought into a run."""

    site: Name
    records: Count
    rows: Count
    left_out: Count = 0  # records whose persons have not permitted what the study requires


class PairCount(Message, frozen=True, kw_only=True):
    """What a run found between two sources."""

    sites: list[Name]
    edges: Count
    matches: Count
    possible: Count


class RunCounts(Message, frozen=True, kw_only=True):
    """Counts of a finished run: of the study; `edges`, `pairs` and `decided` are of what it looked at.

    `outgrown` are pairs of sites whose frozen weights were estimated from less than half of what they have in common by
    now; only a run that decides everything looks for them.
    """

    sources: list[SourceCount]
    pairs: list[PairCount]
    edges: Count  # that the comparator brought
    decided: Count = 0  # records that hang together with what the window brought, or all
    persons: Count
    linked_persons: Count
    largest_cluster: Count
    refused_declarations: list[Name]  # sources that declared themselves deduplicated and are not
    outgrown: list[list[Name]] = msgspec.field(default_factory=list)
    unmet: Count = 0  # pairs called the same that could not be joined: two records of one source would be one person


class Run(Message, frozen=True, kw_only=True):
    """A linkage run and how far it is. `done` of `total` in the current stage."""

    run: Hex16
    study: Name
    window: int
    mode: str  # "window", "full" or "estimate"
    state: str
    stage: str
    done: Count
    total: Count
    eta_seconds: float | None
    created: str
    finished: str | None
    parameters_hash: Hex32 | None
    counts: RunCounts | None
    error: str | None


class RunPlan(Message, frozen=True, kw_only=True):
    """What a run would do now. The numbers of comparisons and seconds are estimates."""

    study: Name
    mode: str
    rows: Count
    fresh_rows: Count  # that no applied run has compared
    comparisons: Count
    everything: bool  # whether all records would be decided
    seconds: float  # on two free cores


class Runs(Message, frozen=True, kw_only=True):
    """The runs of a study, newest first."""

    runs: list[Run]
