"""Re-identification: requested by a site, approved or denied by approvers, shown to whom it concerns.

The requester is a site and the approver a member of staff, so they are never the same caller. What is stored of
the pseudonyms is which rows they are; the approver sees their number, the reason and a digest.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from keys import computed, personal
from keys.errors import SignatureError
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, LimitError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.messages import reidentification as wire

from . import domains, tickets, translate
from .context import Context
from .domains import DomainRow
from .tickets import Ticket, TicketState

REQUIRED = 1  # signatures; the requesting site is the second party
OPEN_FOR = timedelta(days=7)
_SHOWN = 10  # positions named in a refusal
_LISTED = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A request as stored."""

    id: str
    domain: int
    site: str
    reason: str
    pseudonyms: int
    salt: bytes
    statement: str
    state: str
    open_until: str
    valid_hours: int
    required: int
    fetches_left: int
    expires: str | None
    denied_by: str | None
    denial: str | None
    created: str


_COLUMNS = ", ".join(Row.__annotations__)


async def write(context: Context, effect: Callable[[sqlite3.Connection], T | Exception]) -> T:
    """Run an effect; an error that it returns, rather than raises, is raised once its log entry is durable."""
    result = await context.db.write(effect)
    if isinstance(result, Exception):
        raise result
    return result


def require_reversible(domain: DomainRow) -> None:
    """Refuse domains whose rows stand for something else than hospital ids.

    Raises:
        PolicyError: the domain belongs to a study.
    """
    if domain.kind != "site":
        raise PolicyError(
            "pseudonyms of a study are not re-identified here",
            code="not_reversible",
            hint="a participating site finds its own records with: trustcenter study result",
        )


async def create(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.ReidentifyRequest
) -> api.Reidentification:
    """Request the originals of pseudonyms of the caller's own domain; all of them must be live.

    Raises:
        NotFoundError: no such domain, or a pseudonym is not a live one of it.
        PolicyError: the domain is not reversible.
        LimitError: too many pseudonyms. ConflictError: too many open requests.
    """
    if len(body.pseudonyms) > context.limits.reidentify_items:
        raise LimitError(
            "too many pseudonyms in one re-identification",
            code="batch_too_large",
            hint=f"request at most {context.limits.reidentify_items} at a time",
        )
    domain = await context.db.read(lambda conn: domains.find(conn, domain_name, caller))
    require_reversible(domain)
    parsed = await asyncio.to_thread(computed.parse, body.pseudonyms)

    def effect(conn: sqlite3.Connection) -> api.Reidentification | Exception:
        _require_few_open(context, conn, caller)
        rows = translate.resolve(context, conn, domain, parsed.blocks, parsed.status)
        unknown = [index for index, row in enumerate(rows) if row is None]
        if unknown:
            context.audit(
                conn,
                Event.REIDENTIFY_REFUSED,
                caller.name,
                request,
                domain=domain.name,
                code="unknown_pseudonym",
                count=len(unknown),
            )
            return _unknown(unknown)
        made = _make(context, caller, domain, body)
        conn.execute(
            f"INSERT INTO reidentification ({_COLUMNS}) VALUES ({','.join('?' * len(Row.__annotations__))})",  # noqa: S608
            tuple(getattr(made, name) for name in Row.__annotations__),
        )
        conn.executemany(
            "INSERT OR IGNORE INTO reidentification_row VALUES (?,?)", [(made.id, row[0]) for row in rows if row]
        )
        context.audit(
            conn,
            Event.REIDENTIFY_REQUEST,
            caller.name,
            request,
            domain=domain.name,
            reidentification=made.id,
            count=made.pseudonyms,
            statement=statement_hash(made.statement),
        )
        return replace_salt(describe(conn, made, context.clock()), made.salt)

    return await write(context, effect)


def replace_salt(shown: api.Reidentification, salt: bytes) -> api.Reidentification:
    """The answer to the requester alone, who can then check the digest."""
    import msgspec

    return msgspec.structs.replace(shown, salt=salt.hex())


