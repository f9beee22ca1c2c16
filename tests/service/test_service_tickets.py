"""Life of a re-identification request as a scenario table: one row a sentence, the clock passed in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trustcenter.errors import ConflictError
from trustcenter.registrar.reversal.tickets import Ticket, TicketNeededError, TicketState, at, deny, sign, use

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
R, A, U, E, D = TicketState


def made(required: int = 1, fetches: int = 2) -> Ticket:
    return Ticket(R, START + 168 * HOUR, 24 * HOUR, required, fetches)


def play(ticket: Ticket, steps: list[tuple[float, str]]) -> Ticket:
    """Steps are (hours after the request, what happens); names sign."""
    for hours, step in steps:
        now = START + hours * HOUR
        if step == "look":
            ticket = at(ticket, now)
        elif step == "deny":
            ticket = deny(ticket, now)
        elif step == "fetch":
            ticket = use(ticket, now)
        else:
            ticket = sign(ticket, step, now)
    return ticket


STORIES = {
    "a request that nobody has seen is requested": (1, [(167.9, "look")], R),
    "one signature makes it a ticket": (1, [(5, "anna")], A),
    "the same person signs twice, to be sure": (1, [(5, "anna"), (6, "anna")], A),
    "where two must sign, one signature is not enough": (2, [(5, "anna")], R),
    "where two must sign, the same person twice is not enough": (2, [(5, "anna"), (6, "anna")], R),
    "where two must sign, two people make it a ticket": (2, [(5, "anna"), (6, "bernd")], A),
    "a ticket is used once and is still valid": (1, [(5, "anna"), (6, "fetch")], A),
    "a ticket is used as often as it allows": (1, [(5, "anna"), (6, "fetch"), (7, "fetch")], U),
    "a used-up ticket stays so when its time is over": (
        1,
        [(5, "anna"), (6, "fetch"), (7, "fetch"), (100, "look")],
        U,
    ),
    "a request is denied": (1, [(5, "deny")], D),
    "a request is denied after the first of two signatures": (2, [(5, "anna"), (6, "deny")], D),
    "a ticket is taken back before its use": (1, [(5, "anna"), (6, "deny")], D),
    "a ticket is taken back between two uses": (1, [(5, "anna"), (6, "fetch"), (7, "deny")], D),
    "a denied request stays denied when its time is over": (1, [(5, "deny"), (500, "look")], D),
    "a request that nobody decides expires after a week": (1, [(168, "look")], E),
    "a ticket lives for its hours from the signature on": (1, [(100, "anna"), (123.9, "look")], A),
    "a ticket expires at the very end of its hours": (1, [(100, "anna"), (124, "look")], E),
    "a ticket may outlive the time for signing": (1, [(167, "anna"), (190.9, "fetch")], A),
}

REFUSALS = {
    "originals before any signature": (1, [], (1, "fetch"), TicketNeededError),
    "originals after one of two signatures": (2, [(1, "anna")], (2, "fetch"), TicketNeededError),
    "originals of a denied request": (1, [(1, "deny")], (2, "fetch"), TicketNeededError),
    "originals of a ticket that was taken back": (1, [(1, "anna"), (2, "deny")], (3, "fetch"), TicketNeededError),
    "originals once the ticket is used up": (
        1,
        [(1, "anna"), (2, "fetch"), (3, "fetch")],
        (4, "fetch"),
        TicketNeededError,
    ),
    "originals at the moment of expiry": (1, [(1, "anna")], (25, "fetch"), TicketNeededError),
    "originals of a request that was never decided": (1, [], (200, "fetch"), TicketNeededError),
    "a signature that comes too late": (1, [], (168, "anna"), ConflictError),
    "a signature under a denied request": (1, [(1, "deny")], (2, "anna"), ConflictError),
    "a second approver's signature under a finished ticket": (1, [(1, "anna")], (2, "bernd"), ConflictError),
    "a signature that would revive an expired ticket": (1, [(1, "anna")], (26, "anna"), ConflictError),
    "a denial of a denied request": (1, [(1, "deny")], (2, "deny"), ConflictError),
    "a denial of an expired ticket": (1, [(1, "anna")], (26, "deny"), ConflictError),
    "a denial of a used-up ticket": (1, [(1, "anna"), (2, "fetch"), (3, "fetch")], (4, "deny"), ConflictError),
}


@pytest.mark.parametrize(("required", "steps", "end"), STORIES.values(), ids=STORIES)
def test_what_may_happen_to_a_request(required, steps, end) -> None:
    assert play(made(required), steps).state is end


@pytest.mark.parametrize(("required", "before", "step", "error"), REFUSALS.values(), ids=REFUSALS)
def test_what_may_not_happen_to_a_request(required, before, step, error) -> None:
    ticket = play(made(required), before)
    with pytest.raises(error):
        play(ticket, [step])


def test_every_state_meets_every_step() -> None:
    reached = {end for _, _, end in STORIES.values()}
    refused = {(play(made(required), before).state, step[1]) for required, before, step, _ in REFUSALS.values()}
    assert reached == set(TicketState)
    assert {(state, "fetch") for state in (R, A, U, D)} <= refused
