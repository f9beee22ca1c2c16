"""What to do when a room's own keys leak: the next ones at once, and what was exposed and what no rotation heals.

    reported ──rotation under way ended──► rotated ──marked, one transaction──► ended

What leaked is written down first. Killed anywhere, the same command goes on, and so does `keys rotation resume`.
"""

from __future__ import annotations

from keys.ids import INSTANCE, Purpose
from keys.states import KeyAction
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.instance.opened import Instance
from trustcenter.messages import api
from trustcenter.registrar.context import Context as RegistrarContext
from trustcenter.store import Connection

from . import room_key_leaks as leaks
from . import room_key_plan, room_keys
from . import room_key_record as record
from .room_key_leaks import Leak
from .room_key_plan import Context


async def compromise(
    instance: Instance, caller: Principal, request: str, room: str, body: api.RoomKeyCompromise
) -> api.CompromiseReport:
    """Rotate a room's own keys, mark those of before as compromised, and report.

    A rotation that is under way is ended first: its new keys lay in the same file. Killed in between, it is repeated,
    and ends what was begun. Said again in the same words afterwards, it reports again and exchanges nothing.

    Raises:
        NotFoundError, KeyStoreConflictError, KeyStoreUnavailableError, VerificationError: as `room_keys.rotate`.
    """
    context = room_keys.context_of(instance, room)
    now, since = stamp(instance.gate.clock()), body.since or ""
    if body.dry_run:
        plan = await context.db.read(lambda conn: room_key_plan.make(context, conn))
        leak = Leak(Purpose.AUDIT, plan.versions[0], body.reason, since, now, "")
        return _report(context, room, leak, plan.versions[1], now, told_before=False)

    def note(conn: Connection) -> bool:
        """Whether it was told before, and is done."""
        if leaks.pending(conn):
            return False
        if (before := _ended(context, conn)) and (before.reason, before.since) == (body.reason, since):
            return True
        leaks.report(conn, _leaked(context, conn), body.reason, since, now)
        for leak in leaks.pending(conn):
            room_keys.tell(context, conn, Event.KEY_LEAK, caller.name, request, **_told(leak))
        return False

    told_before = await context.db.write(note)
    await finish(instance, caller, request, room)

    def result(conn: Connection) -> api.CompromiseReport:
        done = record.newest(conn)
        assert done is not None
        leak = next(one for one in reversed(leaks.listed(conn)) if one.rotation == done.id)
        return _report(context, room, leak, done.to_version, done.since, told_before=told_before)

    return await context.db.read(result)


async def finish(instance: Instance, caller: Principal, request: str, room: str) -> None:
    """Carry out what was reported, from wherever it is; nothing if nothing was, or it is done.

    Raises as `compromise`.
    """
    context = room_keys.context_of(instance, room)
    reported = await context.db.read(leaks.pending)
    if not reported:
        return
    for one in await context.db.read(record.listed):
        if one.open:
            await room_keys.resume(instance, caller, request, room, one.id)
    in_use = (await context.db.read(lambda conn: room_key_plan.make(context, conn))).versions[0]
    if any((leak.purpose, leak.version) == (Purpose.AUDIT, in_use) for leak in reported):
        await room_keys.rotate(instance, caller, request, room, api.RoomRotateRequest())

    def mark(conn: Connection) -> None:
        for leak in leaks.pending(conn):
            if isinstance(context, RegistrarContext):
                known = {v.version: v for v in context.ring.versions(conn, INSTANCE, leak.purpose)}
                context.ring.act(conn, known[leak.version], KeyAction.MARK_COMPROMISED)
            room_keys.tell(context, conn, Event.KEY_COMPROMISE, caller.name, request, **_told(leak))
        done = record.newest(conn)
        assert done is not None
        leaks.close(conn, done.id)

    await context.db.write(mark)


def _told(leak: Leak) -> dict[str, object]:
    """What an entry of the log tells of it."""
    return {"purpose": leak.purpose.value, "version": leak.version, "reason": leak.reason, "since": leak.since}


def _leaked(context: Context, conn: Connection) -> list[tuple[Purpose, int]]:
    """The versions in use, and those of a rotation that is under way: they lie in the same file."""
    beside = room_key_plan.purpose_of(context)
    found = {(one.from_version, one.beside_from) for one in record.listed(conn) if one.open}
    found |= {(one.to_version, one.beside_to) for one in record.listed(conn) if one.open}
    plan = room_key_plan.make(context, conn)
    found.add((plan.versions[0], plan.versions[2]))
    return [pair for log, with_it in sorted(found) for pair in ((Purpose.AUDIT, log), (beside, with_it))]


def _ended(context: Context, conn: Connection) -> Leak | None:
    """The last leak, if the keys in use are still those that it was answered with."""
    done = record.newest(conn)
    if done is None or done.open or done.to_version != room_key_plan.make(context, conn).versions[0]:
        return None
    return next((one for one in reversed(leaks.listed(conn)) if one.rotation == done.id), None)


def _report(
    context: Context, room: str, leak: Leak, replaced_by: int, until: str, *, told_before: bool
) -> api.CompromiseReport:
    made = next(
        (
            one.created[:10]
            for one in context.keys.entries()
            if (one.id.scope, one.id.purpose, one.id.version) == (INSTANCE, Purpose.AUDIT, leak.version)
        ),
        "",
    )
    return api.CompromiseReport(
        domain=None,
        room=room,  # type: ignore[arg-type]
        purpose=f"{Purpose.AUDIT} and {room_key_plan.BESIDE[room]}",
        version=leak.version,
        reason=leak.reason,
        since=leak.since or made,
        in_use_until=until,
        replaced_by=replaced_by,
        rotation=leak.rotation or None,
        exposed_pseudonyms=0,
        releases=[],
        must_translate=[],
        cannot_heal=_CANNOT_HEAL[room],
        next_steps=[*([_TOLD_BEFORE] if told_before else []), *_NEXT_STEPS[room]],
    )


_TOLD_BEFORE = "reported before in the same words, and nothing was exchanged again; did they leak once more? say how"
_LOG = "another history of the log up to this rotation can be signed: heads that others hold from before refute it"
_CANNOT_HEAL = {
    "registrar": [
        _LOG,
        "letters to data recipients that were signed since the leak: each recipient compares the log's fingerprint",
        "whoever also changed the database since the leak could have forged states of keys: compare them with the log",
        "backups of the key store that hold these keys, until they expire",
    ],
    "comparator": [
        _LOG,
        "receipts under the old key are taken for 30 days more; without an upload of that number they map nothing",
        "backups of the key store that hold these keys, until they expire",
    ],
}
_ALWAYS = [
    "write the new fingerprint on paper beside the old one, and tell sites and auditors",
    "hold the log against heads from before the leak: trustcenter audit verify --help",
    "did the whole key store leak? trustcenter keys list names every key in it: rotate each, then keys rekey",
]
_NEW_CARD = (
    "a registrar that is apart: show it a new card (trustcenter rooms card; there rooms pair, and restart); then it"
    " takes no receipt under the old key, and until then whoever has that key may lead it to a key of their own"
)
_NEXT_STEPS = {
    "registrar": ["compare the states of keys with the log: trustcenter keys list, trustcenter audit report", *_ALWAYS],
    "comparator": [_NEW_CARD, *_ALWAYS],
}
