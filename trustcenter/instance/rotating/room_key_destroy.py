"""Destroying versions of a room's own keys: when it may be done, and doing it, so that no crash leaves it half done.

The key of the log and the one beside it were exchanged together and end together. As with keys of domains the database
comes first: the entry and the mark in one transaction, then the key store; a start does what a crash left.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from keys.ids import INSTANCE, KeyId, Purpose
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.clock import Clock, stamp
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.registrar import closing
from trustcenter.registrar.context import Context as RegistrarContext
from trustcenter.registrar.rotating.key_due import GRACE_DAYS
from trustcenter.store import Connection, Migration

from . import room_key_leaks, room_key_plan, room_keys
from . import room_key_record as record
from .room_key_plan import Context
from .room_key_record import RoomRotation

MIGRATION: Final = Migration(
    number=711,
    name="destroyed keys of a room",
    sql="""
        CREATE TABLE room_key_destroyed (
            purpose TEXT NOT NULL,
            version INTEGER NOT NULL,
            PRIMARY KEY (purpose, version)
        ) STRICT;
        """,
)

_UNACKNOWLEDGED: Final = """
    SELECT p.rotation, p.party FROM rotation_party p JOIN rotation r ON r.id = p.rotation
    JOIN rotation_delivery d ON d.rotation = p.rotation AND d.party = p.party
    WHERE r.stage IN ('changed', 'verified') AND p.acknowledged IS NULL
    GROUP BY p.rotation, p.party HAVING max(d.delivered) <= ? ORDER BY p.rotation, p.party
    """


@dataclass(frozen=True)
class Agreed:
    """What two people agreed on: the keys that a rotation led away from are destroyed."""

    rotation: str
    proposed_by: str
    approved_by: str


def require(context: Context, conn: Connection, version: int, clock: Clock) -> RoomRotation:
    """The rotation that led away from a version of the log's key, if version and what went with it may be destroyed.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: not yet, or not any more; the hint says what is missing.
    """
    if room_key_plan.make(context, conn).versions[0] == version:
        raise ConflictError(
            "this version signs the room's log", code="key_in_use", hint="trustcenter keys rotate --room comes first"
        )
    found = next((one for one in record.listed(conn) if one.from_version == version), None)
    if found is None:
        raise NotFoundError(
            "no rotation led away from such a version of this room's keys",
            code="unknown_key_version",
            hint="trustcenter keys list names the versions of the audit key of each room",
        )
    if done(conn, found):
        raise ConflictError("this key version is destroyed already", code="key_destroyed")
    if found.open:
        raise ConflictError(
            "a rotation away from this key version has not ended",
            code="rotation_under_way",
            hint=f"trustcenter keys rotation resume {found.id}",
            where=found.id,
        )
    due = datetime.fromisoformat(found.since) + timedelta(days=GRACE_DAYS)
    if clock() < due:
        raise ConflictError(
            "the grace period of this key version is not over",
            code="not_due",
            hint=f"it ends {stamp(due)}: {GRACE_DAYS} days after its use ended",
        )
    _require_unneeded(context, conn, found)
    return found


def _require_unneeded(context: Context, conn: Connection, found: RoomRotation) -> None:
    """Nothing still waits for the old version.

    Raises:
        ConflictError: something does.
    """
    if room_key_leaks.pending(conn):
        raise ConflictError(
            "a leak of this room's keys was reported and not carried out to its end",
            code="leak_not_ended",
            hint="trustcenter keys compromise --room goes on with it",
        )
    if not isinstance(context, RegistrarContext):
        return
    waiting = conn.execute(_UNACKNOWLEDGED, (found.since,)).fetchone()
    if waiting is not None:
        ident, party = waiting
        raise ConflictError(
            "a map that was delivered and not acknowledged yet is marked under this version of the state key",
            code="key_in_use",
            hint=f"it is acknowledged, or fetched again: trustcenter keys rotation map {ident} --party {party} -o FILE",
            where=ident,
        )


def done(conn: Connection, found: RoomRotation) -> bool:
    """Whether the version that a rotation led away from is marked as destroyed."""
    query = "SELECT 1 FROM room_key_destroyed WHERE purpose = ? AND version = ?"
    return conn.execute(query, (Purpose.AUDIT.value, found.from_version)).fetchone() is not None


def _mark(context: Context, conn: Connection, found: RoomRotation, agreed: Agreed, request: str) -> None:
    """The half inside the database, in the caller's transaction. The comparator's log names nobody."""
    names = {"approved_by": agreed.approved_by} if isinstance(context, RegistrarContext) else {}
    for key in keys_of(context, found):
        conn.execute("INSERT INTO room_key_destroyed VALUES (?,?)", (key.purpose.value, key.version))
        if isinstance(context, RegistrarContext):
            known = {v.version: v for v in context.ring.versions(conn, INSTANCE, key.purpose)}
            if known[key.version].state is not KeyState.DESTROYED:  # its key store may know already
                context.ring.act(conn, known[key.version], KeyAction.DESTROY)
        told = {"purpose": key.purpose.value, "version": key.version}
        room_keys.tell(context, conn, Event.KEY_DESTROY, agreed.proposed_by, request, **told, **names)


async def carry_out(context: Context, agreed: list[Agreed], request: str) -> None:
    """Destroy what two people agreed on, from wherever it is; afterwards it changes nothing.

    A rotation that this room does not know, or has not ended, is of another moment: the room was restored since, and
    uses that key.
    """

    def effect(conn: Connection) -> list[KeyId]:
        for one in agreed:
            found = record.find(conn, one.rotation)
            if found is not None and not found.open and not done(conn, found):
                _mark(context, conn, found, one, request)
        marked = conn.execute("SELECT purpose, version FROM room_key_destroyed").fetchall()
        ids = [KeyId(INSTANCE, Purpose(purpose), version) for purpose, version in marked]
        return [key for key in ids if context.keys.has(key)]

    left = await context.db.write(effect)
    if isinstance(context, RegistrarContext):
        await closing.destroy_marked(context)
    elif left:
        await asyncio.to_thread(context.keys.destroy, left)


def keys_of(context: Context, found: RoomRotation) -> list[KeyId]:
    """The two versions that a rotation led away from."""
    return [
        KeyId(INSTANCE, Purpose.AUDIT, found.from_version),
        KeyId(INSTANCE, room_key_plan.purpose_of(context), found.beside_from),
    ]
