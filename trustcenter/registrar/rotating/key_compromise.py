"""What to do when a key leaks: stop issue, open the next version, say what was exposed and what no rotation heals."""

from __future__ import annotations

from keys.ids import KeyId, Purpose
from keys.rotating import Stage, Step
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import PolicyError
from trustcenter.messages import api
from trustcenter.registrar import domains, policy, trial
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import rotation, rotation_plan, rotation_record, rotation_show
from .rotation_record import Rotation


async def compromise(
    context: Context, caller: Principal, request: str, name: str, body: api.KeyCompromise
) -> api.CompromiseReport:
    """Mark a version compromised: issue under it stops at once, the next version is opened, the report says the rest.

    Killed in between, the domain has no active key, and the same command goes on; repeated when all is done it reports
    again, and nothing changes.

    Raises:
        NotFoundError: no such domain or version.
        IllegalTransitionError: it is destroyed already.
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
        if version.state is KeyState.COMPROMISED:
            return purpose is Purpose.PSEUDONYM and (name, body.version) in interrupted(conn), version.since
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
        return was_active and _replaceable(domain), until

    if body.dry_run:

        def reported(conn: Connection) -> api.CompromiseReport:
            _, until = mark(conn)
            return _report(context, conn, name, body, until, None)

        return await trial.write(context, reported, dry_run=True)
    was_active, until = await context.db.write(mark)
    made: Rotation | None = None
    if was_active:
        waiting = await context.db.read(
            lambda conn: rotation_record.under_way(conn, domains.find(conn, name).scope, purpose)
        )
        made = waiting or (await rotation.prepare(context, caller.name, request, name, purpose, api.RotateRequest()))[0]
        made = await rotation.cut_over(context, caller.name, request, made.id)
    return await context.db.read(lambda conn: _report(context, conn, name, body, until, made))


def _replaceable(domain: DomainRow) -> bool:
    return domain.policy.suite != policy.DRAWN and domain.state == policy.OPEN


def interrupted(conn: Connection) -> list[tuple[str, int]]:
    """Domain and version of each leak that was marked and not answered: killed in between, nothing is active since."""
    return conn.execute(
        "SELECT d.name, k.version FROM key_version k JOIN domain d ON k.scope = 'domain:' || d.uuid"
        " WHERE d.state = ? AND d.suite <> ? AND k.purpose = ? AND k.state = ? AND k.high_water IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM key_version o WHERE o.scope = k.scope AND o.purpose = k.purpose AND"
        " (o.state = ? OR o.high_water IS NOT NULL AND o.state <> ? AND o.since > k.since)) ORDER BY d.name, k.version",
        (
            policy.OPEN,
            policy.DRAWN,
            Purpose.PSEUDONYM.value,
            KeyState.COMPROMISED.value,
            KeyState.ACTIVE.value,
            KeyState.DESTROYED.value,
        ),
    ).fetchall()


def _away(conn: Connection, name: str, body: api.KeyCompromise) -> Rotation | None:
    """The rotation that led away from the version before it was known to be compromised; the latest of them."""
    found = rotation_record.listed(conn, domains.find(conn, name).scope)
    mine = [one for one in found if (one.purpose.value, one.from_version) == (body.purpose, body.version)]
    return next((one for one in reversed(mine) if one.stage in _CUT_OVER), None)


def _end_rotations(context: Context, conn: Connection, domain: DomainRow, purpose: Purpose, version: int) -> None:
    """A rotation towards the compromised version has no point any more."""
    found = rotation_record.under_way(conn, domain.scope, purpose)
    if found is None or found.to_version != version:
        return
    rotation_record.step(context, conn, found, Step.ABORT if found.stage is Stage.PREPARED else Step.SUPERSEDE)


def _report(
    context: Context, conn: Connection, name: str, body: api.KeyCompromise, until: str, made: Rotation | None
) -> api.CompromiseReport:
    domain, made = domains.find(conn, name), made or _away(conn, name, body)
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
        next_steps=_next_steps(name, purpose, body.version, made, parties),
    )


_CUT_OVER = frozenset({Stage.REWRITING, Stage.CHANGED, Stage.VERIFIED, Stage.FINALIZED})
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


def _next_steps(name: str, purpose: Purpose, version: int, made: Rotation | None, parties: list[str]) -> list[str]:
    steps = ["decide with the data protection officer whether this is a breach to be notified (72 hours)"]
    if purpose is Purpose.PSEUDONYM and made is not None:
        steps.append(f"trustcenter keys rotation verify {made.id}")
        steps += [
            f"trustcenter keys propose deliver {made.id} --party {party}; an approver signs: trustcenter keys approve"
            for party in parties
        ]
        steps.append("every party named above translates its copies and acknowledges its map")
    which = "" if purpose is Purpose.PSEUDONYM else f" --purpose {purpose}"
    steps.append(f"when its grace period is over: trustcenter keys destroy {name}{which} --version {version}")
    return steps
