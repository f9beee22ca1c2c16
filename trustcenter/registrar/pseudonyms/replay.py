"""Forgetting again: deletions that a restored database does not know of (rule 9 of the suite).

The log names the serials of every deletion and anonymisation. Entries that came after the restored state are applied
to it before the instance serves; docs/spec/backup.md, "Replaying deletions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from trustcenter.audit import Event
from trustcenter.audit.entries import Entry
from trustcenter.errors import NotFoundError
from trustcenter.registrar import domains
from trustcenter.registrar.consents import consent_study
from trustcenter.registrar.context import Context
from trustcenter.registrar.release import release_changes
from trustcenter.store import Connection, select_in

from . import removal, rows

FORMAT: Final = "trustcenter/replay/1"
_EVENTS: Final[Mapping[str, Event]] = {
    event.value: event for event in (Event.PSEUDONYM_DELETE, Event.PSEUDONYM_ANONYMISE, Event.PSEUDONYM_EXPIRE)
}


class Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the log that told of a removal."""

    event: str
    domain: str
    serials: list[int]


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be forgotten again.

    Attributes:
        format: FORMAT.
        instance: whose log it was.
        first: first entry that the restored database lacks.
        size: of the newer log.
        root: of the newer log.
        removals: in the order of the log.
        withdrawals: withdrawals of consent in it; their block has to be sent again by the sites.
    """

    format: str
    instance: str
    first: int
    size: int
    root: str
    removals: list[Removal]
    withdrawals: int


def of_entry(entry: Entry) -> Removal | None:
    """The removal that an entry tells of."""
    domain, serials = entry.data.get("domain"), entry.data.get("serials")
    if entry.event not in _EVENTS or not isinstance(domain, str) or not isinstance(serials, list):
        return None
    return Removal(entry.event, domain, [serial for serial in serials if type(serial) is int])


async def apply(context: Context, replay: Replay) -> int:
    """Remove again whatever of it is still there, log it, and say how many rows that were. Safe to repeat."""

    def effect(conn: Connection) -> int:
        count = sum(_again(context, conn, removal_) for removal_ in replay.removals)
        context.audit(
            conn,
            Event.INSTANCE_REPLAY,
            "service",
            "",
            first=replay.first,
            size=replay.size,
            root=replay.root,
            entries=len(replay.removals),
            rows=count,
            withdrawals=replay.withdrawals,
        )
        return count

    return await context.db.write(effect)


def _again(context: Context, conn: Connection, what: Removal) -> int:
    try:
        domain = domains.find(conn, what.domain)
    except NotFoundError:  # made after the restored state, and lost with it
        return 0
    event = _EVENTS[what.event]
    there = "tag IS NOT NULL OR sealed IS NOT NULL" if event is Event.PSEUDONYM_ANONYMISE else "status = 0"
    query = f"SELECT serial FROM entry WHERE domain = ? AND ({there}) AND serial IN {{values}}"  # noqa: S608
    serials: Sequence[int] = sorted(row[0] for row in select_in(conn, query, (domain.id,), what.serials))
    if not serials:
        return 0
    if event is Event.PSEUDONYM_ANONYMISE:
        removal.detach(context, conn, domain.id, serials)
    else:
        status = rows.EXPIRED if event is Event.PSEUDONYM_EXPIRE else rows.DELETED
        if domain.study is not None:
            release_changes.withdraw(context, conn, domain.study, domain.id, serials)
        removal.erase(context, conn, domain.id, serials, status)
        if domain.study is not None:
            consent_study.forget(context, conn, domain, serials)
    removal.log(context, conn, event, "service", "", domain, serials)
    return len(serials)
