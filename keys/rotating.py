"""Stages of a rotation: a pure state machine for both shapes; clock and storage are the caller's.

    flip:   prepared ─cut-over─► changed ─verify─► verified ─finalize─► finalized
                │ abort             │ roll back        │
                ▼                   ▼                  ▼
             aborted            rolled-back        rolled-back

    cursor: prepared ─cut-over─► rewriting ─complete─► changed ─verify─► verified ─finalize─► finalized
                │ abort
                ▼
             aborted

A flip changes a state and rewrites nothing (pseudonym keys); a cursor job rewrites rows (lookup and data keys). Any
rotation under way ends as superseded when its new key is compromised: another one takes over from there.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from .errors import IllegalTransitionError
from .ids import Purpose


class Shape(StrEnum):
    """What a rotation does."""

    FLIP = "flip"
    CURSOR = "cursor"


class Stage(StrEnum):
    """How far it is."""

    PREPARED = "prepared"  # the new version waits; nothing else has changed
    REWRITING = "rewriting"  # the new version is active, the cursor under way
    CHANGED = "changed"  # the new version is active and everything new is under it
    VERIFIED = "verified"
    FINALIZED = "finalized"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled-back"
    SUPERSEDED = "superseded"


class Step(StrEnum):
    """What may happen to it."""

    CUT_OVER = "cut-over"
    COMPLETE = "complete"
    VERIFY = "verify"
    FINALIZE = "finalize"
    ABORT = "abort"
    ROLL_BACK = "roll-back"
    SUPERSEDE = "supersede"


OPEN: Final = frozenset({Stage.PREPARED, Stage.REWRITING, Stage.CHANGED, Stage.VERIFIED})

_F, _C = Shape.FLIP, Shape.CURSOR
_BOTH: Final = {
    (Stage.PREPARED, Step.ABORT): Stage.ABORTED,
    (Stage.CHANGED, Step.VERIFY): Stage.VERIFIED,
    (Stage.VERIFIED, Step.VERIFY): Stage.VERIFIED,
    (Stage.VERIFIED, Step.FINALIZE): Stage.FINALIZED,
    **{(stage, Step.SUPERSEDE): Stage.SUPERSEDED for stage in (Stage.REWRITING, Stage.CHANGED, Stage.VERIFIED)},
}
STEPS: Final = MappingProxyType(
    {
        **{(shape, *key): after for shape in Shape for key, after in _BOTH.items()},
        (_F, Stage.PREPARED, Step.CUT_OVER): Stage.CHANGED,
        (_F, Stage.CHANGED, Step.ROLL_BACK): Stage.ROLLED_BACK,
        (_F, Stage.VERIFIED, Step.ROLL_BACK): Stage.ROLLED_BACK,
        (_C, Stage.PREPARED, Step.CUT_OVER): Stage.REWRITING,
        (_C, Stage.REWRITING, Step.COMPLETE): Stage.CHANGED,
    }
)


def shape_of(purpose: Purpose) -> Shape:
    """The shape of a rotation of a key with that purpose."""
    return Shape.CURSOR if purpose in (Purpose.LOOKUP, Purpose.DATA) else Shape.FLIP


def advance(shape: Shape, stage: Stage, step: Step) -> Stage:
    """The next stage.

    Raises:
        IllegalTransitionError: the step is not possible at that stage.
    """
    after = STEPS.get((shape, stage, step))
    if after is None:
        raise IllegalTransitionError(
            f"a rotation that is {Stage(stage)} cannot take the step {Step(step)}",
            hint="trustcenter keys rotation show names the stage and what comes next",
            where="stage",
        )
    return after
