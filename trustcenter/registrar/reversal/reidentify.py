"""Re-identification: requested by a site, approved or denied by approvers, shown to whom it concerns.

The requester is a site and the approver a member of staff, so they are never the same caller. What is stored of
the pseudonyms is which rows they are; the approver sees their number, the reason and a digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import msgspec

from keys import personal
from keys.errors import SignatureError
from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.messages import reidentification as wire
from trustcenter.registrar import domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.limits import require_batch
from trustcenter.registrar.pseudonyms import lookup
from trustcenter.store import Connection

from . import requests, tickets
from .requests import Row
from .tickets import TicketState

REQUIRED = 1  # signatures; the requesting site is the second party
OPEN_FOR = timedelta(days=7)
_SHOWN = 10  # positions named in a refusal

T = TypeVar("T")


async def write(context: Context, effect: Callable[[Connection], T | Exception]) -> T:
    """Run an effect; an error that it returns, rather than raises, is raised once its log entry is durable."""
    result = await context.db.write(effect)
    if isinstance(result, Exception):
        raise result
    return result


def require_reversible(domain: DomainRow) -> None:
    """Refuse domains whose rows stand for something else than hospital ids, and those that keep no originals.

    Raises:
        PolicyError: the domain belongs to a study, or was made irreversible.
    """
    if domain.kind != "site":
        raise PolicyError(
            "pseudonyms of a study are not re-identified here",
            code="not_reversible",
            hint="a participating site finds its own records with: trustcenter study result",
        )
    if not domain.policy.reversible:
        raise PolicyError(
            "this domain keeps no originals",
            code="not_reversible",
            hint="it was made so: trustcenter domain show",
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
    require_batch(len(body.pseudonyms), context.limits.reidentify_items, "pseudonyms")
    domain = await context.db.read(lambda conn: domains.find(conn, domain_name, caller, Operation.REIDENTIFY))
    require_reversible(domain)
    question = await asyncio.to_thread(lookup.read, context, domain, body.pseudonyms)

    def effect(conn: Connection) -> api.Reidentification | Exception:
        if requests.count_open(conn, caller.name, context.clock()) >= context.limits.reidentify_open:
            raise ConflictError(
                "too many re-identifications of this site are open",
                code="too_many_open",
                hint="wait until approvers have decided, or until open ones expire",
            )
        found = lookup.asked(context, conn, domain, question, caller.name, request)
        rows = found.rows
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
        requests.insert(conn, made, {row[0] for row in rows if row is not None})
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
        # The salt goes to the requester alone, who can then check the digest.
        return msgspec.structs.replace(requests.describe(conn, made, context.clock()), salt=made.salt.hex())

    return await write(context, effect)


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
    return hashlib.sha256(statement.encode()).hexdigest()


async def show(context: Context, caller: Principal, ident: str) -> api.Reidentification:
    """One request.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    return await context.db.read(
        lambda conn: requests.describe(conn, requests.find(conn, ident, caller), context.clock())
    )


async def list_all(context: Context, caller: Principal) -> api.Reidentifications:
    """The newest requests: all for staff, its own for a site."""

    def query(conn: Connection) -> api.Reidentifications:
        now = context.clock()
        return api.Reidentifications(
            reidentifications=[requests.describe(conn, row, now) for row in requests.newest(conn, caller)]
        )

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

    def effect(conn: Connection) -> api.Reidentification | Exception:
        row, now = requests.find(conn, ident, caller), context.clock()
        public_key = context.directory.public_key(conn, caller.name)
        try:
            personal.verify(public_key, wire.CONTEXT, row.statement.encode(), body.signature)
        except SignatureError as error:
            context.audit(
                conn, Event.REIDENTIFY_APPROVAL_REFUSED, caller.name, request, reidentification=ident, code=error.code
            )
            return error
        before = requests.ticket(conn, row)
        after = tickets.sign(before, caller.name, now)
        if after != before:
            conn.execute(
                "INSERT INTO reidentification_approval VALUES (?,?,?,?)",
                (ident, caller.name, body.signature, stamp(now)),
            )
            row = requests.keep(conn, row, after)
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
        return requests.describe(conn, row, now)

    return await write(context, effect)


async def deny(context: Context, caller: Principal, request: str, ident: str, body: api.Denial) -> api.Reidentification:
    """Deny a request, or take an approved ticket back.

    Raises:
        NotFoundError: no such request. ConflictError: it is over already.
    """

    def effect(conn: Connection) -> api.Reidentification:
        row, now = requests.find(conn, ident, caller), context.clock()
        row = requests.keep(
            conn, replace(row, denied_by=caller.name, denial=body.reason), tickets.deny(requests.ticket(conn, row), now)
        )
        context.audit(conn, Event.REIDENTIFY_DENY, caller.name, request, reidentification=ident)
        return requests.describe(conn, row, now)

    return await context.db.write(effect)
