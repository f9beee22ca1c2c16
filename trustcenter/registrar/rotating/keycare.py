"""Single steps in the life of a domain's key, and how often it is to be rotated.

Only a pseudonym key can be suspended or deactivated by itself: a domain without its lookup or data key can do nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keys.ids import KeyId, Purpose
from keys.rotating import Stage
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar import domains, policy, trial
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import rotation, rotation_plan, rotation_record, rotation_show
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

    return await trial.write(context, effect, dry_run=body.dry_run)


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
        if not body.dry_run:
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

    return await trial.write(context, effect, dry_run=body.dry_run)


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
    """The version that was named, or the one that came into a state last."""
    purpose = Purpose(body.purpose)
    if body.version is not None:
        return rotation_show.version_of(context, conn, KeyId(domain.scope, purpose, body.version))
    found = [version for version in context.ring.versions(conn, domain.scope, purpose) if version.state is state]
    if found:  # after a rollback the newer version is suspended too, and for longer
        return max(found, key=lambda version: (version.since, version.version))
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
