"""Forgetting: anonymise, delete, and what has expired (rule 9 of the suite).

Anonymise drops what leads back to the original, tag and sealed original; the pseudonym stays valid. Delete also
erases nonce, salt and stored string; the serial stays as a tombstone. The store overwrites what it frees, and
the log names the serials, so that a restored backup can be made to forget again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal

from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.clock import stamp
from trustcenter.errors import UsageError
from trustcenter.messages import api
from trustcenter.registrar import domains, policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.rotating import reindexing
from trustcenter.store import Connection

from . import batches, lookup, rows
from .resolving import Found

_SERIALS_PER_ENTRY: Final = 3000  # an entry of the log has at most 64 KiB
_KEPT_DAYS: Final = 30  # of idempotency records

Kind = Literal["anonymised", "deleted"]


async def anonymise(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.Selection
) -> api.RemovalAnswer:
    """Cut the way back from pseudonyms to their originals. The same original later gets a new pseudonym.

    Raises:
        NotFoundError: no such domain, or not the caller's.
        LimitError, ConflictError, UsageError: too many items; the domain is gone; not exactly one selection.
    """
    return await _remove(context, caller, request, domain_name, body, "anonymised")


async def delete(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.Selection
) -> api.RemovalAnswer:
    """Erase pseudonyms: they are unknown from then on.

    Raises:
        PolicyError: the domain does not allow it.
        NotFoundError, LimitError, ConflictError, UsageError: as `anonymise`.
    """
    return await _remove(context, caller, request, domain_name, body, "deleted")


async def _remove(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.Selection, kind: Kind
) -> api.RemovalAnswer:
    if (body.pseudonyms is None) == (body.originals is None):
        raise UsageError("name either pseudonyms or originals", code="one_selection", where="$")
    asked = body.pseudonyms if body.pseudonyms is not None else body.originals or []
    domain = await batches.own_domain(context, caller, domain_name, len(asked), Operation.REMOVE)
    if kind == "deleted":
        policy.require_deletable(domain.policy)
    errors: list[api.ItemError] = []
    if body.pseudonyms is not None:
        question = await asyncio.to_thread(lookup.read, context, domain, asked)
        places = list(range(len(asked)))
    else:
        batch = await batches.prepare(context, domain, asked)
        places, errors = batch.good, batch.errors

    def effect(conn: Connection) -> tuple[list[list[int]], int, Found]:
        now = context.clock()
        policy.require_keys(conn, domain.id, now)
        if body.pseudonyms is not None:
            asked_for = lookup.find(context, conn, domain, question, now)
            lookup.alarm(context, conn, domain, asked_for, caller.name, request)
            found = [[row[0]] if row else [] for row in asked_for.rows]
        else:
            tags = batch.settled(context, conn, domain).tags
            known = rows.known(context, conn, domain.id, tags)
            asked_for = Found([])
            found = [[row.serial for row in known.get(tag, ()) if not row.expired(now)] for tag in tags]
        serials = sorted({serial for part in found for serial in part})
        if kind == "deleted":
            erase(context, conn, domain.id, serials, rows.DELETED)
        else:
            detach(context, conn, domain.id, serials)
        event = Event.PSEUDONYM_DELETE if kind == "deleted" else Event.PSEUDONYM_ANONYMISE
        log(context, conn, event, caller.name, request, domain, serials)
        return found, len(serials), asked_for

    found, count, asked_for = await context.db.write(effect)
    results: list[Kind | None] = [None] * len(asked)
    for place, serials in zip(places, found, strict=True):
        if serials:
            results[place] = kind
        elif body.pseudonyms is None:
            errors.append(batches.unknown_original(place))
        else:
            errors.append(batches.unresolved(place, question, asked_for))
    return api.RemovalAnswer(results=results, errors=sorted(errors, key=lambda e: e.index), rows=count)


def detach(context: Context, conn: Connection, domain: int, serials: Sequence[int]) -> None:
    """Drop what leads from rows back to their originals."""
    context.db.forget_soon()
    context.tags.forget(conn, domain, serials)
    reindexing.touched(conn, domain, serials)
    conn.executemany(
        "UPDATE entry SET tag = NULL, sealed = NULL WHERE domain = ? AND serial = ?",
        [(domain, serial) for serial in serials],
    )


def erase(context: Context, conn: Connection, domain: int, serials: Sequence[int], status: int) -> None:
    """Leave of each row nothing but its serial, and of its string nothing but the tag."""
    context.db.forget_soon()
    context.tags.forget(conn, domain, serials)
    reindexing.touched(conn, domain, serials)
    keys = [(domain, serial) for serial in serials]
    changes = [(status, domain, serial) for serial in serials]
    conn.executemany(
        "UPDATE entry SET nonce = x'', salt = x'', tag = NULL, sealed = NULL, expires = NULL, status = ?"
        " WHERE domain = ? AND serial = ?",
        changes,
    )
    conn.executemany("UPDATE stored_string SET sealed = NULL WHERE domain = ? AND serial = ?", keys)


def expire(context: Context, conn: Connection, domain: DomainRow, serials: Sequence[int], request: str) -> None:
    """Erase rows whose time has come."""
    if serials:
        erase(context, conn, domain.id, serials, rows.EXPIRED)
        log(context, conn, Event.PSEUDONYM_EXPIRE, "service", request, domain, sorted(serials))


def log(
    context: Context,
    conn: Connection,
    event: Event,
    who: str,
    request: str,
    domain: DomainRow,
    serials: Sequence[int],
) -> None:
    """The entries of a removal, which name the serials so that a restored database can be made to forget again."""
    for start in range(0, len(serials), _SERIALS_PER_ENTRY) or (0,):
        part = list(serials[start : start + _SERIALS_PER_ENTRY])
        context.audit(conn, event, who, request, domain=domain.name, count=len(part), serials=part)


async def expire_due(context: Context) -> int:
    """Erase every row whose time has come, and old idempotency records; returns how many rows."""

    def effect(conn: Connection) -> int:
        now = context.clock()
        conn.execute("DELETE FROM idempotency WHERE created < ?", (stamp(now - timedelta(days=_KEPT_DAYS)),))
        due: dict[int, list[int]] = {}
        for domain, serial in conn.execute(
            "SELECT domain, serial FROM entry WHERE expires IS NOT NULL AND expires <= ?", (int(now.timestamp()),)
        ):
            due.setdefault(domain, []).append(serial)
        for domain, serials in due.items():
            expire(context, conn, domains.by_id(conn, domain), serials, "")
        return sum(map(len, due.values()))

    return await context.db.write(effect)
