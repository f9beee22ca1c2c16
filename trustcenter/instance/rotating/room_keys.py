"""Rotation of a room's own keys: of its log and, with it, of key states (registrar) or of receipts (comparator).

    intent ──material, proven──► cut over, one transaction ──► verified ──► finalized

The steps and the record are those of the keys of domains. Nobody outside has to act on it, so one request runs through
to the end, and so does `resume` after a crash, from wherever it was. There is no way back: a log's key ends with the
entry that hands over, and what was prepared is taken up, not given up (ADR 0040).
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Final

from keys.ids import INSTANCE, KeyId, Purpose
from keys.rotating import Stage, Step
from keys.states import KeyAction
from trustcenter.audit import Event
from trustcenter.audit.note import fingerprint
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.comparator import receipt_keys
from trustcenter.comparator.context import Context as ComparatorContext
from trustcenter.errors import ConflictError, NotFoundError, VerificationError
from trustcenter.instance.opened import Instance
from trustcenter.messages import api
from trustcenter.registrar.context import Context as RegistrarContext
from trustcenter.registrar.linking import receipt_keys as learnt
from trustcenter.store import Connection

from . import room_key_plan
from . import room_key_record as record
from .audit_key import signer
from .room_key_plan import Context
from .room_key_record import RoomRotation

ROOMS: Final = ("registrar", "comparator")
HANDOVERS: Final = 2**31  # all of them


def context_of(instance: Instance, room: str) -> Context:
    """The room, opened.

    Raises:
        NotFoundError: there is no such room, or it is not in this process.
    """
    if room not in ROOMS:
        raise NotFoundError("there is no such room", code="unknown_room", hint="registrar or comparator")
    return instance.registrar if room == "registrar" else instance.comparator


def here(instance: Instance) -> dict[str, Context]:
    """The rooms that this process holds."""
    both = {"registrar": instance.registrar_room, "comparator": instance.comparator_room}
    return {room: context for room, context in both.items() if context is not None}


async def room_of(instance: Instance, ident: str) -> str | None:
    """Whose rotation it is; None for one of a domain's key, or none at all."""
    for room, context in here(instance).items():
        if await context.db.read(lambda conn: record.find(conn, ident)) is not None:
            return room
    return None


async def rotate(
    instance: Instance, caller: Principal, request: str, room: str, body: api.RoomRotateRequest
) -> api.RoomRotationPlan:
    """Plan (dry run) a rotation of a room's own keys, or carry it out.

    Raises:
        NotFoundError: no such room here.
        ConflictError: another one is under way, or the plan is stale.
        KeyStoreConflictError, KeyStoreUnavailableError: the key store cannot be changed.
        VerificationError: the key store's keys are not those that the log knows.
    """
    context = context_of(instance, room)

    def plan(conn: Connection) -> room_key_plan.Plan:
        record.require_none(conn)
        found = room_key_plan.make(context, conn)
        if body.expected_version not in (None, found.versions[0]):
            raise ConflictError(
                "the key in use is not the one that the plan was made for",
                code="rotation_plan_stale",
                hint="somebody rotated in between; plan again with --dry-run",
            )
        return found

    if body.dry_run:
        return room_key_plan.message(room, await context.db.read(plan), "planned", None, "")

    def intent(conn: Connection) -> tuple[room_key_plan.Plan, RoomRotation]:
        found = plan(conn)
        made = record.insert(conn, found.versions, caller.name, stamp(instance.gate.clock()))
        for key in _keys(context, made):
            if isinstance(context, RegistrarContext):
                context.ring.add_waiting(conn, key)
            told = {"purpose": key.purpose.value, "version": key.version, "rotation": made.id}
            tell(context, conn, Event.KEY_CREATE, caller.name, request, **told)
        return found, made

    found, made = await context.db.write(intent)
    await resume(instance, caller, request, room, made.id)
    return room_key_plan.message(room, found, "done", made.id, fingerprint(context.log.vkey))


async def resume(instance: Instance, caller: Principal, request: str, room: str, ident: str) -> RoomRotation:
    """Go on from wherever a rotation is, to its end. Afterwards it changes nothing.

    Raises:
        NotFoundError: no such rotation.
        VerificationError: what it led to does not verify; it stays where it is.
    """
    context = context_of(instance, room)
    found = await context.db.read(lambda conn: find(conn, ident))
    if found.stage is Stage.PREPARED:
        await cut_over(instance, caller.name, request, room, found)
    return await verify(instance, caller, request, room, ident)