def _make(context: Context, caller: Principal, domain: DomainRow, body: api.ReidentifyRequest) -> Row:
    now = context.clock()
    salt, ident = os.urandom(wire.SALT_BYTES), os.urandom(16).hex()
    statement = wire.Statement(
        instance=context.head.instance,
        reidentification=ident,
        domain=domain.name,
        domain_uuid=domain.uuid,
        site=caller.name,
        reason=body.reason,
        pseudonyms=len(set(body.pseudonyms)),
        digest=wire.digest(salt, body.pseudonyms),
        signatures=REQUIRED,
        fetches=context.limits.reidentify_fetches,
        open_until=stamp(now + OPEN_FOR),
        valid_hours=body.valid_hours,
    )
    return Row(
        id=ident,
        domain=domain.id,
        site=caller.name,
        reason=body.reason,
        pseudonyms=statement.pseudonyms,
        salt=salt,
        statement=statement.text,
        state=TicketState.REQUESTED.value,
        open_until=statement.open_until,
        valid_hours=body.valid_hours,
        required=REQUIRED,
        fetches_left=statement.fetches,
        expires=None,
        denied_by=None,
        denial=None,
        created=stamp(now),
    )


def _require_few_open(context: Context, conn: sqlite3.Connection, caller: Principal) -> None:
    now = stamp(context.clock())
    (count,) = conn.execute(
        "SELECT count(*) FROM reidentification WHERE site = ?"
        " AND (state = 'requested' AND open_until > ? OR state = 'approved' AND expires > ?)",
        (caller.name, now, now),
    ).fetchone()
    if count >= context.limits.reidentify_open:
        raise ConflictError(
            "too many re-identifications of this site are open",
            code="too_many_open",
            hint="wait until approvers have decided, or until open ones expire",
        )


def _unknown(indices: Sequence[int]) -> NotFoundError:
    named = ", ".join(f"pseudonyms[{index}]" for index in indices[:_SHOWN])
    more = f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else ""
    return NotFoundError(
        "not every pseudonym is a live one of this domain; nothing was requested",
        code="unknown_pseudonym",
        hint="remove or correct the ones named",
        where=named + more,
    )


def statement_hash(statement: str) -> str:
    """What the log says of a statement. The salted digest inside it keeps a short reason from being guessed."""
    import hashlib

    return hashlib.sha256(statement.encode()).hexdigest()


