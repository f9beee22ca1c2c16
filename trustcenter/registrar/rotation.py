"""Rotation of a domain's pseudonym key: plan, new material, cut-over in one transaction. No row is rewritten.

    (active v) ──intent──► (v active, v+1 pre-active) ──material, proven──► ──cut-over──► (v suspended, v+1 active)

A crash before the cut-over leaves a pre-active version that the next rotation takes up; after it, everything is
done. Old pseudonyms go on resolving while v is suspended, and the map old to new is streamed on demand.
"""

from __future__ import annotations

from dataclasses import dataclass

from keys.ids import KeyId, Purpose
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError, LimitError, PolicyError
from trustcenter.messages import api
from trustcenter.store import Connection

from . import domains, policy
from .context import Context
from .domains import DomainRow
from .head import COUNTER_BITS
from .keyring import MAX_VERSION, Version


@dataclass(frozen=True)
class _Plan:
    domain: DomainRow
    active: Version
    target: int
    pseudonyms: int
    high_water: int

    def message(self, state: str) -> api.RotationPlan:
        return api.RotationPlan(
            domain=self.domain.name,
            from_version=self.active.version,
            to_version=self.target,
            pseudonyms=self.pseudonyms,
            sites=[self.domain.site] if self.domain.site else [],
            state=state,
            high_water_mark=self.high_water,
        )


def _plan(context: Context, conn: Connection, name: str, expected: int | None) -> _Plan:
    domain = domains.find(conn, name)
    policy.require_open(conn, domain.id)
    if domain.policy.suite == policy.DRAWN:
        raise PolicyError(
            "drawn pseudonyms have no key that could be rotated",
            code="not_keyed",
            hint="make a new domain and translate into it",
        )
    active = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM)
    if expected is not None and expected != active.version:
        raise ConflictError(
            "the active key version is not the one that the plan was made for",
            code="rotation_plan_stale",
            hint="somebody rotated in between; look at keys list and plan again with --dry-run",
        )
    if active.version >= MAX_VERSION:
        raise LimitError(
            "this key has no version left",
            code="key_versions_exhausted",
            hint="translate into a new domain",
        )
    live = conn.execute("SELECT count(*) FROM entry WHERE domain = ? AND status = 0", (domain.id,)).fetchone()[0]
    row = conn.execute(
        "SELECT epoch, next FROM counter WHERE domain = ? ORDER BY epoch DESC LIMIT 1", (domain.id,)
    ).fetchone()
    high_water = ((row[0] << COUNTER_BITS) | (row[1] - 1)) if row else 0
    return _Plan(domain, active, active.version + 1, live, high_water)


async def rotate(
    context: Context, caller: Principal, request: str, name: str, body: api.RotateRequest
) -> api.RotationPlan:
    """Plan (dry run) or carry out the rotation of a domain's pseudonym key.

    Raises:
        NotFoundError: no such domain.
        ConflictError: no active key, or the plan is stale.
        LimitError: 255 versions are used up.
    """
    if body.dry_run:
        plan = await context.db.read(lambda conn: _plan(context, conn, name, body.expected_version))
        return plan.message("planned")

    def intent(conn: Connection) -> _Plan:
        plan = _plan(context, conn, name, body.expected_version)
        key = KeyId(plan.domain.scope, Purpose.PSEUDONYM, plan.target)
        known = {v.version for v in context.ring.versions(conn, plan.domain.scope, Purpose.PSEUDONYM)}
        if plan.target not in known:  # otherwise an earlier attempt got this far
            context.ring.add(conn, key, KeyState.PRE_ACTIVE)
            context.audit(
                conn,
                Event.KEY_CREATE,
                caller.name,
                request,
                domain=name,
                purpose="pseudonym",
                version=plan.target,
            )
        return plan

    plan = await context.db.write(intent)
    key = KeyId(plan.domain.scope, Purpose.PSEUDONYM, plan.target)
    if not context.keys.has(key):
        await context.make_keys([key])

    def cut_over(conn: Connection) -> _Plan:
        now = _plan(context, conn, name, plan.active.version)
        versions = {v.version: v for v in context.ring.versions(conn, now.domain.scope, Purpose.PSEUDONYM)}
        context.ring.act(conn, now.active, KeyAction.SUSPEND, high_water=now.high_water)
        context.ring.act(conn, versions[now.target], KeyAction.ACTIVATE)
        context.ring.note_generation(conn)
        context.audit(
            conn,
            Event.KEY_ROTATE,
            caller.name,
            request,
            domain=name,
            purpose="pseudonym",
            from_version=now.active.version,
            to_version=now.target,
            pseudonyms=now.pseudonyms,
            high_water=now.high_water,
        )
        return now

    return (await context.db.write(cut_over)).message("done")


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
