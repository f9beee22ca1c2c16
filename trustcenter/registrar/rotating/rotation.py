"""Rotation of a domain's keys: plan, prepare, cut over in one transaction; `rotation_end` has how it ends.

    (active v) ──intent──► (v active, v+1 pre-active) ──material, proven──► ──cut-over──► (v suspended, v+1 active)

The intent is a row of `rotation`, durable with its audit entry before any material is made, and the only truth about
what is under way (`rotation_record`). A crash before the cut-over leaves a prepared rotation, which `resume` finishes
or `abort` ends. For a pseudonym key the cut-over is all: no row is rewritten, and the map old to new is streamed on
demand. For lookup and data keys `rewriting` follows with its cursor.
"""

from __future__ import annotations

from dataclasses import replace

from keys.ids import KeyId, Purpose
from keys.rotating import Stage, Step
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.messages import api
from trustcenter.registrar import policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import tagging
from trustcenter.store import Connection

from . import rotation_plan, rotation_record, rotation_show
from .rotation_plan import Plan
from .rotation_record import Rotation


async def rotate(
    context: Context, caller: Principal, request: str, name: str, body: api.RotateRequest
) -> api.RotationPlan:
    """Plan (dry run), prepare, or carry out the cut-over of a rotation of a domain's key.

    Raises:
        NotFoundError: no such domain.
        ConflictError: no active key, the plan is stale, or another rotation of the key is under way.
        LimitError: 255 versions are used up.
        PolicyError: the key cannot be rotated.
    """
    purpose = Purpose(body.purpose)
    if body.dry_run:

        def plan(conn: Connection) -> Plan:
            rows = rotation_plan.count(conn, name)
            found = rotation_plan.make(context, conn, name, purpose, body.expected_version, rows)
            rotation_plan.require_free(conn, found.domain, purpose)
            return found

        return (await context.db.read(plan)).message("planned")
    made, planned = await prepare(context, caller.name, request, name, purpose, body)
    if body.prepare:
        await make_material(context, made)
        return planned.message("prepared", made.id)
    changed = await cut_over(context, caller.name, request, made.id)
    return replace(planned, high_water=changed.mark).message("done", changed.id)


async def prepare(
    context: Context,
    who: str,
    request: str,
    name: str,
    purpose: Purpose,
    body: api.RotateRequest,
) -> tuple[Rotation, Plan]:
    """Write down the intent; nothing else changes. Errors as `rotate`."""
    rows = await context.db.read(lambda conn: rotation_plan.count(conn, name))

    def intent(conn: Connection) -> tuple[Rotation, Plan]:
        plan = rotation_plan.make(context, conn, name, purpose, body.expected_version, rows)
        rotation_plan.require_free(conn, plan.domain, purpose)
        versions = (plan.source, plan.target, plan.companion)
        made = rotation_record.insert(context, conn, who, plan.domain, purpose, versions, plan.rows, body.deadline_days)
        for key in key_ids(made):
            context.ring.add(conn, key, KeyState.PRE_ACTIVE)
            context.audit(
                conn,
                Event.KEY_CREATE,
                who,
                request,
                domain=name,
                purpose=key.purpose.value,
                version=key.version,
                rotation=made.id,
            )
        return made, plan

    return await context.db.write(intent)


def key_ids(rotation: Rotation) -> list[KeyId]:
    """The keys that a rotation makes."""
    made = [KeyId(rotation.scope, rotation.purpose, rotation.to_version)]
    if rotation.companion is not None:
        made.append(KeyId(rotation.scope, Purpose.DATA, rotation.companion))
    return made


async def make_material(context: Context, rotation: Rotation) -> None:
    """Generate what a prepared rotation still lacks; sealed, synced, read back and proven on return."""
    missing = [key for key in key_ids(rotation) if not context.keys.has(key)]
    if missing:
        await context.make_keys(missing)


async def cut_over(context: Context, who: str, request: str, ident: str) -> Rotation:
    """Make the new version the active one: one transaction. At a later stage it changes nothing.

    Raises:
        NotFoundError: no such rotation.
        ConflictError: it was ended.
    """
    prepared = await context.db.read(lambda conn: rotation_record.find(conn, ident))
    if prepared.stage is not Stage.PREPARED:
        return prepared
    await make_material(context, prepared)

    def effect(conn: Connection) -> Rotation:
        now = rotation_record.find(conn, ident)
        if now.stage is not Stage.PREPARED:  # another resume was faster
            return now
        domain = rotation_show.by_scope(conn, now.scope)
        policy.require_open(conn, domain.id)
        mark = rotation_plan.high_water(conn, domain.id)
        _exchange(context, conn, who, request, domain, now, mark)
        context.ring.note_generation(conn)
        if now.purpose is Purpose.LOOKUP:
            tagging.set_in_use(conn, domain.id, (now.to_version, *tagging.in_use(conn, domain.id)))
        return rotation_record.step(context, conn, now, Step.CUT_OVER, mark=mark, cursor=0, done=0)

    return await context.db.write(effect)


def _exchange(
    context: Context, conn: Connection, who: str, request: str, domain: DomainRow, rotation: Rotation, mark: int
) -> None:
    """Old versions suspended, new ones active, and the entries that say so."""
    for key in key_ids(rotation):
        versions = {v.version: v for v in context.ring.versions(conn, key.scope, key.purpose)}
        old = next((v for v in versions.values() if v.state is KeyState.ACTIVE), None)
        told = {"domain": domain.name, "purpose": key.purpose.value, "rotation": rotation.id, "high_water": mark}
        if old is not None:
            context.ring.act(conn, old, KeyAction.SUSPEND, high_water=mark)
        context.ring.act(conn, versions[key.version], KeyAction.ACTIVATE)
        if old is None:
            context.audit(conn, Event.KEY_ACTIVATE, who, request, version=key.version, **told)
        else:
            context.audit(
                conn,
                Event.KEY_ROTATE,
                who,
                request,
                from_version=old.version,
                to_version=key.version,
                pseudonyms=rotation.total,
                **told,
            )
