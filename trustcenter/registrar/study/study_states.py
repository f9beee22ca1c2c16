"""The states of a study as a pure state machine: which step may follow which, and what each allows.

    draft ──► open ◄──► frozen ──► released ──► closed ──► deleted
      │         └──────────┴──────────────────────┘
      └──────────────────────────────────────────────────► deleted

A frozen study takes no data, but still links. A release of a frozen study is final and makes it `released`; of an open
one it is an interim release. Purged rows do not come back: no way leads from `released` or `closed` to `open`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from trustcenter.errors import ConflictError, PolicyError


class StudyState(StrEnum):
    """Where a study stands."""

    DRAFT = "draft"  # nobody sends anything yet; the comparator knows nothing of it
    OPEN = "open"
    FROZEN = "frozen"
    RELEASED = "released"
    CLOSED = "closed"
    DELETED = "deleted"


class Act(StrEnum):
    """What a study's state allows or forbids."""

    AGREE = "agree"  # on a study secret
    DATA = "data"  # record numbers, rows, maps
    RENEW = "renew"  # a new version
    LINK = "link"
    CLEAR = "clear"
    RELEASE = "release"
    HAND_OVER = "hand_over"  # results of sites, join maps and changes


_S = StudyState
_NEXT: Final = {
    _S.DRAFT: {_S.OPEN, _S.DELETED},
    _S.OPEN: {_S.FROZEN, _S.CLOSED},
    _S.FROZEN: {_S.OPEN, _S.RELEASED, _S.CLOSED},
    _S.RELEASED: {_S.CLOSED},
    _S.CLOSED: {_S.DELETED},
    _S.DELETED: set[StudyState](),
}
_ALLOWED: Final = {
    _S.DRAFT: {Act.AGREE},
    _S.OPEN: set(Act),
    _S.FROZEN: {Act.AGREE, Act.RENEW, Act.LINK, Act.CLEAR, Act.RELEASE, Act.HAND_OVER},
    _S.RELEASED: {Act.HAND_OVER},
    _S.CLOSED: {Act.HAND_OVER},
    _S.DELETED: set[Act](),
}


def require_move(state: str, target: StudyState) -> bool:
    """Check a step. The state that a study has already is no step, and harmless.

    Returns:
        Whether there is a step to take.

    Raises:
        ConflictError: no step leads from one to the other.
    """
    now = StudyState(state)
    if target is now:
        return False
    if target not in _NEXT[now]:
        ways = ", ".join(sorted(_NEXT[now])) or "nowhere"
        raise ConflictError(
            f"a study that is {now} cannot become {target}", code="study_state", hint=f"from here it goes to: {ways}"
        )
    return True


def require(state: str, act: Act) -> None:
    """Check that a study's state allows something.

    Raises:
        PolicyError: it does not.
    """
    now = StudyState(state)
    if act in _ALLOWED[now]:
        return
    if act is Act.DATA and now is not StudyState.DRAFT:
        raise PolicyError(
            "this study takes no more data",
            code="study_closed",
            hint="it is frozen, released or closed; trustcenter study show names its state",
        )
    raise PolicyError(
        f"a study that is {now} does not allow this", code="study_state", hint="trustcenter study show names its state"
    )


def purges(policy: str, target: StudyState) -> bool:
    """Whether rows, refs and edges are purged when a study comes into a state; `policy` is "released" or "closed"."""
    return target is StudyState.CLOSED or (policy == "released" and target is StudyState.RELEASED)