async def show(context: Context, caller: Principal, ident: str) -> api.Reidentification:
    """One request.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    return await context.db.read(lambda conn: describe(conn, find(conn, ident, caller), context.clock()))


async def list_all(context: Context, caller: Principal) -> api.Reidentifications:
    """The newest requests: all for staff, its own for a site."""

    def query(conn: sqlite3.Connection) -> api.Reidentifications:
        clause, values = (" WHERE site = ?", (caller.name,)) if caller.is_site else ("", ())
        found = conn.execute(
            f"SELECT {_COLUMNS} FROM reidentification{clause} ORDER BY created DESC, id LIMIT {_LISTED}",  # noqa: S608
            values,
        ).fetchall()
        now = context.clock()
        return api.Reidentifications(reidentifications=[describe(conn, Row(*row), now) for row in found])

    return await context.db.read(query)


async def approve(
    context: Context, caller: Principal, request: str, ident: str, body: api.Approval
) -> api.Reidentification:
    """Take an approver's signature over the statement; the last one needed makes the ticket.

    Raises:
        NotFoundError: no such request.
        SignatureError: not the caller's signature over this statement.
        ConflictError: denied, expired or used up.
    """

    def effect(conn: sqlite3.Connection) -> api.Reidentification | Exception:
        row, now = find(conn, ident, caller), context.clock()
        public_key = context.directory.public_key(conn, caller.name)
        try:
            personal.verify(public_key, wire.CONTEXT, row.statement.encode(), body.signature)
        except SignatureError as error:
            context.audit(
                conn, Event.REIDENTIFY_APPROVAL_REFUSED, caller.name, request, reidentification=ident, code=error.code
            )
            return error
        before = ticket(conn, row)
        after = tickets.sign(before, caller.name, now)
        if after != before:
            conn.execute(
                "INSERT INTO reidentification_approval VALUES (?,?,?,?)",
                (ident, caller.name, body.signature, stamp(now)),
            )
            row = keep(conn, row, after)
            context.audit(
                conn,
                Event.REIDENTIFY_APPROVE,
                caller.name,
                request,
                reidentification=ident,
                statement=statement_hash(row.statement),
                signature=body.signature,
                state=row.state,
            )
        return describe(conn, row, now)

    return await write(context, effect)


async def deny(context: Context, caller: Principal, request: str, ident: str, body: api.Denial) -> api.Reidentification:
    """Deny a request, or take an approved ticket back.

    Raises:
        NotFoundError: no such request. ConflictError: it is over already.
    """

    def effect(conn: sqlite3.Connection) -> api.Reidentification:
        row, now = find(conn, ident, caller), context.clock()
        row = keep(conn, replace(row, denied_by=caller.name, denial=body.reason), tickets.deny(ticket(conn, row), now))
        context.audit(conn, Event.REIDENTIFY_DENY, caller.name, request, reidentification=ident)
        return describe(conn, row, now)

    return await context.db.write(effect)


def find(conn: sqlite3.Connection, ident: str, caller: Principal) -> Row:
    """A request by id; a foreign site's is invisible.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    found = conn.execute(f"SELECT {_COLUMNS} FROM reidentification WHERE id = ?", (ident,)).fetchone()  # noqa: S608
    if found is None or (caller.is_site and found[2] != caller.name):
        raise NotFoundError(
            "there is no such re-identification, or it is not yours",
            code="unknown_reidentification",
            hint="trustcenter reidentify list shows the ids",
        )
    return Row(*found)


def ticket(conn: sqlite3.Connection, row: Row) -> Ticket:
    """The row as the state machine sees it."""
    signers = conn.execute("SELECT staff FROM reidentification_approval WHERE reidentification = ?", (row.id,))
    return Ticket(
        state=TicketState(row.state),
        open_until=datetime.fromisoformat(row.open_until),
        validity=timedelta(hours=row.valid_hours),
        required=row.required,
        fetches_left=row.fetches_left,
        signers=frozenset(name for (name,) in signers),
        expires=datetime.fromisoformat(row.expires) if row.expires else None,
    )


def keep(conn: sqlite3.Connection, row: Row, after: Ticket) -> Row:
    """Store a step; which rows a ticket was for is forgotten once it is over."""
    kept = replace(
        row,
        state=after.state.value,
        fetches_left=after.fetches_left,
        expires=stamp(after.expires) if after.expires else None,
    )
    conn.execute(
        "UPDATE reidentification SET state = ?, fetches_left = ?, expires = ?, denied_by = ?, denial = ? WHERE id = ?",
        (kept.state, kept.fetches_left, kept.expires, kept.denied_by, kept.denial, row.id),
    )
    if after.state not in (TicketState.REQUESTED, TicketState.APPROVED):
        conn.execute("DELETE FROM reidentification_row WHERE reidentification = ?", (row.id,))
    return kept


def describe(conn: sqlite3.Connection, row: Row, now: datetime) -> api.Reidentification:
    """What may be shown of a request: no pseudonym, no row, no salt."""
    seen = tickets.at(ticket(conn, row), now)
    names = conn.execute(
        "SELECT staff FROM reidentification_approval WHERE reidentification = ? ORDER BY created", (row.id,)
    )
    return api.Reidentification(
        reidentification=row.id,
        domain=domains.by_id(conn, row.domain).name,
        site=row.site,
        reason=row.reason,
        pseudonyms=row.pseudonyms,
        statement=row.statement,
        approvals=[name for (name,) in names],
        required=row.required,
        state=seen.state.value,
        expires=row.expires or row.open_until,
        fetches_left=row.fetches_left,
        denied_by=row.denied_by,
        denial=row.denial,
        created=row.created,
    )
