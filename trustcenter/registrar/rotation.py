"""Rotation of a domain's keys: plan, prepare, cut over in one transaction, abort, roll back.

    (active v) ──intent──► (v active, v+1 pre-active) ──material, proven──► ──cut-over──► (v suspended, v+1 active)

The intent is a row of `rotation`, durable with its audit entry before any material is made, and the only truth about
what is under way (`rotation_record`). A crash before the cut-over leaves a prepared rotation, which `resume` finishes
or `abort` ends. For a pseudonym key the cut-over is all: no row is rewritten, and the map old to new is streamed on
demand. For lookup and data keys `rewriting` follows with its cursor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keys.ids import KeyId, Purpose
from keys.rotating import Shape, Stage, Step, shape_of
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError, LimitError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.store import Connection

from . import domains, policy, rotation_record
from .context import Context
from .domains import DomainRow
from .head import COUNTER_BITS
from .keyring import MAX_VERSION, Version
from .rotation_record import Rotation

MAP_RATE = 200_000  # pairs a second that a map is streamed and verified with, at least
REWRITE_RATE = 10_000  # rows a second that a cursor job rewrites, at least


@dataclass(frozen=True)
class _Plan:
    domain: DomainRow
    purpose: Purpose
    active: Version | None
    target: int
    companion: int | None
    rows: int
    high_water: int
    parties: list[str]

    @property
    def source(self) -> int:
        return self.active.version if self.active is not None else 0

    def message(self, state: str, rotation: str | None = None) -> api.RotationPlan:
        site = self.domain.site
        rate = MAP_RATE if shape_of(self.purpose) is Shape.FLIP else REWRITE_RATE
        return api.RotationPlan(
            domain=self.domain.name,
            purpose=self.purpose.value,
            from_version=self.source,
            to_version=self.target,
            pseudonyms=self.rows,
            sites=sorted({*(p[5:] for p in self.parties if p.startswith("site:")), *([site] if site else [])}),
            recipients=[p[10:] for p in self.parties if p.startswith("recipient:")],
            state=state,
            high_water_mark=self.high_water,
            estimated_seconds=1 + self.rows // rate,
            rotation=rotation,
        )


def high_water(conn: Connection, domain: int) -> int:
    """The greatest serial that a domain may have handed out; 0 if none."""
    row = conn.execute(
        "SELECT epoch, next FROM counter WHERE domain = ? ORDER BY epoch DESC LIMIT 1", (domain,)
    ).fetchone()
    return ((row[0] << COUNTER_BITS) | (row[1] - 1)) if row else 0


def _plan(context: Context, conn: Connection, name: str, purpose: Purpose, expected: int | None) -> _Plan:
    domain = domains.find(conn, name)
    policy.require_open(conn, domain.id)
    _require_rotatable(conn, domain, purpose)
    versions = context.ring.versions(conn, domain.scope, purpose)
    active = next((v for v in versions if v.state is KeyState.ACTIVE), None)
    if expected is not None and (active is None or expected != active.version):
        raise ConflictError(
            "the active key version is not the one that the plan was made for",
            code="rotation_plan_stale",
            hint="somebody rotated in between; look at keys list and plan again with --dry-run",
        )
    if active is None and shape_of(purpose) is Shape.CURSOR:
        raise ConflictError("no version of this key is active", code="no_active_key", hint="trustcenter keys list")
    companion = _next(context, conn, domain, Purpose.DATA) if purpose is Purpose.LOOKUP else None
    return _Plan(
        domain,
        purpose,
        active,
        _next(context, conn, domain, purpose),
        companion,
        conn.execute("SELECT count(*) FROM entry WHERE domain = ? AND status = 0", (domain.id,)).fetchone()[0],
        high_water(conn, domain.id),
        rotation_record.parties(conn, domain) if purpose is Purpose.PSEUDONYM else [],
    )


def _next(context: Context, conn: Connection, domain: DomainRow, purpose: Purpose) -> int:
    """The version after every one that database or key store ever knew: a key id is used once."""
    known = [v.version for v in context.ring.versions(conn, domain.scope, purpose)]
    stored = [e.id.version for e in context.keys.entries() if (e.id.scope, e.id.purpose) == (domain.scope, purpose)]
    target = max(known + stored, default=0) + 1
    if target > MAX_VERSION:
        raise LimitError(
            "this key has no version left", code="key_versions_exhausted", hint="translate into a new domain"
        )
    return target


def _require_rotatable(conn: Connection, domain: DomainRow, purpose: Purpose) -> None:
    if purpose is Purpose.PSEUDONYM and domain.policy.suite == policy.DRAWN:
        raise PolicyError(
            "drawn pseudonyms have no key that could be rotated",
            code="not_keyed",
            hint="make a new domain and translate into it",
        )
    if purpose is Purpose.LOOKUP:
        raise PolicyError(
            "a lookup key cannot be rotated in place yet",
            code="lookup_not_rotated",
            hint="make a new domain, which has keys of its own, and translate into it",
        )


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

        def plan(conn: Connection) -> _Plan:
            found = _plan(context, conn, name, purpose, body.expected_version)
            _require_free(conn, found.domain, purpose)
            return found

        return (await context.db.read(plan)).message("planned")
    made, planned = await prepare(context, caller.name, request, name, purpose, body)
    if body.prepare:
        await make_material(context, made)
        return planned.message("prepared", made.id)
    changed = await cut_over(context, caller.name, request, made.id)
    return replace(planned, high_water=changed.mark).message("done", changed.id)


def _require_free(conn: Connection, domain: DomainRow, purpose: Purpose) -> None:
    rotation_record.require_none(conn, domain.scope, purpose)
    # A lookup key's rotation seals anew as well: the two never run beside each other.
    for other in (Purpose.LOOKUP, Purpose.DATA) if shape_of(purpose) is Shape.CURSOR else ():
        rotation_record.require_none(conn, domain.scope, other)


async def prepare(
    context: Context,
    who: str,
    request: str,
    name: str,
    purpose: Purpose,
    body: api.RotateRequest,
    *,
    source: int | None = None,
) -> tuple[Rotation, _Plan]:
    """Write down the intent; nothing else changes. Errors as `rotate`.

    Args:
        context: the registrar.
        who: name of the operator.
        request: id of the request.
        name: of the domain.
        purpose: of the key.
        body: what was asked for.
        source: the version to be translated from, where none is active any more.
    """

    def intent(conn: Connection) -> tuple[Rotation, _Plan]:
        plan = _plan(context, conn, name, purpose, body.expected_version)
        _require_free(conn, plan.domain, purpose)
        versions = (source or plan.source, plan.target, plan.companion)
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
        domain = by_scope(conn, now.scope)
        policy.require_open(conn, domain.id)
        mark = high_water(conn, domain.id)
        _exchange(context, conn, who, request, domain, now, mark)
        context.ring.note_generation(conn)
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


async def abort(context: Context, caller: Principal, request: str, ident: str) -> Rotation:
    """End a rotation before its cut-over: the new version is destroyed, nothing else was changed.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: it was cut over, or has ended.
    """

    def effect(conn: Connection) -> Rotation:
        ended = rotation_record.step(context, conn, rotation_record.find(conn, ident), Step.ABORT)
        domain = by_scope(conn, ended.scope)
        for key in key_ids(ended):
            version = version_of(context, conn, key)
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

    ended = await context.db.write(effect)
    made = [key for key in key_ids(ended) if context.keys.has(key)]
    if made:
        await context.destroy_keys(made)
        await context.db.write(context.ring.note_generation)
    return ended


async def roll_back(context: Context, caller: Principal, request: str, ident: str) -> Rotation:
    """Make the old pseudonym key the active one again; the new one is suspended and what it made still resolves.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: not cut over, finalized, or the old version is no longer suspended.
    """

    def effect(conn: Connection) -> Rotation:
        found = rotation_record.find(conn, ident)
        ended = rotation_record.step(context, conn, found, Step.ROLL_BACK)
        domain = by_scope(conn, ended.scope)
        mark = high_water(conn, domain.id)
        new = version_of(context, conn, KeyId(ended.scope, ended.purpose, ended.to_version))
        context.ring.act(conn, new, KeyAction.SUSPEND, high_water=mark)
        old = version_of(context, conn, KeyId(ended.scope, ended.purpose, ended.from_version))
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

    return await context.db.write(effect)


def version_of(context: Context, conn: Connection, key: KeyId) -> Version:
    """A version with its state.

    Raises:
        NotFoundError: there is none.
    """
    for version in context.ring.versions(conn, key.scope, key.purpose):
        if version.version == key.version:
            return version
    raise NotFoundError("there is no such key version", code="unknown_key_version", hint="trustcenter keys list")


def by_scope(conn: Connection, scope: str) -> DomainRow:
    """The domain of a key's scope."""
    (row_id,) = conn.execute("SELECT id FROM domain WHERE 'domain:' || uuid = ?", (scope,)).fetchone()
    return domains.by_id(conn, row_id)


