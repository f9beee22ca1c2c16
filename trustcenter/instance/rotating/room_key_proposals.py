"""Two people agree that versions of a room's own keys are destroyed: proposed, signed, carried out.

Proposals are in the room that lets clients in, where the people are on file; the keys may be another room's of the same
process. A proposal names the rotation that led away from the version: in a room that was restored to before it, where
the same version is in use, it destroys nothing.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, UsageError
from trustcenter.instance.opened import Instance
from trustcenter.messages import api
from trustcenter.registrar import second_person
from trustcenter.registrar.rotating.key_proposals import CONTEXT
from trustcenter.store import Connection, Migration

from . import room_key_destroy, room_keys
from . import room_key_record as record
from .room_key_plan import BESIDE

MIGRATION: Final = Migration(
    number=712,
    name="proposals to destroy keys of a room",
    sql="""
        CREATE TABLE room_key_proposal (
            id TEXT PRIMARY KEY,
            room TEXT NOT NULL,
            version INTEGER NOT NULL,  -- of the key of its log
            rotation TEXT NOT NULL,    -- that led away from it
            statement TEXT NOT NULL,
            proposed_by TEXT NOT NULL,
            created TEXT NOT NULL,
            approved_by TEXT,
            signature TEXT,
            approved TEXT
        ) STRICT;
        """,
)
_COLUMNS: Final = "id, room, version, rotation, statement, proposed_by, created, approved_by, approved"


async def propose(instance: Instance, caller: Principal, request: str, body: api.KeyPropose) -> api.KeyProposal:
    """Write down what an approver has to sign.

    Raises:
        UsageError: something else than destroying was asked for, or more than room and version.
        NotFoundError: no such room here, or no such version.
        ConflictError: not possible now; the hint says when.
    """
    room, version = body.room or "", body.version
    if body.kind != "destroy" or version is None or (body.domain, body.purpose, body.party) != (None, None, None):
        raise UsageError(
            "of a room's own keys a version is destroyed, and with it the one that goes with it",
            code="bad_purpose",
            hint="name room and version, and neither domain nor purpose",
        )
    context, clock = room_keys.context_of(instance, room), instance.gate.clock
    found = await context.db.read(lambda conn: room_key_destroy.require(context, conn, version, clock))
    ident, created = os.urandom(16).hex(), stamp(clock())
    statement = "\n".join(
        (
            CONTEXT,
            f"instance: {instance.id}",
            f"proposal: {ident}",
            "action: destroy",
            f"room: {room}",
            f"key: audit version {found.from_version}",
            f"key: {BESIDE[room]} version {found.beside_from}",
            f"replaced by rotation: {found.id}, ended {found.since}",
            f"proposed by: {caller.name}",
            f"proposed: {created}",
            f"nonce: {os.urandom(16).hex()}",
            "",
        )
    )
    values = (ident, room, version, found.id, statement, caller.name, created, None, None)

    def effect(conn: Connection) -> None:
        conn.execute(f"INSERT INTO room_key_proposal ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", values)  # noqa: S608
        instance.gate.audit(conn, Event.KEY_PROPOSE, caller.name, request, **_told(room, version, ident))

    if not body.dry_run:
        await instance.gate.db.write(effect)
    return _message(*values)


async def listed(instance: Instance) -> list[api.KeyProposal]:
    """Every proposal, oldest first."""
    query = f"SELECT {_COLUMNS} FROM room_key_proposal ORDER BY created, id"  # noqa: S608 - constants
    rows = await instance.gate.db.read(lambda conn: conn.execute(query).fetchall())
    found = []
    for one in (_message(*row) for row in rows):
        over = one.approved is None and await _over(instance, one)
        found.append(msgspec.structs.replace(one, over=over))
    return found


async def _over(instance: Instance, one: api.KeyProposal) -> bool:
    """Whether its keys were destroyed meanwhile, or are in use again in a room that was restored."""
    context = room_keys.here(instance).get(one.room or "")
    if context is None:
        return True

    def query(conn: Connection) -> bool:
        found = record.find(conn, one.rotation or "")
        return found is None or found.open or room_key_destroy.done(conn, found)

    return await context.db.read(query)


async def find(instance: Instance, ident: str) -> api.KeyProposal | None:
    """The proposal of that id; None if it is not about a room's own keys."""
    return await instance.gate.db.read(lambda conn: _find(conn, ident))


