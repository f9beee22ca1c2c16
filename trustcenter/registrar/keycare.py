"""Single steps in the life of a domain's key, and what to do when one leaks.

Only a pseudonym key can be suspended or deactivated by itself: a domain without its lookup or data key can do nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keys.ids import KeyId, Purpose
from keys.rotating import Stage, Step
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.store import Connection

from . import (
    domains,
    policy,
    rotation,
    rotation_plan,
    rotation_record,
    rotation_show,
)
from .context import Context
from .domains import DomainRow
from .keyring import Version
from .rotation_record import Rotation


async def suspend(context: Context, caller: Principal, request: str, name: str, body: api.KeyAct) -> api.KeyVersion:
    """Stop issue in a domain; what exists still resolves. `activate` takes it back.

    Raises:
        NotFoundError: no such domain.
        ConflictError: nothing is active, or a rotation is under way.
        PolicyError: not a pseudonym key.
    """
    return await _alone(context, caller, request, name, body, KeyAction.SUSPEND, Event.KEY_SUSPEND)


async def deactivate(context: Context, caller: Principal, request: str, name: str, body: api.KeyAct) -> api.KeyVersion:
    """End the use of a version for good; what exists still resolves. Errors as `suspend`."""
    return await _alone(context, caller, request, name, body, KeyAction.DEACTIVATE, Event.KEY_DEACTIVATE)


async def _alone(
    context: Context, caller: Principal, request: str, name: str, body: api.KeyAct, action: KeyAction, event: Event
) -> api.KeyVersion:
    def effect(conn: Connection) -> api.KeyVersion:
        domain = _domain(conn, name, body)
        rotation_record.require_none(conn, domain.scope, Purpose.PSEUDONYM)
        version = _chosen(context, conn, domain, body, KeyState.ACTIVE)
        mark = rotation_plan.high_water(conn, domain.id) if version.state is KeyState.ACTIVE else None
        after = context.ring.act(conn, version, action, high_water=mark)
        context.audit(
            conn,
            event,
            caller.name,
            request,
            domain=name,
            purpose=after.purpose.value,
            version=after.version,
            high_water=after.high_water or 0,
        )
        return _message(context, domain, after)

    return await context.db.write(effect)


async def activate(context: Context, caller: Principal, request: str, name: str, body: api.KeyAct) -> api.KeyVersion:
    """Cut over to a prepared version, or take back the suspension of one where none is active.

    Raises:
        NotFoundError: no such domain, or nothing to activate.
        ConflictError: another version is active.
    """
    purpose = Purpose(body.purpose)

    def waiting(conn: Connection) -> Rotation | None:
        return rotation_record.under_way(conn, domains.find(conn, name).scope, purpose)

    found = await context.db.read(waiting)
    if found is not None and found.stage is Stage.PREPARED and body.version in (None, found.to_version):
        await rotation.cut_over(context, caller.name, request, found.id)
        return await _shown(context, name, found.purpose, found.to_version)

    def effect(conn: Connection) -> api.KeyVersion:
        domain = _domain(conn, name, body)
        rotation_record.require_none(conn, domain.scope, Purpose.PSEUDONYM)
        versions = context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM)
        if any(v.state is KeyState.ACTIVE for v in versions):
            raise ConflictError(
                "another version of this key is active", code="key_conflict", hint="rotate, or roll a rotation back"
            )
        version = _chosen(context, conn, domain, body, KeyState.SUSPENDED)
        after = context.ring.act(conn, version, KeyAction.ROLL_BACK)
        context.audit(
            conn,
            Event.KEY_ACTIVATE,
            caller.name,
            request,
            domain=name,
            purpose=after.purpose.value,
            version=after.version,
        )
        return _message(context, domain, after)

    return await context.db.write(effect)


def _domain(conn: Connection, name: str, body: api.KeyAct) -> DomainRow:
    if body.purpose != Purpose.PSEUDONYM.value:
        raise PolicyError(
            "a domain can do nothing without its lookup and data keys",
            code="key_needed",
            hint="rotate it instead: trustcenter keys rotate DOMAIN --purpose",
        )
    domain = domains.find(conn, name)
    policy.require_open(conn, domain.id)
    return domain


def _chosen(context: Context, conn: Connection, domain: DomainRow, body: api.KeyAct, state: KeyState) -> Version:
    """The version that was named, or the newest one in a state."""
    purpose = Purpose(body.purpose)
    if body.version is not None:
        return rotation_show.version_of(context, conn, KeyId(domain.scope, purpose, body.version))
    for version in reversed(context.ring.versions(conn, domain.scope, purpose)):
        if version.state is state:
            return version
    raise NotFoundError(f"no version of this key is {state}", code="unknown_key_version", hint="trustcenter keys list")


def _message(context: Context, domain: DomainRow, version: Version) -> api.KeyVersion:
    kcv = next((e.kcv for e in context.keys.entries() if e.id == version.key_id()), "")
    return api.KeyVersion(
        scope=version.scope,
        domain=domain.name,
        purpose=version.purpose.value,
        version=version.version,
        state=version.state.value,
        since=version.since,
        kcv=kcv,
    )


async def _shown(context: Context, name: str, purpose: Purpose, version: int) -> api.KeyVersion:
    def query(conn: Connection) -> api.KeyVersion:
        domain = domains.find(conn, name)
        found = rotation_show.version_of(context, conn, KeyId(domain.scope, purpose, version))
        return _message(context, domain, found)

    return await context.db.read(query)


async def compromise(
    context: Context, caller: Principal, request: str, name: str, body: api.KeyCompromise
) -> api.CompromiseReport:
    """Mark a version compromised: issue under it stops at once, the next version is opened, the report says the rest.

    A crash in between leaves the domain without an active key and a prepared rotation: `keys activate` goes on.

    Raises:
        NotFoundError: no such domain or version.
        IllegalTransitionError: it is compromised or destroyed already.
    """
    purpose = Purpose(body.purpose)

    def mark(conn: Connection) -> tuple[bool, str]:
        domain = domains.find(conn, name)
        version = rotation_show.version_of(context, conn, KeyId(domain.scope, purpose, body.version))
        if purpose is not Purpose.PSEUDONYM and version.state is KeyState.ACTIVE:
            raise PolicyError(
                "this key is still needed: rotate it first, then mark the old version",
                code="rotate_first",
                hint=f"trustcenter keys rotate {name} --purpose {purpose}",
            )
        was_active = version.state is KeyState.ACTIVE
        until = stamp(context.clock()) if was_active else version.since
        high = rotation_plan.high_water(conn, domain.id) if was_active else version.high_water
        context.ring.act(conn, version, KeyAction.MARK_COMPROMISED, high_water=high)
        context.audit(
            conn,
            Event.KEY_COMPROMISE,
            caller.name,
            request,
            domain=name,
            purpose=purpose.value,
            version=body.version,
            reason=body.reason,
            since=body.since or "",
        )
        _end_rotations(context, conn, domain, purpose, body.version)
        return was_active and domain.policy.suite != policy.DRAWN and domain.state == policy.OPEN, until

    was_active, until = await context.db.write(mark)
    made: Rotation | None = None
    if was_active:
        waiting = await context.db.read(
            lambda conn: rotation_record.under_way(conn, domains.find(conn, name).scope, purpose)
        )
        made = (
            waiting
            or (
                await rotation.prepare(
                    context, caller.name, request, name, purpose, api.RotateRequest(), source=body.version
                )
            )[0]
        )
        made = await rotation.cut_over(context, caller.name, request, made.id)
    return await context.db.read(lambda conn: _report(context, conn, name, body, until, made))


def _end_rotations(context: Context, conn: Connection, domain: DomainRow, purpose: Purpose, version: int) -> None:
    """A rotation towards the compromised version has no point any more."""
    found = rotation_record.under_way(conn, domain.scope, purpose)
    if found is None or found.to_version != version:
        return
    rotation_record.step(context, conn, found, Step.ABORT if found.stage is Stage.PREPARED else Step.SUPERSEDE)


def _report(
    context: Context, conn: Connection, name: str, body: api.KeyCompromise, until: str, made: Rotation | None
) -> api.CompromiseReport:
    domain = domains.find(conn, name)
    purpose = Purpose(body.purpose)
    version = rotation_show.version_of(context, conn, KeyId(domain.scope, purpose, body.version))
    mark = version.high_water if version.high_water is not None else rotation_plan.high_water(conn, domain.id)
    query = "SELECT count(*) FROM entry WHERE domain = ? AND status = 0 AND serial <= ?"
    (exposed,) = conn.execute(query, (domain.id, mark)).fetchone()
    releases = []
    if domain.study is not None:
        found = conn.execute(
            "SELECT id, recipient, created FROM release WHERE study = ? AND state = 'released' ORDER BY created",
            (domain.study,),
        )
        releases = [f"{ident} to {recipient}, {created[:10]}" for ident, recipient, created in found]
    made_at = next((e.created for e in context.keys.entries() if e.id == version.key_id()), "")
    parties = rotation_record.parties(conn, domain) if purpose is Purpose.PSEUDONYM else []
    return api.CompromiseReport(
        domain=name,
        purpose=purpose.value,
        version=body.version,
        reason=body.reason,
        since=body.since or made_at[:10],
        in_use_until=until,
        replaced_by=made.to_version if made else None,
        rotation=made.id if made else None,
        exposed_pseudonyms=exposed,
        releases=releases,
        must_translate=parties,
        cannot_heal=_CANNOT_HEAL[purpose],
        next_steps=_next_steps(purpose, made),
    )


_CANNOT_HEAL = {
    Purpose.PSEUDONYM: [
        "data that were handed out under old pseudonyms stay readable under them, wherever copies are",
        "whoever has this key and a copy of the database resolves every pseudonym that it ever made",
        "an old copy of the database also orders later pseudonyms by time of issue: the inner key does not rotate",
        "backups of the key store that hold this key, until they expire",
    ],
    Purpose.LOOKUP: [
        "whoever has this key and an old copy of the database can test guessed originals against it",
        "rows without an original here keep the old tag until it is sent again: keys rotation show, old_key_needed",
        "backups of the database from before the rewriting, until they expire",
    ],
    Purpose.DATA: [
        "whoever has this key and an old copy of the database can read the originals in it",
        "backups of the database from before the rewriting, until they expire",
    ],
}


def _next_steps(purpose: Purpose, made: Rotation | None) -> list[str]:
    steps = ["decide with the data protection officer whether this is a breach to be notified (72 hours)"]
    if purpose is Purpose.PSEUDONYM and made is not None:
        steps += [
            f"trustcenter keys rotation verify {made.id}",
            "two people approve each delivery: trustcenter keys propose deliver, then keys approve",
            "every party named above translates its copies and acknowledges its map",
        ]
    steps.append("destroy the version when its grace period is over: trustcenter keys destroy")
    return steps


async def schedule(context: Context, caller: Principal, request: str, name: str, body: api.KeySchedule) -> api.KeysDue:
    """Say how often a domain's key is to be rotated. Overdue keys are shown; nothing rotates by itself.

    Raises:
        NotFoundError: no such domain.
    """

    def effect(conn: Connection) -> api.KeysDue:
        domain = domains.find(conn, name)
        conn.execute("DELETE FROM key_schedule WHERE scope = ? AND purpose = ?", (domain.scope, body.purpose))
        if body.days:
            conn.execute(
                "INSERT INTO key_schedule VALUES (?,?,?,?,?)",
                (domain.scope, body.purpose, body.days, caller.name, stamp(context.clock())),
            )
        context.audit(conn, Event.KEY_SCHEDULE, caller.name, request, domain=name, purpose=body.purpose, days=body.days)
        return api.KeysDue(keys=due(conn, context.clock()))

    return await context.db.write(effect)


def due(conn: Connection, now: datetime) -> list[api.KeyDue]:
    """Every scheduled key, the most urgent first. Needs no key store, so metrics and doctor ask it as well."""
    found = []
    for name, purpose, days, version, since in conn.execute(
        "SELECT d.name, s.purpose, s.days, k.version, k.since FROM key_schedule s"
        " JOIN domain d ON s.scope = 'domain:' || d.uuid"
        " JOIN key_version k ON k.scope = s.scope AND k.purpose = s.purpose AND k.state = 'active'"
        " WHERE d.state = 'open'"
    ).fetchall():
        moment = datetime.fromisoformat(since).astimezone(UTC) + timedelta(days=days)
        found.append(
            api.KeyDue(
                domain=name, purpose=purpose, days=days, version=version, due=stamp(moment), overdue=moment <= now
            )
        )
    return sorted(found, key=lambda one: (one.due, one.domain, one.purpose))
