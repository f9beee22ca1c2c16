"""Releases of a join map, and what changes after one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trustcenter.messages.common import Count, Hex16, Message, Name, Positive


class ReleaseCreate(Message, frozen=True, kw_only=True):
    """A proposal to hand the join map to a data recipient."""

    recipient: Name


class Release(Message, frozen=True, kw_only=True):
    """A proposed or completed release. `statement` is what two approvers sign."""

    release: Hex16
    study: Name
    recipient: Name
    run: Hex16
    statement: str
    approvals: list[Name]
    required: int
    state: str
    records: Count
    created: str


class Releases(Message, frozen=True, kw_only=True):
    """The releases of a study, newest first."""

    releases: list[Release]


class Approval(Message, frozen=True, kw_only=True):
    """The caller's signature over the statement, made with the personal key."""

    signature: Annotated[str, msgspec.Meta(max_length=200)]


class ChangeBatch(Message, frozen=True, kw_only=True):
    """Changes to a released join map, sealed to its recipient (docs/spec/changes.md), and how many of each kind.

    Of a batch with withdrawals the recipient gives back the code that is inside, when it has acted on them.
    """

    number: Positive
    created: str
    merged: Count
    moved: Count
    withdrawn: Count
    sealed: bytes
    letter: str  # the registrar's signature for it (docs/spec/letter.md)
    acknowledge: bool
    acknowledged: str | None


class Changes(Message, frozen=True, kw_only=True):
    """Batches after a number, oldest first, at most 100 at a time; `last` is the newest that there is."""

    last: Count
    batches: list[ChangeBatch]


class ChangeCode(Message, frozen=True, kw_only=True):
    """The code that a recipient found in a batch."""

    number: Positive
    code: Hex16


class ChangesAcknowledge(Message, frozen=True, kw_only=True):
    """A recipient has acted on the withdrawals of these batches."""

    recipient: Name
    codes: Annotated[list[ChangeCode], msgspec.Meta(min_length=1, max_length=1000)]
