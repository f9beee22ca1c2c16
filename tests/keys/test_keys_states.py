"""Key lifecycle as a scenario table: one row a sentence, every (state, action) and (state, operation) covered."""

import itertools

import pytest

from keys.errors import IllegalTransitionError
from keys.states import Allowance, KeyAction, KeyState, Operation, allowance, may, transition

P, A, S, D, C, X = KeyState
ACTIVATE, SUSPEND, ROLL_BACK, DEACTIVATE, COMPROMISED, DESTROY = KeyAction

STORIES = {
    "a new version is activated": (P, [ACTIVATE], A),
    "a new version is never used and destroyed": (P, [DESTROY], X),
    "a new version leaks before its first use": (P, [COMPROMISED, DESTROY], X),
    "a rotation: the old version is suspended, then deactivated, then destroyed": (
        A,
        [SUSPEND, DEACTIVATE, DESTROY],
        X,
    ),
    "a rotation is rolled back within the grace period": (A, [SUSPEND, ROLL_BACK], A),
    "a rotation is rolled back twice": (A, [SUSPEND, ROLL_BACK, SUSPEND, ROLL_BACK], A),
    "a suspended version is destroyed once everybody has its map": (S, [DESTROY], X),
    "an active version is deactivated without grace": (A, [DEACTIVATE], D),
    "an active version leaks": (A, [COMPROMISED], C),
    "a suspended version leaks": (S, [COMPROMISED, DESTROY], X),
    "a deactivated version leaks": (D, [COMPROMISED, DESTROY], X),
}

REFUSALS = {
    "an active version is not destroyed under its users": (A, DESTROY),
    "an active version is not activated again": (A, ACTIVATE),
    "an active version has nothing to roll back": (A, ROLL_BACK),
    "a deactivated version never comes back": (D, ACTIVATE),
    "a deactivated version is not rolled back": (D, ROLL_BACK),
    "a deactivated version is not suspended": (D, SUSPEND),
    "a compromised version never comes back": (C, ACTIVATE),
    "a compromised version is not rolled back": (C, ROLL_BACK),
    "a compromised version is not deactivated, which would hide it": (C, DEACTIVATE),
    "a suspended version comes back by roll-back only": (S, ACTIVATE),
    "a new version has no grace period": (P, SUSPEND),
    "a new version is not deactivated": (P, DEACTIVATE),
    "a new version is not rolled back": (P, ROLL_BACK),
    "a destroyed version is not destroyed again": (X, DESTROY),
    "a destroyed version never comes back": (X, ACTIVATE),
    "a destroyed version is not marked": (X, COMPROMISED),
}


@pytest.mark.parametrize(("start", "actions", "end"), STORIES.values(), ids=STORIES)
def test_what_may_happen_to_a_key(start, actions, end):
    state = start
    for action in actions:
        state = transition(state, action)
    assert state is end


@pytest.mark.parametrize(("state", "action"), REFUSALS.values(), ids=REFUSALS)
def test_what_may_not_happen_to_a_key(state, action):
    with pytest.raises(IllegalTransitionError) as caught:
        transition(state, action)
    assert caught.value.kind == "conflict"


def test_exactly_the_transitions_of_the_table_exist():
    allowed = {
        P: {A, X, C},
        A: {S, D, C},
        S: {A, D, C, X},
        D: {X, C},
        C: {X},
        X: set(),
    }
    reached = {state: set() for state in KeyState}
    for state, action in itertools.product(KeyState, KeyAction):
        try:
            reached[state].add(transition(state, action))
        except IllegalTransitionError:
            continue
    assert reached == allowed


TABLE = {  # self-test, issue, resolve, translate from, translate to
    P: ["yes", "no", "no", "no", "no"],
    A: ["yes", "yes", "yes", "yes", "yes"],
    S: ["yes", "no", "yes", "yes", "yes"],
    D: ["yes", "no", "yes", "yes", "no"],
    C: ["no", "no", "dual-control", "centre-only", "no"],
    X: ["no", "no", "no", "no", "no"],
}


@pytest.mark.parametrize("state", KeyState)
def test_what_a_key_may_do(state):
    assert [str(allowance(state, operation)) for operation in Operation] == TABLE[state]


@pytest.mark.parametrize(("state", "operation"), list(itertools.product(KeyState, Operation)))
def test_conditions_count_only_when_the_caller_has_met_them(state, operation):
    expected = allowance(state, operation)
    assert may(state, operation) is (expected is Allowance.YES)
    assert may(state, operation, dual_control=True) is (expected in {Allowance.YES, Allowance.DUAL_CONTROL})
    assert may(state, operation, centre_only=True) is (expected in {Allowance.YES, Allowance.CENTRE_ONLY})


def test_only_one_state_issues():
    assert [state for state in KeyState if may(state, Operation.ISSUE, dual_control=True, centre_only=True)] == [A]
