"""What takes two people: finalize without every acknowledgement, destroy a key version, hand out a compromised map.

An operator proposes, an approver signs the statement with a personal key; until then nothing has happened. What the
statement rests on (states, acknowledgements, days) is tested again in the transaction of the approval.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Final

from keys.ids import KeyId, Purpose
from keys.rotating import Stage, Step
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.messages import api
from trustcenter.store import Connection

from . import (
    closing,
    domains,
    rotation,
    rotation_record,
    rotation_show,
    second_person,
)
from .context import Context
from .domains import DomainRow
from .keyring import Version
from .rotation_record import Rotation

CONTEXT: Final = "trustcenter/key-proposal/1"
GRACE_DAYS: Final = 30  # between the end of a key's use and its destruction; backups of the key store expire in it
_COLUMNS = "id, kind, scope, purpose, version, rotation, party, statement, proposed_by, created, approved_by, approved"


async def finalize(context: Context, caller: Principal, request: str, ident: str) -> api.Rotation:
    """End a verified rotation that every party has acknowledged: the old version is deactivated.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: not verified.
        ConflictError: a party has not acknowledged its map.
    """

    def effect(conn: Connection) -> api.Rotation:
        found = rotation_record.find(conn, ident)
        missing = _missing(conn, ident)
        if missing:
            raise ConflictError(
                f"{len(missing)} parties have not acknowledged their map",
                code="not_acknowledged",
                hint="after the deadline: trustcenter keys propose finalize; an approver signs",
            )
        return rotation_show.describe(context, conn, _finalize(context, conn, caller.name, request, found))

    return await context.db.write(effect)


def _missing(conn: Connection, ident: str) -> list[str]:
    return [party.name for party in rotation_record.party_list(conn, ident) if party.acknowledged is None]


def _finalize(context: Context, conn: Connection, who: str, request: str, found: Rotation, **told: str) -> Rotation:
    ended = rotation_record.step(context, conn, found, Step.FINALIZE)
    domain = rotation_show.by_scope(conn, ended.scope)
    for key in rotation.key_ids(ended):
        for old in context.ring.versions(conn, key.scope, key.purpose):
            if old.version < key.version and old.state is KeyState.SUSPENDED:
                context.ring.act(conn, old, KeyAction.DEACTIVATE)
                context.audit(
                    conn,
                    Event.KEY_DEACTIVATE,
                    who,
                    request,
                    domain=domain.name,
                    purpose=old.purpose.value,
                    version=old.version,
                    rotation=ended.id,
                    **told,
                )
    return ended


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

    return await context.db.write(effect)


_Facts = tuple[DomainRow, KeyId, Rotation | None, list[str]]


def _facts(context: Context, conn: Connection, body: api.KeyPropose) -> _Facts:
    """What a proposal is about, if it is possible now."""
    if body.kind == "destroy":
        domain = domains.find(conn, body.domain or "")
        key = KeyId(domain.scope, Purpose(body.purpose), body.version or 1)
        version = rotation_show.version_of(context, conn, key)
        require_destroyable(context, conn, version)
        return domain, key, None, [f"state: {version.state} since {version.since}"]
    found = rotation_record.find(conn, body.rotation or "")
    domain = rotation_show.by_scope(conn, found.scope)
    key = KeyId(found.scope, found.purpose, found.from_version or found.to_version)
    lines = [f"rotation: {found.id}"]
    if body.kind == "finalize":
        _require_overdue(context, found)
        lines.append(f"not acknowledged by: {', '.join(_missing(conn, found.id)) or 'nobody'}")
    else:
        if body.party not in rotation_record.parties(conn, domain):
            raise NotFoundError("this rotation has no such party", code="unknown_party")
        lines.append(f"map delivered to: {body.party}")
    return domain, key, found, lines


def _require_overdue(context: Context, found: Rotation) -> None:
    if found.stage is not Stage.VERIFIED:
        raise ConflictError(
            "only a verified rotation is finalized",
            code="not_verified",
            hint="trustcenter keys rotation verify comes first",
        )
    if stamp(context.clock()) < found.deadline:
        raise ConflictError(
            "the parties still have time to acknowledge their map",
            code="deadline_not_passed",
            hint="trustcenter keys rotation show names the deadline",
        )


def require_destroyable(context: Context, conn: Connection, version: Version) -> None:
    """A key version whose use has ended so long ago, and whose map everybody has.

    Raises:
        ConflictError: not yet; the hint says what is missing.
    """
    if version.state is KeyState.DESTROYED:
        raise ConflictError("this key version is destroyed already", code="key_destroyed")
    if version.state not in (KeyState.DEACTIVATED, KeyState.COMPROMISED):
        raise ConflictError(
            f"a key version that is {version.state} is not destroyed",
            code="key_in_use",
            hint="rotate and finalize, or deactivate it first",
        )
    if version.purpose is Purpose.LOOKUP and version.version in rotation_show.by_scope(conn, version.scope).lookup:
        raise ConflictError(
            "rows whose originals are not kept here are found by this lookup key only",
            code="key_in_use",
            hint="without it their originals would get a second pseudonym; closing the domain destroys all its keys",
        )
    open_one = conn.execute(
        "SELECT id FROM rotation WHERE scope = ? AND (from_version = ? AND purpose = ? OR purpose = 'lookup'"
        " AND ? = 'data') AND stage IN ('prepared', 'rewriting', 'changed', 'verified')",
        (version.scope, version.version, version.purpose.value, version.purpose.value),
    ).fetchone()
    if open_one is not None:
        raise ConflictError(
            "a rotation away from this key version has not ended",
            code="rotation_under_way",
            hint="finalize it first: every party has its map then",
            where=open_one[0],
        )
    due = datetime.fromisoformat(version.since) + timedelta(days=GRACE_DAYS)
    if context.clock() < due:
        raise ConflictError(
            "the grace period of this key version is not over",
            code="not_due",
            hint=f"it ends {stamp(due)}: {GRACE_DAYS} days after its use ended",
        )


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
            context,
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
        _require_overdue(context, record)
        _finalize(context, conn, found.proposed_by, request, record, approved_by=approver)
    elif found.kind == "destroy":
        domain = domains.find(conn, found.domain)
        version = rotation_show.version_of(context, conn, KeyId(domain.scope, Purpose(found.purpose), found.version))
        require_destroyable(context, conn, version)
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
        raise NotFoundError("there is no proposal of this id", code="no_proposal", hint="trustcenter keys propose")
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