def describe(context: Context, conn: Connection, rotation: Rotation) -> api.Rotation:
    """What is shown of a rotation; the only place that says how far it is."""
    domain = by_scope(conn, rotation.scope)
    return api.Rotation(
        rotation=rotation.id,
        domain=domain.name,
        purpose=rotation.purpose.value,
        from_version=rotation.from_version,
        to_version=rotation.to_version,
        stage=rotation.stage.value,
        total=rotation.total,
        done=rotation.done,
        high_water_mark=rotation.mark,
        deadline=rotation.deadline,
        started_by=rotation.started_by,
        started=rotation.started,
        since=rotation.since,
        map_mac=rotation.map_mac,
        parties=[
            api.RotationParty(
                party=party.name,
                deliveries=party.deliveries,
                acknowledged=party.acknowledged,
                acknowledged_by=party.told_by,
            )
            for party in rotation_record.party_list(conn, rotation.id)
        ],
    )


async def show(context: Context, ident: str, caller: Principal | None = None) -> api.Rotation:
    """One rotation. A site sees those of its domains.

    Raises:
        NotFoundError: no such rotation, or not the caller's.
    """

    def query(conn: Connection) -> api.Rotation:
        found = rotation_record.find(conn, ident)
        domains.find(conn, by_scope(conn, found.scope).name, caller)
        return describe(context, conn, found)

    return await context.db.read(query)


async def list_rotations(context: Context, name: str | None, caller: Principal | None = None) -> api.Rotations:
    """The rotations of a domain, or of all, oldest first."""

    def query(conn: Connection) -> list[api.Rotation]:
        scope = None if name is None else domains.find(conn, name, caller).scope
        return [describe(context, conn, found) for found in rotation_record.listed(conn, scope)]

    return api.Rotations(rotations=await context.db.read(query))


async def list_keys(context: Context) -> api.Keys:
    """Every key version with its state; material stays in the key store."""

    def query(conn: Connection) -> list[api.KeyVersion]:
        names = {f"domain:{uuid}": name for uuid, name in conn.execute("SELECT uuid, name FROM domain")}
        checks = {entry.id: entry.kcv for entry in context.keys.entries()}
        return [
            api.KeyVersion(
                scope=version.scope,
                domain=names.get(version.scope),
                purpose=version.purpose.value,
                version=version.version,
                state=version.state.value,
                since=version.since,
                kcv=checks.get(version.key_id(), ""),
            )
            for version in context.ring.versions(conn)
        ]

    return api.Keys(keys=await context.db.read(query))
