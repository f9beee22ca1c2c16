"""Clearing: doubtful pairs that stewards decide. Counts and levels, never content."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trustcenter.messages.common import Count, Day, Hex16, Message, Name
from trustcenter.messages.words import ClearingReason, SiteAnswer

Two = msgspec.Meta(min_length=2, max_length=2)


class ClearingTask(Message, frozen=True, kw_only=True):
    """A doubtful pair of records of two sites.

    `level` is the mean of the edges' levels as midpoints of distance; `rivals` counts other pairs of either record.
    `joined` says whether the two are one person now, and `records` how many records the persons of the two have.
    Which records they are, and who has answered what, is not said.
    """

    task: Hex16
    sites: list[Name]
    origin: Literal["run", "pair", "split"]
    edges: Count
    level: float | None
    rivals: Count | None  # None: a pair that somebody named, and that no run has found doubtful
    joined: bool
    records: Count
    decided: bool
    postponed: Day | None
    created: str
    asked: bool = False  # whether the two sites were asked about their records
    site_answers: list[SiteAnswer] | None = None  # sorted, when both have answered
    unmet: bool = False  # decided "same", and the latest run could not join it


class ClearingTasks(Message, frozen=True, kw_only=True):
    """What waits for the caller, the most urgent first; how far the study is; and what a run could not carry out.

    `postponed` are tasks that somebody put off, and that can be answered all the same.
    `unmet` are pairs that were called one person although that would put two records of one source together, which the
    source has declared not to happen.
    """

    tasks: list[ClearingTask]
    total: Count
    decided: Count
    disagreements: Count
    unmet: list[ClearingTask] = msgspec.field(default_factory=list)
    postponed: list[ClearingTask] = msgspec.field(default_factory=list)


class ClearingAnswer(Message, frozen=True, kw_only=True):
    """A steward's answer, with a reason of the list."""

    answer: Literal["same", "different"]
    reason: ClearingReason


class ClearingPostpone(Message, frozen=True, kw_only=True):
    """The day on which a task is shown again."""

    until: Day


class ClearingAsk(Message, frozen=True, kw_only=True):
    """A pair that somebody names by study pseudonyms, each of the site in the same place."""

    sites: Annotated[list[Name], Two]
    pseudonyms: Annotated[list[Annotated[str, msgspec.Meta(max_length=200)]], Two]


class ClearingAskSites(Message, frozen=True, kw_only=True):
    """Tasks about whose records the two sites are asked, among control questions."""

    tasks: Annotated[list[Hex16], msgspec.Meta(min_length=1, max_length=1000)]


class ClearingRound(Message, frozen=True, kw_only=True):
    """A round of questions: every site of the study is asked about `each` of its records, or all if it has fewer."""

    round: Count
    each: Count
    tasks: Count


class SiteQuestions(Message, frozen=True, kw_only=True):
    """Records of the caller that it is asked to look at. Most were drawn by chance: being asked says nothing."""

    record_numbers: list[Hex16]


class SiteReply(Message, frozen=True, kw_only=True):
    """What a site found of a record of its own."""

    record_number: Hex16
    answer: SiteAnswer


class SiteReplies(Message, frozen=True, kw_only=True):
    """Answers about own records."""

    replies: Annotated[list[SiteReply], msgspec.Meta(min_length=1, max_length=10_000)]


class SiteReplied(Message, frozen=True, kw_only=True):
    """How many answers were new, and how many questions are left."""

    answered: Count
    left: Count
