"""The details of a run's decisions leave under dual control: an auditor proposes, an approver signs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar import second_person
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import linkage_log, runs

CONTEXT: Final = "trustcenter/linkage-disclosure/1"
_COLUMNS: Final = "id, study, run, statement, proposed_by, created, approved_by"


async def propose(
    context: Context, caller: Principal, request: str, study: str, run: str, body: api.LinkageDisclosurePropose
) -> api.LinkageDisclosure:
    """Write down what an approver has to sign so that the caller may read the decisions of a run.

    Raises:
        NotFoundError: no such study or run.
        ConflictError: the run has decided nothing.
    """

    def effect(conn: Connection) -> api.LinkageDisclosure:
        found = runs.find(conn, study, run)
        if found.state != "applied":
            raise ConflictError("this run was not applied", code="run_not_applied", hint="choose an applied run")
        (count,) = conn.execute("SELECT count(*) FROM linkage_decision WHERE run = ?", (run,)).fetchone()
        ident, created = os.urandom(16).hex(), stamp(context.clock())
        statement = "\n".join(
            (
                CONTEXT,
                f"instance: {context.head.instance}",
                f"disclosure: {ident}",
                f"study: {study}",
                f"run: {run} window {found.window}",
                f"decisions: {count}",
                f"reason: {body.reason}",
                f"to: {caller.name}",
                f"proposed: {created}",
                "",
            )
        )
        conn.execute(
            "INSERT INTO linkage_disclosure VALUES (?,?,?,?,?,?,NULL,NULL)",
            (ident, study, run, statement, caller.name, created),
        )
        context.audit(
            conn,
            Event.LINKAGE_PROPOSE,
            caller.name,
            request,
            study=study,
            run=run,
            disclosure=ident,
            statement=hashlib.sha256(statement.encode()).hexdigest(),
        )
        return _find(conn, ident)

    return await context.db.write(effect)


async def show(context: Context, ident: str) -> api.LinkageDisclosure:
    """A proposal and what is to be signed.

    Raises:
        NotFoundError: there is none.
    """
    return await context.db.read(lambda conn: _find(conn, ident))


async def approve(
    context: Context, caller: Principal, request: str, ident: str, body: api.Approval
) -> api.LinkageDisclosure:
    """Take an approver's signature.

    Raises:
        NotFoundError: no such proposal.
        PolicyError: the approver is the person who proposed.
        SignatureError: the signature is not the caller's over this statement.
    """

    def effect(conn: Connection) -> api.LinkageDisclosure:
        found = _find(conn, ident)
        second_person.require(
            context.directory,
            conn,
            caller,
            found.proposed_by,
            CONTEXT,
            found.statement,
            body.signature,
            hint="another person signs: trustcenter audit approve-decisions",
        )
        if found.approved_by is None:
            conn.execute(
                "UPDATE linkage_disclosure SET approved_by = ?, signature = ? WHERE id = ?",
                (caller.name, body.signature, ident),
            )
            context.audit(
                conn,
                Event.LINKAGE_APPROVE,
                caller.name,
                request,
                study=found.study,
                run=found.run,
                disclosure=ident,
                signature=body.signature,
            )
        return _find(conn, ident)

    return await context.db.write(effect)


async def read(
    context: Context, caller: Principal, request: str, ident: str
) -> AsyncIterator[list[api.LinkageDecision]]:
    """The decisions, in batches; that they were handed over is logged first, each time.

    Raises:
        NotFoundError: no such proposal, or another auditor's.
        PolicyError: nobody has approved it.
    """

    def effect(conn: Connection) -> str:
        found = _find(conn, ident)
        if found.proposed_by != caller.name:
            raise _unknown()
        if found.approved_by is None:
            raise PolicyError(
                "an approver must sign before the decisions leave",
                code="not_approved",
                hint="trustcenter audit approve-decisions",
            )
        context.audit(
            conn, Event.LINKAGE_EXPORT, caller.name, request, study=found.study, run=found.run, disclosure=ident
        )
        return found.run

    run = await context.db.write(effect)
    async for batch in context.db.stream(lambda conn: linkage_log.decisions(conn, run)):
        yield batch


def _find(conn: Connection, ident: str) -> api.LinkageDisclosure:
    row = conn.execute(f"SELECT {_COLUMNS} FROM linkage_disclosure WHERE id = ?", (ident,)).fetchone()  # noqa: S608
    if row is None:
        raise _unknown()
    return api.LinkageDisclosure(
        disclosure=row[0],
        study=row[1],
        run=row[2],
        statement=row[3],
        proposed_by=row[4],
        created=row[5],
        approved_by=row[6],
    )


def _unknown() -> NotFoundError:
    return NotFoundError(
        "there is no such disclosure", code="unknown_disclosure", hint="trustcenter audit propose-decisions"
    )
