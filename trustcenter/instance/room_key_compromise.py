"""What to do when a room's own keys leak: the next ones at once, and what was exposed and what no rotation heals."""

from __future__ import annotations

from keys.ids import INSTANCE, Purpose
from keys.states import KeyAction
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.messages import api
from trustcenter.registrar.context import Context as RegistrarContext
from trustcenter.store import Connection

from . import room_key_plan, room_keys
from . import room_key_record as record
from .opened import Instance
from .room_key_plan import Context


async def compromise(
    instance: Instance, caller: Principal, request: str, room: str, body: api.RoomKeyCompromise
) -> api.CompromiseReport:
    """Rotate a room's own keys, mark those of before as compromised, and report.

    A rotation that is under way is ended first: its new keys lay in the same file. Killed in between, it is repeated.

    Raises:
        NotFoundError, KeyStoreConflictError, KeyStoreUnavailableError, VerificationError: as `room_keys.rotate`.
    """
    context = room_keys.context_of(instance, room)
    until = stamp(instance.gate.clock())
    if body.dry_run:
        plan = await room_keys.rotate(instance, caller, request, room, api.RoomRotateRequest(dry_run=True))
        return _report(context, room, body, until, plan)
    beside = room_key_plan.BESIDE[room]
    leaked: list[tuple[Purpose, int]] = []
    for one in await context.db.read(record.listed):
        if one.open:
            await room_keys.resume(instance, caller, request, room, one.id)
            leaked += [(Purpose.AUDIT, one.from_version), (beside, one.beside_from)]
    plan = await room_keys.rotate(instance, caller, request, room, api.RoomRotateRequest())
    leaked += zip(map(Purpose, plan.purposes), plan.from_versions, strict=True)

    def effect(conn: Connection) -> None:
        for purpose, version in leaked:
            if isinstance(context, RegistrarContext):
                known = {v.version: v for v in context.ring.versions(conn, INSTANCE, purpose)}
                context.ring.act(conn, known[version], KeyAction.MARK_COMPROMISED)
            told = {"purpose": purpose.value, "version": version, "reason": body.reason, "since": body.since or ""}
            room_keys.tell(context, conn, Event.KEY_COMPROMISE, caller.name, request, **told)

    await context.db.write(effect)
    return _report(context, room, body, until, plan)


def _report(
    context: Context, room: str, body: api.RoomKeyCompromise, until: str, plan: api.RoomRotationPlan
) -> api.CompromiseReport:
    made = next(
        (
            one.created[:10]
            for one in context.keys.entries()
            if (one.id.scope, one.id.purpose, one.id.version) == (INSTANCE, Purpose.AUDIT, plan.from_versions[0])
        ),
        "",
    )
    return api.CompromiseReport(
        domain=None,
        room=room,  # type: ignore[arg-type]
        purpose=" and ".join(plan.purposes),
        version=plan.from_versions[0],
        reason=body.reason,
        since=body.since or made,
        in_use_until=until,
        replaced_by=plan.to_versions[0],
        rotation=plan.rotation,
        exposed_pseudonyms=0,
        releases=[],
        must_translate=[],
        cannot_heal=_CANNOT_HEAL[room],
        next_steps=_NEXT_STEPS[room],
    )


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
