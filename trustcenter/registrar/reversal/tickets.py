"""Life of a re-identification request: a pure state machine. Clock and storage are the caller's.

requested → approved → used-up; requested and approved → denied or, by time alone, expired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from trustcenter.errors import ConflictError, PolicyError


class TicketState(StrEnum):
    """Where a request is in its life."""

    REQUESTED = "requested"
    APPROVED = "approved"
    USED_UP = "used-up"
    EXPIRED = "expired"
    DENIED = "denied"


class TicketNeededError(PolicyError):
    """Originals are released on an approved, unexpired ticket only."""

    code = "ticket_needed"


@dataclass(frozen=True)
class Ticket:
    """A request, seen as what may still happen to it.

    Attributes:
        state: at the last step; `at` adds what time alone did since.
        open_until: the last signature must come before it.
        validity: life of the ticket from the last signature on.
        required: how many different people must sign.
        fetches_left: how often originals may still be fetched.
        signers: who has signed.
        expires: end of an approved ticket.
    """

    state: TicketState
    open_until: datetime
    validity: timedelta
    required: int
    fetches_left: int
    signers: frozenset[str] = frozenset()
    expires: datetime | None = None


def at(ticket: Ticket, now: datetime) -> Ticket:
    """The ticket as it stands at `now`: what has run out is expired, from the very moment of its end on."""
    deadline = {TicketState.REQUESTED: ticket.open_until, TicketState.APPROVED: ticket.expires}.get(ticket.state)
    return replace(ticket, state=TicketState.EXPIRED) if deadline is not None and now >= deadline else ticket


def sign(ticket: Ticket, who: str, now: datetime) -> Ticket:
    """Take a person's signature; the last one needed makes it an approved ticket. Signing again changes nothing.

    Raises:
        ConflictError: it is not open any more.
    """
    ticket = at(ticket, now)
    if ticket.state is TicketState.APPROVED and who in ticket.signers:
        return ticket
    if ticket.state is not TicketState.REQUESTED:
        raise _closed()
    signers = ticket.signers | {who}
    if len(signers) < ticket.required:
        return replace(ticket, signers=signers)
    return replace(ticket, signers=signers, state=TicketState.APPROVED, expires=now + ticket.validity)


def deny(ticket: Ticket, now: datetime) -> Ticket:
    """Deny a request, or take an approved ticket back.

    Raises:
        ConflictError: it is over already.
    """
    ticket = at(ticket, now)
    if ticket.state not in (TicketState.REQUESTED, TicketState.APPROVED):
        raise _closed()
    return replace(ticket, state=TicketState.DENIED)


def use(ticket: Ticket, now: datetime) -> Ticket:
    """Spend one fetch.

    Raises:
        TicketNeededError: there is no approved ticket now.
    """
    ticket = at(ticket, now)
    if ticket.state is not TicketState.APPROVED or ticket.fetches_left < 1:
        raise needed()
    left = ticket.fetches_left - 1
    return replace(ticket, fetches_left=left, state=TicketState.APPROVED if left else TicketState.USED_UP)


def needed() -> TicketNeededError:
    """One refusal for everything that is not an approved ticket, ids that do not exist included."""
    return TicketNeededError(
        "originals are released on an approved ticket only, and this is none now",
        hint="trustcenter reidentify list shows its state; an approver signs with: trustcenter reidentify approve ID",
    )


def _closed() -> ConflictError:
    return ConflictError(
        "this re-identification is decided or over",
        code="reidentification_closed",
        hint="trustcenter reidentify list --all shows its state; the site can make a new request",
    )
