"""What a rotation of a room's own keys would do: which versions, and what it is verified over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keys.ids import INSTANCE, KeyId, Purpose
from keys.store import KeyStore
from trustcenter.audit.note import fingerprint
from trustcenter.comparator import receipt_keys
from trustcenter.comparator.context import Context as ComparatorContext
from trustcenter.messages import api
from trustcenter.registrar.context import Context as RegistrarContext
from trustcenter.store import Connection

from .audit_key import current

BESIDE: Final = {"registrar": Purpose.STATE, "comparator": Purpose.RECEIPT}
Context = RegistrarContext | ComparatorContext


@dataclass(frozen=True)
class Plan:
    """Versions of the log's key and of the one beside it, and how many key states or handovers follow."""

    versions: tuple[int, int, int, int]
    count: int
    fingerprint: str


def make(context: Context, conn: Connection) -> Plan:
    """What a rotation would do now."""
    before, beside = current(context.keys, conn), _beside(context, conn)
    purpose = purpose_of(context)
    versions = (
        before,
        _free(context.keys, Purpose.AUDIT, before),
        beside,
        _free(context.keys, purpose, beside),
    )
    return Plan(versions, count(context, conn), fingerprint(context.log.vkey))


def purpose_of(context: Context) -> Purpose:
    """What the key is for that goes with the log's."""
    return Purpose.STATE if isinstance(context, RegistrarContext) else Purpose.RECEIPT


def _beside(context: Context, conn: Connection) -> int:
    if isinstance(context, RegistrarContext):
        return context.ring.vouching(conn)
    return receipt_keys.current(context.keys, conn)


def count(context: Context, conn: Connection) -> int:
    """Key states, or handovers of the receipt key, each of them verified."""
    if isinstance(context, RegistrarContext):
        return len(context.ring.versions(conn))
    return receipt_keys.verify(context.keys, conn)


def _free(keys: KeyStore, purpose: Purpose, before: int) -> int:
    """The version after one; material that a crash or a restored database left behind is taken up."""
    after = before + 1
    while keys.known(KeyId(INSTANCE, purpose, after)) and not keys.has(KeyId(INSTANCE, purpose, after)):
        after += 1
    return after


def message(room: str, plan: Plan, state: str, ident: str | None, now: str) -> api.RoomRotationPlan:
    """The plan as it is shown; `now` is the fingerprint of the next key, empty before it is there."""
    before, after, beside, following = plan.versions
    return api.RoomRotationPlan(
        room=room,  # type: ignore[arg-type]
        purposes=["audit", BESIDE[room].value],
        from_versions=[before, beside],
        to_versions=[after, following],
        checked=plan.count,
        state=state,
        rotation=ident,
        from_fingerprint=plan.fingerprint,
        to_fingerprint=now,
    )