async def cut_over(instance: Instance, who: str, request: str, room: str, found: RoomRotation) -> None:
    """Make the material, prove it, and exchange the keys in one transaction."""
    context = context_of(instance, room)
    missing = [key for key in _keys(context, found) if not context.keys.has(key)]
    await asyncio.to_thread(context.keys.add, missing)
    public = context.keys.public_key(INSTANCE, Purpose.AUDIT, found.to_version)
    sign = signer(context.keys, found.to_version)

    def effect(conn: Connection) -> None:
        now = find(conn, found.id)
        if now.stage is not Stage.PREPARED:  # another resume was faster
            return
        size, _ = context.log.head(conn)
        if isinstance(context, RegistrarContext):
            told = {"who": who, "request": request, "from_version": now.from_version, "to_version": now.to_version}
            context.log.hand_over(conn, public, sign, told)
            _exchange_states(context, conn, now)
            context.ring.note_generation(conn)
        else:
            context.log.hand_over(conn, public, sign, {"who": "operator", "window": 0})
            receipt_keys.hand_over(context.keys, conn, now.beside_to)
        told = {
            "purpose": room_key_plan.purpose_of(context).value,
            "from_version": now.beside_from,
            "to_version": now.beside_to,
        }
        tell(context, conn, Event.KEY_ROTATE, who, request, **told)
        record.step(conn, now, Step.CUT_OVER, stamp(instance.gate.clock()), size=size)

    await context.db.write(effect)
    context.log.use(public, sign)
    if isinstance(context, RegistrarContext):
        context.head.state_key = found.beside_to
        context.head.remember(*await context.db.read(context.log.head))  # signed with the new key from now on


async def verify(instance: Instance, caller: Principal, request: str, room: str, ident: str) -> RoomRotation:
    """Check that log, states and receipts hold across the rotation, and end it.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: it was not cut over.
        VerificationError: the log does not verify under the new key, or a state or a handover does not.
    """
    context = context_of(instance, room)

    def check(conn: Connection) -> int:
        found, chain = find(conn, ident), context.log.chain(conn)
        if found.stage in (Stage.PREPARED, Stage.FINALIZED):
            return found.checked
        public = context.keys.public_key(INSTANCE, Purpose.AUDIT, found.to_version)
        if chain.last.public != public:
            raise VerificationError(
                "the log was not handed over to the key of this rotation",
                code="rotation_broken",
                hint="keep key store and database as they are; trustcenter fsck names what is wrong",
            )
        context.log.checkpoint(conn)
        return room_key_plan.count(context, conn)

    checked = await context.db.read(check)
    if isinstance(context, ComparatorContext) and instance.registrar_room is not None:
        await teach(instance.registrar_room, context, caller.name, request)

    def effect(conn: Connection) -> RoomRotation:
        found = find(conn, ident)
        if found.stage is Stage.FINALIZED:
            return found
        now = stamp(instance.gate.clock())
        found = record.step(conn, found, Step.VERIFY, now, checked=checked)
        tell(context, conn, Event.KEY_VERIFY, caller.name, request, rotation=ident, purpose="audit", values=checked)
        return record.step(conn, found, Step.FINALIZE, now)

    return await context.db.write(effect)


async def teach(registrar: RegistrarContext, comparator: ComparatorContext, who: str, request: str) -> None:
    """Let the registrar of this process know the receipt keys of the comparator beside it: no more, and no others.

    One that is apart learns them from receipts. Here the comparator may have been restored, and handed over anew.
    """
    told = await comparator.db.read(lambda conn: receipt_keys.handovers(conn, newest=HANDOVERS))
    keys = [registrar.comparator_key.hex(), *(one.after for one in told)]
    if [key for key, _ in await registrar.db.read(lambda conn: learnt.known(registrar, conn))] == keys:
        return

    def effect(conn: Connection) -> None:
        before = [key for key, _ in learnt.known(registrar, conn)]
        if before != keys[: len(before)]:
            learnt.forget(conn)
        learnt.learn(registrar, conn, who, request, list(pairwise(keys)))

    await registrar.db.write(effect)


def forward_only() -> ConflictError:
    """A room's rotation is neither aborted nor rolled back."""
    return ConflictError(
        "a rotation of a room's own keys goes forwards only: the log's old key ends with the entry that hands over",
        code="forward_only",
        hint="trustcenter keys rotation resume ends it; nobody outside has to act on it",
    )


def find(conn: Connection, ident: str) -> RoomRotation:
    """A rotation of this room.

    Raises:
        NotFoundError: there is none of this id.
    """
    found = record.find(conn, ident)
    if found is None:
        raise NotFoundError(
            "there is no rotation of this id", code="unknown_rotation", hint="trustcenter keys rotation list"
        )
    return found


def _keys(context: Context, found: RoomRotation) -> list[KeyId]:
    return [
        KeyId(INSTANCE, Purpose.AUDIT, found.to_version),
        KeyId(INSTANCE, room_key_plan.purpose_of(context), found.beside_to),
    ]


def _exchange_states(context: RegistrarContext, conn: Connection, now: RoomRotation) -> None:
    known = {v.version: v for v in context.ring.versions(conn, INSTANCE, Purpose.AUDIT)}
    context.ring.act(conn, known[now.from_version], KeyAction.DEACTIVATE)
    context.ring.act(conn, known[now.to_version], KeyAction.ACTIVATE)
    context.ring.renew(conn, now.beside_to)


def tell(context: Context, conn: Connection, event: Event, who: str, request: str, **fields: object) -> None:
    """Append an entry of either room; the comparator's names no request and no person."""
    if isinstance(context, RegistrarContext):
        context.audit(conn, event, who, request, **fields)
    else:
        context.audit(conn, event, "operator", 0, **fields)
