"""Lifecycle of a key version: a pure state machine after NIST SP 800-57 part 1, section 7.

The states live in the database; clock and storage are the caller's. Destroyed and compromised-and-destroyed
are one state here: nothing can be done with either.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from .errors import IllegalTransitionError


class KeyState(StrEnum):
    """Where a key version is in its life."""

    PRE_ACTIVE = "pre-active"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


class KeyAction(StrEnum):
    """What may happen to it."""

    ACTIVATE = "activate"  # cut-over to a new version
    SUSPEND = "suspend"  # the old version at cut-over: its grace period starts
    ROLL_BACK = "roll-back"  # a suspended version becomes the active one again
    DEACTIVATE = "deactivate"
    MARK_COMPROMISED = "mark-compromised"
    DESTROY = "destroy"


class Operation(StrEnum):
    """What a key version may be asked to do."""

    SELF_TEST = "self-test"
    ISSUE = "issue"
    RESOLVE = "resolve"  # look up, re-identify
    TRANSLATE_FROM = "translate-from"  # it is the old one of a translation
    TRANSLATE_TO = "translate-to"  # it is the new one


class Allowance(StrEnum):
    """Whether, and under what condition."""

    NO = "no"
    YES = "yes"
    DUAL_CONTROL = "dual-control"  # two people, and every answer is flagged
    CENTRE_ONLY = "centre-only"  # inside the trust center; no result leaves with it


_S, _A, _O = KeyState, KeyAction, Operation

TRANSITIONS: Final = MappingProxyType(
    {
        (_S.PRE_ACTIVE, _A.ACTIVATE): _S.ACTIVE,
        (_S.PRE_ACTIVE, _A.MARK_COMPROMISED): _S.COMPROMISED,
        (_S.PRE_ACTIVE, _A.DESTROY): _S.DESTROYED,
        (_S.ACTIVE, _A.SUSPEND): _S.SUSPENDED,
        (_S.ACTIVE, _A.DEACTIVATE): _S.DEACTIVATED,
        (_S.ACTIVE, _A.MARK_COMPROMISED): _S.COMPROMISED,
        (_S.SUSPENDED, _A.ROLL_BACK): _S.ACTIVE,
        (_S.SUSPENDED, _A.DEACTIVATE): _S.DEACTIVATED,
        (_S.SUSPENDED, _A.MARK_COMPROMISED): _S.COMPROMISED,
        (_S.SUSPENDED, _A.DESTROY): _S.DESTROYED,
        (_S.DEACTIVATED, _A.MARK_COMPROMISED): _S.COMPROMISED,
        (_S.DEACTIVATED, _A.DESTROY): _S.DESTROYED,
        (_S.COMPROMISED, _A.DESTROY): _S.DESTROYED,
    }
)

_ALLOWANCES: Final = MappingProxyType(
    {
        (_S.PRE_ACTIVE, _O.SELF_TEST): Allowance.YES,
        (_S.ACTIVE, _O.SELF_TEST): Allowance.YES,
        (_S.ACTIVE, _O.ISSUE): Allowance.YES,
        (_S.ACTIVE, _O.RESOLVE): Allowance.YES,
        (_S.ACTIVE, _O.TRANSLATE_FROM): Allowance.YES,
        (_S.ACTIVE, _O.TRANSLATE_TO): Allowance.YES,
        (_S.SUSPENDED, _O.SELF_TEST): Allowance.YES,
        (_S.SUSPENDED, _O.RESOLVE): Allowance.YES,
        (_S.SUSPENDED, _O.TRANSLATE_FROM): Allowance.YES,
        (_S.SUSPENDED, _O.TRANSLATE_TO): Allowance.YES,
        (_S.DEACTIVATED, _O.SELF_TEST): Allowance.YES,
        (_S.DEACTIVATED, _O.RESOLVE): Allowance.YES,
        (_S.DEACTIVATED, _O.TRANSLATE_FROM): Allowance.YES,
        (_S.COMPROMISED, _O.RESOLVE): Allowance.DUAL_CONTROL,
        (_S.COMPROMISED, _O.TRANSLATE_FROM): Allowance.CENTRE_ONLY,
    }
)


def transition(state: KeyState, action: KeyAction) -> KeyState:
    """The next state.

    Raises:
        IllegalTransitionError: the action is not allowed in that state.
    """
    after = TRANSITIONS.get((state, action))
    if after is None:
        raise IllegalTransitionError(
            f"a key that is {KeyState(state)} cannot take the action {KeyAction(action)}", where="state"
        )
    return after


def allowance(state: KeyState, operation: Operation) -> Allowance:
    """Whether a key in that state may do the operation, and under what condition.

    A domain's lowest version that still resolves is the domain's setting and is tested by the caller.
    """
    return _ALLOWANCES.get((state, operation), Allowance.NO)


def may(state: KeyState, operation: Operation, *, dual_control: bool = False, centre_only: bool = False) -> bool:
    """Whether it may, with the conditions that the caller has met; a caller who names none gets the strict answer.

    Args:
        state: of the key version.
        operation: what is wanted of it.
        dual_control: two people agreed, and the answer will be flagged.
        centre_only: no result leaves the trust center together with the old pseudonym.
    """
    match allowance(state, operation):
        case Allowance.YES:
            return True
        case Allowance.DUAL_CONTROL:
            return dual_control
        case Allowance.CENTRE_ONLY:
            return centre_only
        case _:
            return False
