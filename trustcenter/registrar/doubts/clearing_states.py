"""The states of a clearing task as a pure function of the answers it has.

    open ──► decided                               one steward ("single")
    open ──► second ──► decided                    two agree ("double"), the second blind to the first
                   └──► disagreement ──► decided   a third decides

A task that was decided stays so; who has answered is not asked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

WANTED: Final = {"single": 1, "double": 2}


class TaskState(StrEnum):
    """Where a task stands."""

    OPEN = "open"
    SECOND = "second"
    DISAGREEMENT = "disagreement"
    DECIDED = "decided"


def state_of(mode: str, answers: Sequence[str]) -> tuple[TaskState, str | None]:
    """State and verdict of a task.

    Args:
        mode: "single" or "double"; decided by the study.
        answers: "same" or "different", one per steward, in the order they were given.
    """
    wanted = WANTED[mode]
    counts = Counter(answers)
    for word in ("same", "different"):
        if counts[word] >= wanted:
            return TaskState.DECIDED, word
    if len(counts) == 2:
        return TaskState.DISAGREEMENT, None
    return (TaskState.SECOND if answers else TaskState.OPEN), None
