"""Two people close a domain: an operator proposes, an approver signs with a personal key.

What destroys a domain's keys after the grace period follows from that agreement and needs no further one. A proposal
stops nothing; until it is signed another one replaces it.
"""

from __future__ import annotations

import os
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.store import Connection, Migration

from . import closing, domains, second_person
from .context import Context

CONTEXT: Final = "trustcenter/domain-close/1"
MIGRATIONS: Final = (
    Migration(
        number=240,
        name="proposals to close a domain",
        sql="""
        CREATE TABLE domain_closing (
            domain INTEGER PRIMARY KEY,
            days INTEGER NOT NULL,
            statement TEXT NOT NULL,
            proposed_by TEXT NOT NULL,
            created TEXT NOT NULL,
            approved_by TEXT,
            signature TEXT
        ) STRICT;
        """,
    ),
)


async def propose(
    context: Context, caller: Principal, request: str, name: str, body: api.DomainClose
) -> api.DomainClosing:
    """Write down what an approver has to sign; replaces a proposal that nobody has signed.

    Raises:
        NotFoundError, PolicyError, ConflictError: as `closing.carry_out`.
    """

    def effect(conn: Connection) -> api.DomainClosing:
        domain = closing.require_closable(conn, name)
        created = stamp(context.clock())
        (live,) = conn.execute("SELECT count(*) FROM entry WHERE domain = ? AND status = 0", (domain.id,)).fetchone()
        statement = "\n".join(
            (
                CONTEXT,
                f"instance: {context.head.instance}",
                f"domain: {name}",
                f"uuid: {domain.uuid}",
                f"site: {domain.site}",
                f"pseudonyms: {live}",
                f"keys destroyed after days: {body.days}",
                f"proposed by: {caller.name}",
                f"proposed: {created}",
                f"nonce: {os.urandom(16).hex()}",
                "",
            )
        )
        conn.execute(
            "INSERT INTO domain_closing VALUES (?,?,?,?,?,NULL,NULL) ON CONFLICT (domain) DO UPDATE SET"
            " days = excluded.days, statement = excluded.statement, proposed_by = excluded.proposed_by,"
            " created = excluded.created, approved_by = NULL, signature = NULL",
            (domain.id, body.days, statement, caller.name, created),
        )
        context.audit(conn, Event.DOMAIN_CLOSE_PROPOSE, caller.name, request, domain=name, days=body.days)
        return _describe(conn, name)

    return await context.db.write(effect)


async def show(context: Context, name: str) -> api.DomainClosing:
    """The proposal for a domain.

    Raises:
        NotFoundError: no such domain, or no proposal.
    """
    return await context.db.read(lambda conn: _describe(conn, name))


async def approve(context: Context, caller: Principal, request: str, name: str, body: api.Approval) -> api.Domain:
    """Take an approver's signature and close the domain.

    Raises:
        NotFoundError: no such domain, or no proposal.
        PolicyError: the approver is the person who proposed.
        SignatureError: the signature is not the caller's over the present statement.
        ConflictError: the domain is closed already.
    """

    def effect(conn: Connection) -> api.Domain:
        found = _describe(conn, name)
        closing.require_closable(conn, name)
        second_person.require(
            context.directory,
            conn,
            caller,
            found.proposed_by,
            CONTEXT,
            found.statement,
            body.signature,
            hint="another person signs: trustcenter domain approve-close",
        )
        domain = domains.find(conn, name)
        conn.execute(
            "UPDATE domain_closing SET approved_by = ?, signature = ? WHERE domain = ?",
            (caller.name, body.signature, domain.id),
        )
        context.audit(
            conn,
            Event.DOMAIN_CLOSE_APPROVE,
            caller.name,
            request,
            domain=name,
            statement=found.statement,
            signature=body.signature,
        )
        closing.carry_out(context, conn, found.proposed_by, request, name, found.days, approved_by=caller.name)
        return domains.describe(context, conn, domains.find(conn, name))

    return await context.db.write(effect)


def _describe(conn: Connection, name: str) -> api.DomainClosing:
    domain = domains.find(conn, name)
    row = conn.execute(
        "SELECT days, statement, proposed_by, created, approved_by FROM domain_closing WHERE domain = ?", (domain.id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(
            "nobody has proposed to close this domain", code="no_proposal", hint="trustcenter domain close"
        )
    return api.DomainClosing(
        domain=name, days=row[0], statement=row[1], proposed_by=row[2], created=row[3], approved_by=row[4]
    )
