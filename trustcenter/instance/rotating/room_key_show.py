"""What is shown of a room's own keys: versions, rotations, schedules and what is overdue."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from keys.ids import INSTANCE, Purpose
from keys.states import KeyState
from keys.store import KeyStore
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.comparator import receipt_keys
from trustcenter.instance.opened import Instance
from trustcenter.messages import api
from trustcenter.registrar.context import Context as RegistrarContext
from trustcenter.registrar.rotating import keycare, rotation_record, rotation_show
from trustcenter.store import Connection

from . import room_key_leaks
from . import room_key_record as record
from .audit_key import current
from .room_key_record import RoomRotation
from .room_keys import context_of, find, here, tell


async def list_keys(instance: Instance) -> api.Keys:
    """Every key version of the rooms that are here, with its state; material stays in the key stores."""
    found: list[api.KeyVersion] = []
    now = stamp(instance.gate.clock())
    for room, context in here(instance).items():
        if isinstance(context, RegistrarContext):
            found += [
                one if one.domain else _of_room(one, room) for one in (await rotation_show.list_keys(context)).keys
            ]
        else:
            found += await context.db.read(lambda conn, keys=context.keys: _comparator(keys, conn))  # type: ignore[misc]
        found.append(await context.db.read(lambda conn, r=room, k=context.keys: _sealing(r, k, conn, now)))  # type: ignore[misc]
    return api.Keys(keys=found)


def _of_room(one: api.KeyVersion, room: str) -> api.KeyVersion:
    return api.KeyVersion(
        scope=one.scope,
        domain=None,
        purpose=one.purpose,
        version=one.version,
        state=one.state,
        since=one.since,
        kcv=one.kcv,
        room=room,  # type: ignore[arg-type]
    )


def _comparator(keys: KeyStore, conn: Connection) -> list[api.KeyVersion]:
    """The comparator keeps no states: they follow from its log, the handovers of its receipt key, and what leaked."""
    in_use = {Purpose.AUDIT: current(keys, conn), Purpose.RECEIPT: receipt_keys.current(keys, conn)}
    leaked = {(leak.purpose, leak.version) for leak in room_key_leaks.listed(conn) if leak.rotation}
    found = []
    for entry in keys.entries():
        version, now = entry.id.version, in_use.get(entry.id.purpose, 0)
        state = KeyState.ACTIVE if version == now else KeyState.DEACTIVATED
        if entry.destroyed is not None:
            state = KeyState.DESTROYED
        elif (entry.id.purpose, version) in leaked:
            state = KeyState.COMPROMISED
        elif version > now:
            state = KeyState.PRE_ACTIVE
        found.append(
            api.KeyVersion(
                scope=entry.id.scope,
                domain=None,
                purpose=entry.id.purpose.value,
                version=version,
                state=state.value,
                since=entry.created,
                kcv=entry.kcv,
                room="comparator",
            )
        )
    return found


def _sealing(room: str, keys: KeyStore, conn: Connection, now: str) -> api.KeyVersion:
    number, since = record.sealing(conn, keys.sealing, now)
    return api.KeyVersion(
        scope=INSTANCE,
        domain=None,
        purpose="sealing",
        version=number,
        state=KeyState.ACTIVE.value,
        since=since,
        kcv="",
        room=room,  # type: ignore[arg-type]
    )


def describe(room: str, found: RoomRotation) -> api.Rotation:
    """A rotation of a room's own keys, as those of domains are shown. Nobody needs a map of it: it has no deadline."""
    return api.Rotation(
        rotation=found.id,
        domain=None,
        room=room,  # type: ignore[arg-type]
        purpose=Purpose.AUDIT.value,
        from_version=found.from_version,
        to_version=found.to_version,
        stage=found.stage.value,
        total=found.checked,
        done=found.checked,
        high_water_mark=found.size,
        deadline="",
        started_by=found.started_by,
        started=found.started,
        since=found.since,
        map_mac=None,
        parties=[],
    )


async def rotations(instance: Instance) -> list[api.Rotation]:
    """Of the rooms that are here, oldest first."""
    found: list[api.Rotation] = []
    for room, context in here(instance).items():
        found += [describe(room, one) for one in await context.db.read(record.listed)]
    return found


async def rotation(instance: Instance, room: str, ident: str) -> api.Rotation:
    """One of them.

    Raises:
        NotFoundError: there is none of this id.
    """
    return describe(room, await context_of(instance, room).db.read(lambda conn: find(conn, ident)))


async def under_way(instance: Instance) -> dict[str, int]:
    """How many rotations are under way, by stage, in the rooms that are here."""
    found: Counter[str] = Counter()
    for context in here(instance).values():
        found.update(one.stage.value for one in await context.db.read(record.listed) if one.open)
        if isinstance(context, RegistrarContext):
            found.update(one.stage.value for one in await context.db.read(rotation_record.listed) if one.open)
    return dict(found)


def due(room: str, keys: KeyStore, conn: Connection, now: datetime) -> list[api.KeyDue]:
    """A room's own scheduled keys."""
    found = []
    for purpose, days in record.schedules(conn).items():
        if purpose == "sealing":
            version, since = record.sealing(conn, keys.sealing, stamp(now))
        else:
            version = current(keys, conn)
            since = next(
                one.created
                for one in keys.entries()
                if (one.id.scope, one.id.purpose, one.id.version) == (INSTANCE, Purpose.AUDIT, version)
            )
        moment = datetime.fromisoformat(since).astimezone(UTC) + timedelta(days=days)
        found.append(
            api.KeyDue(
                domain=None,
                room=room,  # type: ignore[arg-type]
                purpose=purpose,
                days=days,
                version=version,
                due=stamp(moment),
                overdue=moment <= now,
            )
        )
    return found


async def all_due(instance: Instance) -> list[api.KeyDue]:
    """Every scheduled key of the rooms that are here, the most urgent first."""
    now, found = instance.gate.clock(), []
    for room, context in here(instance).items():
        if isinstance(context, RegistrarContext):
            found += await context.db.read(lambda conn: keycare.due(conn, now))
        found += await context.db.read(lambda conn, r=room, k=context.keys: due(r, k, conn, now))  # type: ignore[misc]
    return sorted(found, key=lambda one: one.due)


async def schedule(
    instance: Instance, caller: Principal, request: str, room: str, body: api.RoomKeySchedule
) -> api.KeysDue:
    """Say how often a room's own keys, or its passphrase, are to be exchanged. Nothing happens by itself.

    Raises:
        NotFoundError: no such room here.
    """
    context = context_of(instance, room)

    def effect(conn: Connection) -> None:
        record.set_schedule(conn, body.purpose, body.days)
        tell(context, conn, Event.KEY_SCHEDULE, caller.name, request, purpose=body.purpose, days=body.days)

    await context.db.write(effect)
    return api.KeysDue(keys=await all_due(instance))
