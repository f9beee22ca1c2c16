"""Clearing: doubtful pairs that stewards decide. Counts and levels, never content."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trustcenter.messages.common import Count, Day, Hex16, Message, Name
from trustcenter.messages.words import ClearingReason

Two = msgspec.Meta(min_length=2, max_length=2)


class ClearingTask(Message, frozen=True, kw_only=True):
    """A doubtful pair of records of two sites.

    `level` is the mean of the edges' levels as midpoints of distance; `rivals` counts other pairs of either record.
    Which records they are, and who has answered what, is not said.
    """

    task: Hex16
    sites: list[Name]
    origin: Literal["run", "pair", "split"]
    edges: Count
    level: float | None
    rivals: Count
    decided: bool
    postponed: Day | None
    created: str
    unmet: bool = False  # decided "same", and the latest run could not join it


class ClearingTasks(Message, frozen=True, kw_only=True):
    """What waits for the caller, how far the study is, and which decisions a run could not carry out.

    `unmet` are pairs that were called one person although that would put two records of one source together, which the
    source has declared not to happen.
    """

    tasks: list[ClearingTask]
    total: Count
    decided: Count
    disagreements: Count
    unmet: list[ClearingTask] = msgspec.field(default_factory=list)


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