async def approve(
    instance: Instance, caller: Principal, request: str, ident: str, body: api.Approval
) -> api.KeyProposal:
    """Take an approver's signature and destroy the keys.

    Raises:
        NotFoundError: no such proposal.
        PolicyError: the approver is the person who proposed.
        SignatureError: the signature is not the caller's over this statement.
        ConflictError: approved already, or no longer possible.
    """
    proposed = await find(instance, ident)
    if proposed is None:
        raise NotFoundError(
            "there is no proposal of this id", code="no_proposal", hint="trustcenter keys proposals lists them"
        )
    gate, room, version = instance.gate, proposed.room or "", proposed.version
    context = room_keys.context_of(instance, room)

    def possible(conn: Connection) -> None:
        if room_key_destroy.require(context, conn, version, gate.clock).id != proposed.rotation:
            raise ConflictError(
                "the room was restored since this was proposed", code="proposal_stale", hint="propose it again"
            )

    await context.db.read(possible)

    def effect(conn: Connection) -> None:
        found = _find(conn, ident)
        if found is None or found.approved is not None:
            raise ConflictError("this proposal was approved already", code="already_approved")
        hint = "another person signs: trustcenter keys approve"
        second_person.require(
            gate.directory, conn, caller, found.proposed_by, CONTEXT, found.statement, body.signature, hint=hint
        )
        conn.execute(
            "UPDATE room_key_proposal SET approved_by = ?, signature = ?, approved = ? WHERE id = ?",
            (caller.name, body.signature, stamp(gate.clock()), ident),
        )
        told = {**_told(room, version, ident), "statement": found.statement, "signature": body.signature}
        gate.audit(conn, Event.KEY_APPROVE, caller.name, request, **told)

    await gate.db.write(effect)
    await take_up(instance, request)
    done = await find(instance, ident)
    assert done is not None
    return done


async def take_up(instance: Instance, request: str = "") -> None:
    """Carry out what was approved, and what a crash left of it; at each start too."""
    query = (
        "SELECT room, rotation, proposed_by, approved_by FROM room_key_proposal WHERE approved IS NOT NULL"
        " ORDER BY approved"
    )
    approved = await instance.gate.db.read(lambda conn: conn.execute(query).fetchall())
    for room, context in room_keys.here(instance).items():
        agreed = [room_key_destroy.Agreed(*rest) for of, *rest in approved if of == room]
        if agreed:
            await room_key_destroy.carry_out(context, agreed, request)


def _told(room: str, version: int, ident: str) -> dict[str, object]:
    return {"room": room, "purpose": "audit", "version": version, "action": "destroy", "proposal": ident}


def _find(conn: Connection, ident: str) -> api.KeyProposal | None:
    row = conn.execute(f"SELECT {_COLUMNS} FROM room_key_proposal WHERE id = ?", (ident,)).fetchone()  # noqa: S608
    return None if row is None else _message(*row)


def _message(
    ident: str,
    room: str,
    version: int,
    rotation: str,
    statement: str,
    proposed_by: str,
    created: str,
    approved_by: str | None,
    approved: str | None,
) -> api.KeyProposal:
    return api.KeyProposal(
        proposal=ident,
        kind="destroy",
        domain=None,
        room=room,  # type: ignore[arg-type]
        purpose="audit",
        version=version,
        rotation=rotation,
        party=None,
        statement=statement,
        proposed_by=proposed_by,
        created=created,
        approved_by=approved_by,
        approved=approved,
    )
