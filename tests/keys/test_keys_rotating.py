"""Stages of a rotation as scenario tables; what no row names is refused."""

import itertools

import pytest

from keys.errors import IllegalTransitionError
from keys.ids import Purpose
from keys.rotating import OPEN, STEPS, Shape, Stage, Step, advance, shape_of

F, C = Shape.FLIP, Shape.CURSOR
CUT, DONE, VERIFY, END, ABORT, BACK, OVER = Step

STORIES = {
    "a pseudonym key is rotated": (F, [CUT, VERIFY, END], Stage.FINALIZED),
    "verified twice": (F, [CUT, VERIFY, VERIFY, END], Stage.FINALIZED),
    "a lookup or data key is rotated": (C, [CUT, DONE, VERIFY, END], Stage.FINALIZED),
    "a rotation is aborted before its cut-over": (F, [ABORT], Stage.ABORTED),
    "a cursor job is aborted before its cut-over": (C, [ABORT], Stage.ABORTED),
    "rolled back while the old key is suspended": (F, [CUT, BACK], Stage.ROLLED_BACK),
    "rolled back after verification": (F, [CUT, VERIFY, BACK], Stage.ROLLED_BACK),
    "the new key leaks": (F, [CUT, OVER], Stage.SUPERSEDED),
    "the new key leaks while rows are rewritten": (C, [CUT, OVER], Stage.SUPERSEDED),
}
REFUSALS = {
    "nothing is verified before the cut-over": (F, [VERIFY]),
    "nothing is finalized without verification": (F, [CUT, END]),
    "nothing is aborted after the cut-over": (F, [CUT, ABORT]),
    "a finalized rotation is not rolled back": (F, [CUT, VERIFY, END, BACK]),
    "an aborted rotation does not go on": (F, [ABORT, CUT]),
    "a rolled-back rotation does not go on": (F, [CUT, BACK, VERIFY]),
    "a flip has nothing to complete": (F, [CUT, DONE]),
    "rows are not verified while they are rewritten": (C, [CUT, VERIFY]),
    "rewritten rows do not go back": (C, [CUT, DONE, BACK]),
}


@pytest.mark.parametrize(("shape", "steps", "end"), STORIES.values(), ids=STORIES)
def test_what_may_happen_to_a_rotation(shape, steps, end):
    stage = Stage.PREPARED
    for step in steps:
        stage = advance(shape, stage, step)
    assert stage is end
    assert stage not in OPEN


@pytest.mark.parametrize(("shape", "steps"), REFUSALS.values(), ids=REFUSALS)
def test_what_may_not_happen_to_a_rotation(shape, steps):
    stage = Stage.PREPARED
    for step in steps[:-1]:
        stage = advance(shape, stage, step)
    with pytest.raises(IllegalTransitionError):
        advance(shape, stage, steps[-1])


def test_every_step_that_is_not_named_is_refused_and_the_end_is_the_end():
    for shape, stage, step in itertools.product(Shape, Stage, Step):
        if (shape, stage, step) not in STEPS:
            with pytest.raises(IllegalTransitionError):
                advance(shape, stage, step)
        else:
            assert stage in OPEN


def test_shapes():
    assert {purpose for purpose in Purpose if shape_of(purpose) is C} == {Purpose.LOOKUP, Purpose.DATA}
