"""What takes two people: finalize without every acknowledgement, destroy a key version, hand out a compromised map.

An operator proposes, an approver signs the statement with a personal key; until then nothing has happened. What the
statement rests on (states, acknowledgements, days) is tested again in the transaction of the approval.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from keys.ids import KeyId, Purpose
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.messages import api
from trustcenter.registrar import closing, domains, second_person, trial
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import key_due, rotation_end, rotation_record, rotation_show
from .rotation_record import Rotation

CONTEXT: Final = "trustcenter/key-proposal/1"
_COLUMNS = "id, kind, scope, purpose, version, rotation, party, statement, proposed_by, created, approved_by, approved"


async def propose(context: Context, caller: Principal, request: str, body: api.KeyPropose) -> api.KeyProposal:
    """Write down what an approver has to sign.

    Raises:
        NotFoundError: no such rotation, domain or key version.
        ConflictError: not possible now; the hint says when.
    """

    def effect(conn: Connection) -> api.KeyProposal:
        created, facts = stamp(context.clock()), _facts(context, conn, body)
        domain, key, found, lines = facts
        ident = os.urandom(16).hex()
        statement = "\n".join(
            (
                CONTEXT,
                f"instance: {context.head.instance}",
                f"proposal: {ident}",
                f"action: {body.kind}",
                f"domain: {domain.name}",
                f"key: {key.purpose} version {key.version}",
                *lines,
                f"proposed by: {caller.name}",
                f"proposed: {created}",
                f"nonce: {os.urandom(16).hex()}",
                "",
            )
        )
        conn.execute(
            f"INSERT INTO key_proposal ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,NULL,NULL)",  # noqa: S608 - constants
            (
                ident,
                body.kind,
                key.scope,
                key.purpose.value,
                key.version,
                found.id if found else None,
                body.party,
                statement,
                caller.name,
                created,
            ),
        )
        context.audit(
            conn,
            Event.KEY_PROPOSE,
            caller.name,
            request,
            domain=domain.name,
            purpose=key.purpose.value,
            version=key.version,
            action=body.kind,
            proposal=ident,
        )
        return _describe(conn, ident)

    return await trial.write(context, effect, dry_run=body.dry_run)


_Facts = tuple[DomainRow, KeyId, Rotation | None, list[str]]


def _facts(context: Context, conn: Connection, body: api.KeyPropose) -> _Facts:
    """What a proposal is about, if it is possible now."""
    if body.kind == "destroy":
        domain = domains.find(conn, body.domain or "")
        key = KeyId(domain.scope, Purpose(body.purpose or "pseudonym"), body.version or 1)
        version = rotation_show.version_of(context, conn, key)
        key_due.require_destroyable(context, conn, version)
        return domain, key, None, [f"state: {version.state} since {version.since}"]
    found = rotation_record.find(conn, body.rotation or "")
    domain = rotation_show.by_scope(conn, found.scope)
    key = KeyId(found.scope, found.purpose, found.from_version or found.to_version)
    lines = [f"rotation: {found.id}"]
    if body.kind == "finalize":
        key_due.require_overdue(context, found)
        lines.append(f"not acknowledged by: {', '.join(rotation_end.missing(conn, found.id)) or 'nobody'}")
    else:
        if body.party not in rotation_record.parties(conn, domain):
            raise NotFoundError(
                "this rotation has no such party",
                code="unknown_party",
                hint=f"trustcenter keys rotation show {found.id} names the parties",
            )
        if not rotation_show.needs_approval(context, conn, found):
            raise ConflictError(
                "the map of a key that did not leak needs no approval",
                code="approval_not_needed",
                hint=f"trustcenter keys rotation map {found.id} --party {body.party} -o FILE",
            )
        lines.append(f"map delivered to: {body.party}")
    return domain, key, found, lines


async def listed(context: Context) -> api.KeyProposals:
    """Every proposal, oldest first; those that wait for an approver have no `approved_by`."""

    def query(conn: Connection) -> list[api.KeyProposal]:
        idents = conn.execute("SELECT id FROM key_proposal ORDER BY created, id").fetchall()
        found = [_describe(conn, ident) for (ident,) in idents]
        return [msgspec.structs.replace(one, over=one.approved is None and _over(context, conn, one)) for one in found]

    return api.KeyProposals(proposals=await context.db.read(query))


def _over(context: Context, conn: Connection, found: api.KeyProposal) -> bool:
    """Whether its rotation has ended otherwise, or its key version is not one to be destroyed any more."""
    if found.rotation is not None:
        return not rotation_record.find(conn, found.rotation).open
    scope = domains.find(conn, found.domain or "").scope
    version = rotation_show.version_of(context, conn, KeyId(scope, Purpose(found.purpose), found.version))
    return version.state not in (KeyState.DEACTIVATED, KeyState.COMPROMISED)


async def show(context: Context, ident: str) -> api.KeyProposal:
    """A proposal, with the statement that is to be signed.

    Raises:
        NotFoundError: no such proposal.
    """
    return await context.db.read(lambda conn: _describe(conn, ident))


async def approve(context: Context, caller: Principal, request: str, ident: str, body: api.Approval) -> api.KeyProposal:
    """Take an approver's signature and carry the proposal out.

    Raises:
        NotFoundError: no such proposal.
        PolicyError: the approver is the person who proposed.
        SignatureError: the signature is not the caller's over this statement.
        ConflictError: approved already, or no longer possible.
    """

    def effect(conn: Connection) -> api.KeyProposal:
        found = _describe(conn, ident)
        if found.approved is not None:
            raise ConflictError("this proposal was approved already", code="already_approved")
        second_person.require(
            context.directory,
            conn,
            caller,
            found.proposed_by,
            CONTEXT,
            found.statement,
            body.signature,
            hint="another person signs: trustcenter keys approve",
        )
        conn.execute(
            "UPDATE key_proposal SET approved_by = ?, signature = ?, approved = ? WHERE id = ?",
            (caller.name, body.signature, stamp(context.clock()), ident),
        )
        context.audit(
            conn,
            Event.KEY_APPROVE,
            caller.name,
            request,
            domain=found.domain,
            purpose=found.purpose,
            version=found.version,
            action=found.kind,
            proposal=ident,
            statement=found.statement,
            signature=body.signature,
        )
        _carry_out(context, conn, request, found, caller.name)
        return _describe(conn, ident)

    done = await context.db.write(effect)
    if done.kind == "destroy":
        await closing.destroy_marked(context)
    return done


def _carry_out(context: Context, conn: Connection, request: str, found: api.KeyProposal, approver: str) -> None:
    if found.kind == "finalize":
        record = rotation_record.find(conn, found.rotation or "")
        key_due.require_overdue(context, record)
        rotation_end.end(context, conn, found.proposed_by, request, record, approved_by=approver)
    elif found.kind == "destroy":
        domain = domains.find(conn, found.domain or "")
        version = rotation_show.version_of(context, conn, KeyId(domain.scope, Purpose(found.purpose), found.version))
        key_due.require_destroyable(context, conn, version)
        context.db.forget_soon()
        context.ring.act(conn, version, KeyAction.DESTROY)
        context.audit(
            conn,
            Event.KEY_DESTROY,
            found.proposed_by,
            request,
            domain=domain.name,
            purpose=version.purpose.value,
            version=version.version,
            approved_by=approver,
        )


def _describe(conn: Connection, ident: str) -> api.KeyProposal:
    row = conn.execute(f"SELECT {_COLUMNS} FROM key_proposal WHERE id = ?", (ident,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFoundError(
            "there is no proposal of this id", code="no_proposal", hint="trustcenter keys proposals lists them"
        )
    return api.KeyProposal(
        proposal=row[0],
        kind=row[1],
        domain=rotation_show.by_scope(conn, row[2]).name,
        purpose=row[3],
        version=row[4],
        rotation=row[5],
        party=row[6],
        statement=row[7],
        proposed_by=row[8],
        created=row[9],
        approved_by=row[10],
        approved=row[11],
    )
