"""A rule by which details go sooner takes two people: an operator proposes, an approver signs with a personal key.

Until then the rule before goes on. What was deleted does not come back, so whoever deletes must not be the only one who
says when (docs/spec/retention.md).
"""

from __future__ import annotations

import os
from typing import Final

from trustcenter.audit import Event
from trustcenter.audit.retention import GRACE_DAYS
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.messages import api
from trustcenter.messages.api.audit import RETENTION_CONTEXT
from trustcenter.store import Connection, Migration

from . import second_person
from .context import Context

MIGRATIONS: Final = (
    Migration(
        number=655,
        name="rules of retention that wait for a second person",
        sql="""
        CREATE TABLE retention_proposal (
            event TEXT PRIMARY KEY,
            years INTEGER NOT NULL,
            years_before INTEGER NOT NULL,  -- of the rule that it shortens; 0: there was none
            proposal TEXT NOT NULL,
            statement TEXT NOT NULL,
            proposed_by TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT;
        """,
    ),
)


def propose(
    context: Context, conn: Connection, caller: Principal, request: str, body: api.RetentionSet, before: int
) -> None:
    """Write down what an approver has to sign, in place of a proposal of before; the same one again stays as it is.

    Args:
        context: the registrar.
        conn: of the writing transaction.
        caller: the operator.
        request: its id.
        body: the rule that is wanted.
        before: years of the rule that it shortens, 0 for none.
    """
    same = conn.execute(
        "SELECT 1 FROM retention_proposal WHERE event = ? AND years = ? AND years_before = ? AND proposed_by = ?",
        (body.event, body.years, before, caller.name),
    ).fetchone()
    if same is not None:
        return
    ident, created = os.urandom(16).hex(), stamp(context.clock())
    statement = "\n".join(
        (
            RETENTION_CONTEXT,
            f"instance: {context.head.instance}",
            f"proposal: {ident}",
            f"details of: {body.event}",
            f"kept for years: {body.years}",
            f"until now: {before or 'for ever'}",
            f"deleted from days after the approval: {GRACE_DAYS}",
            f"proposed by: {caller.name}",
            f"proposed: {created}",
            f"nonce: {os.urandom(16).hex()}",
            "",
        )
    )
    withdraw(conn, body.event)
    conn.execute(
        "INSERT INTO retention_proposal VALUES (?,?,?,?,?,?,?)",
        (body.event, body.years, before, ident, statement, caller.name, created),
    )
    told = {"detail_of": body.event, "years": body.years, "proposal": ident}
    context.audit(conn, Event.RETENTION_PROPOSE, caller.name, request, **told)


def withdraw(conn: Connection, event: str) -> None:
    """Forget what was proposed for an event: another rule was set or proposed, or it was approved."""
    conn.execute("DELETE FROM retention_proposal WHERE event = ?", (event,))


def waiting(conn: Connection) -> dict[str, api.RetentionProposal]:
    """All that waits, by event."""
    rows = conn.execute(
        "SELECT event, years, proposal, statement, proposed_by, created FROM retention_proposal"
    ).fetchall()
    return {
        row[0]: api.RetentionProposal(
            event=row[0], years=row[1], proposal=row[2], statement=row[3], proposed_by=row[4], created=row[5]
        )
        for row in rows
    }


def find(conn: Connection, ident: str) -> api.RetentionProposal:
    """What is to be signed.

    Raises:
        NotFoundError: no such proposal, or not any more.
    """
    found = next((one for one in waiting(conn).values() if one.proposal == ident), None)
    if found is None:
        raise NotFoundError(
            "there is no such proposal, or not any more: it was replaced or approved",
            code="no_proposal",
            hint="trustcenter audit retention shows what is proposed",
        )
    return found


def approve(
    context: Context,
    conn: Connection,
    caller: Principal,
    request: str,
    found: api.RetentionProposal,
    signature: str,
    before: int,
) -> None:
    """Take an approver's signature; the caller sets the rule in the same transaction.

    Args:
        context: the registrar.
        conn: of the writing transaction.
        caller: the approver.
        request: its id.
        found: what was proposed.
        signature: over the statement.
        before: years of the rule as it stands, 0 for none.

    Raises:
        PolicyError: the approver is the person who proposed.
        SignatureError: the signature is not the caller's over this statement.
        ConflictError: the rule is no longer the one that was to be shortened.
    """
    second_person.require(
        context.directory,
        conn,
        caller,
        found.proposed_by,
        RETENTION_CONTEXT,
        found.statement,
        signature,
        hint="another person signs: trustcenter audit approve-retention",
    )
    (expected,) = conn.execute("SELECT years_before FROM retention_proposal WHERE event = ?", (found.event,)).fetchone()
    if expected != before:
        raise ConflictError("the rule was changed meanwhile", code="rule_changed", hint="propose it again")
    withdraw(conn, found.event)
    context.audit(
        conn,
        Event.RETENTION_APPROVE,
        caller.name,
        request,
        detail_of=found.event,
        years=found.years,
        proposal=found.proposal,
        statement=found.statement,
        signature=signature,
    )
