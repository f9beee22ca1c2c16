"""How a rotation ends: finalized, or aborted before its cut-over, or rolled back while the old key is suspended."""

from __future__ import annotations

from keys.ids import KeyId
from keys.rotating import Step
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError
from trustcenter.messages import api
from trustcenter.registrar import trial
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import rotation_plan, rotation_record, rotation_show
from .rotation import key_ids
from .rotation_record import Rotation


async def finalize(
    context: Context, caller: Principal, request: str, ident: str, *, dry_run: bool = False
) -> api.Rotation:
    """End a verified rotation that every party has acknowledged: the old version is deactivated. Or only try it.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: not verified.
        ConflictError: a party has not acknowledged its map.
    """

    def effect(conn: Connection) -> api.Rotation:
        found = rotation_record.find(conn, ident)
        silent = missing(conn, ident)
        if silent:
            raise ConflictError(
                f"not every party has acknowledged its map; missing: {', '.join(silent[:3])}"
                + (f" and {len(silent) - 3} more" if len(silent) > 3 else ""),
                code="not_acknowledged",
                hint=f"trustcenter keys rotation map {ident} --party {silent[0]} -o FILE; after {found.deadline[:10]}:"
                f" trustcenter keys propose finalize {ident}",
            )
        return rotation_show.describe(context, conn, end(context, conn, caller.name, request, found))

    return await trial.write(context, effect, dry_run=dry_run)


def missing(conn: Connection, ident: str) -> list[str]:
    """The parties of a rotation that have not acknowledged their map."""
    return [party.name for party in rotation_record.party_list(conn, ident) if party.acknowledged is None]


def end(context: Context, conn: Connection, who: str, request: str, found: Rotation, **told: str) -> Rotation:
    """Deactivate what a verified rotation led away from, in the caller's transaction."""
    ended = rotation_record.step(context, conn, found, Step.FINALIZE)
    domain = rotation_show.by_scope(conn, ended.scope)
    for key in key_ids(ended):
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


async def abort(context: Context, caller: Principal, request: str, ident: str, *, dry_run: bool = False) -> Rotation:
    """End a rotation before its cut-over: the new version is destroyed, nothing else was changed. Or only try it.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: it was cut over, or has ended.
    """

    def effect(conn: Connection) -> Rotation:
        ended = rotation_record.step(context, conn, rotation_record.find(conn, ident), Step.ABORT)
        domain = rotation_show.by_scope(conn, ended.scope)
        for key in key_ids(ended):
            version = rotation_show.version_of(context, conn, key)
            context.ring.act(conn, version, KeyAction.DESTROY)
            context.audit(
                conn,
                Event.KEY_ABORT,
                caller.name,
                request,
                domain=domain.name,
                purpose=key.purpose.value,
                version=key.version,
                rotation=ident,
            )
        return ended

    ended = await trial.write(context, effect, dry_run=dry_run)
    if dry_run:
        return ended
    made = [key for key in key_ids(ended) if context.keys.has(key)]
    if made:
        await context.destroy_keys(made)
        await context.db.write(context.ring.note_generation)
    return ended


async def roll_back(
    context: Context, caller: Principal, request: str, ident: str, *, dry_run: bool = False
) -> Rotation:
    """Make the old pseudonym key the active one again; the new one is suspended and what it made still resolves.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: not cut over, finalized, or the old version is no longer suspended.
    """

    def effect(conn: Connection) -> Rotation:
        found = rotation_record.find(conn, ident)
        ended = rotation_record.step(context, conn, found, Step.ROLL_BACK)
        domain = rotation_show.by_scope(conn, ended.scope)
        mark = rotation_plan.high_water(conn, domain.id)
        new = rotation_show.version_of(context, conn, KeyId(ended.scope, ended.purpose, ended.to_version))
        context.ring.act(conn, new, KeyAction.SUSPEND, high_water=mark)
        old = rotation_show.version_of(context, conn, KeyId(ended.scope, ended.purpose, ended.from_version))
        context.ring.act(conn, old, KeyAction.ROLL_BACK)
        context.audit(
            conn,
            Event.KEY_ROLLBACK,
            caller.name,
            request,
            domain=domain.name,
            purpose=ended.purpose.value,
            from_version=ended.to_version,
            to_version=ended.from_version,
            high_water=mark,
            rotation=ident,
        )
        return ended

    return await trial.write(context, effect, dry_run=dry_run)
