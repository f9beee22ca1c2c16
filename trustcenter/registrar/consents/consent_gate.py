"""Where consent stands in the way: items of a batch whose person has not permitted what the domain requires.

Asked inside the transaction that would issue, so a withdrawal and an issue at the same time have an order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from trustcenter.audit import Event
from trustcenter.messages import api
from trustcenter.messages.consent import code_system
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms.batches import Batch
from trustcenter.store import Connection, select_in

from . import consent_store as store
from .consent_days import german_day
from .consent_decision import Status, decide, relevant

_HINTS: Final = {
    Status.MISSING: "what the domain requires was not permitted, or its first day has not come",
    Status.EXPIRED: "what the domain requires was permitted, and its period is over",
    Status.WITHDRAWN: "what the domain requires was withdrawn or refused; a newer consent lifts it",
}


def today(context: Context) -> date:
    """The day that decides."""
    return german_day(context.clock())


def refusal(index: int, status: Status) -> api.ItemError:
    """The error of an item whose status is not `permitted`."""
    return api.ItemError(index=index, code=f"consent_{status.value}", hint=_HINTS[status])


def statuses(context: Context, conn: Connection, domain: DomainRow, tags: Sequence[bytes]) -> list[Status]:
    """The status of each person, in order."""
    system, required, day = code_system(), domain.policy.consent, today(context)
    held = store.load(conn, domain.id, tags, relevant(system, required) if required else None)
    found = {tag: decide(system, held.get(tag, {}), required, day) for tag in set(tags)}
    return [found[tag] for tag in tags]


def _asks(conn: Connection, domain: DomainRow) -> bool:
    """Whether a person can be refused: something is required, or in a study somebody was withdrawn all the same."""
    if domain.policy.consent or domain.study is None:
        return bool(domain.policy.consent)
    return conn.execute("SELECT 1 FROM consent WHERE domain = ? LIMIT 1", (domain.id,)).fetchone() is not None


def admit(context: Context, conn: Connection, domain: DomainRow, batch: Batch) -> Batch:
    """The items of a batch whose persons have permitted what the domain requires; the others become errors."""
    if not _asks(conn, domain):
        return batch
    found = statuses(context, conn, domain, batch.tags)
    if all(status is Status.PERMITTED for status in found):
        return batch
    kept = [at for at, status in enumerate(found) if status is Status.PERMITTED]
    errors = [
        refusal(place, status)
        for place, status in zip(batch.good, found, strict=True)
        if status is not Status.PERMITTED
    ]
    return replace(
        batch,
        good=[batch.good[at] for at in kept],
        values=[batch.values[at] for at in kept],
        tags=[batch.tags[at] for at in kept],
        errors=sorted([*batch.errors, *errors], key=lambda error: error.index),
    )


def refused_rows(
    context: Context, conn: Connection, domain: DomainRow, rows: Sequence[tuple[int, bytes] | None]
) -> dict[int, api.ItemError]:
    """Errors, by place, of rows (serial, nonce) whose persons have not permitted what their domain requires."""
    if not _asks(conn, domain):
        return {}
    query = "SELECT serial, tag FROM entry WHERE domain = ? AND tag IS NOT NULL AND serial IN {values}"
    tags = dict(select_in(conn, query, (domain.id,), sorted({row[0] for row in rows if row is not None})))
    places = [at for at, row in enumerate(rows) if row is not None and row[0] in tags]
    found = statuses(context, conn, domain, [tags[row[0]] for at in places if (row := rows[at]) is not None])
    return {at: refusal(at, status) for at, status in zip(places, found, strict=True) if status is not Status.PERMITTED}


def note(
    context: Context, conn: Connection, domain: DomainRow, who: str, request: str, errors: Sequence[api.ItemError]
) -> None:
    """Say in the log how many items were refused for want of consent, if any were."""
    counts = Counter(error.code.removeprefix("consent_") for error in errors if error.code.startswith("consent_"))
    if counts:
        event = Event.RECORD_REFUSED if domain.study is not None else Event.PSEUDONYM_REFUSED
        context.audit(conn, event, who, request, domain=domain.name, consent=dict(counts))
