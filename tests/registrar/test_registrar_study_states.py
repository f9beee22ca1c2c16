"""The states of a study: every step and everything a state allows, as a table."""

from __future__ import annotations

import pytest

from trustcenter.errors import ConflictError, PolicyError
from trustcenter.registrar.study.study_states import Act, StudyState, purges, require, require_move

# from: where it goes
STEPS = {
    "draft": "open deleted",
    "open": "frozen closed",
    "frozen": "open released closed",
    "released": "closed",
    "closed": "deleted",
    "deleted": "",
}
# what: in which states
ALLOWED = {
    "agree": "draft open frozen",
    "data": "open",
    "renew": "open frozen",
    "link": "open frozen",
    "clear": "open frozen",
    "release": "open frozen",
    "hand_over": "open frozen released closed",
}


@pytest.mark.parametrize("state", STEPS)
@pytest.mark.parametrize("target", STEPS)
def test_steps(state: str, target: str) -> None:
    if target == state:
        assert not require_move(state, StudyState(target))
    elif target in STEPS[state].split():
        assert require_move(state, StudyState(target))
    else:
        with pytest.raises(ConflictError) as caught:
            require_move(state, StudyState(target))
        assert caught.value.code == "study_state"


@pytest.mark.parametrize("act", ALLOWED)
@pytest.mark.parametrize("state", STEPS)
def test_what_a_state_allows(state: str, act: str) -> None:
    if state in ALLOWED[act].split():
        require(state, Act(act))
        return
    with pytest.raises(PolicyError) as caught:
        require(state, Act(act))
    assert caught.value.code == ("study_closed" if act == "data" and state != "draft" else "study_state")


@pytest.mark.parametrize(
    ("policy", "states"), [("closed", {StudyState.CLOSED}), ("released", {StudyState.RELEASED, StudyState.CLOSED})]
)
def test_when_a_study_is_purged(policy: str, states: set[StudyState]) -> None:
    assert {state for state in StudyState if purges(policy, state)} == states


def test_the_tables_name_every_state_and_act() -> None:
    assert set(STEPS) == {state.value for state in StudyState}
    assert set(ALLOWED) == {act.value for act in Act}
