"""Closing a domain, which two people agree on: no more issue at once, its keys destroyed after a grace period.

Rule 13 of the suite.

Destroying is two steps, because the database and the key store share no transaction: first one transaction that
marks every key version destroyed and erases H, then the key store. A crash in between is made good at the next
start, which destroys every key that the database calls destroyed.
"""

from __future__ import annotations

from datetime import timedelta

from keys.ids import KeyId
from keys.states import KeyAction, KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar.rotating.keyring import domain_scope
from trustcenter.store import Connection

from . import domains, policy
from .consents import consent_store
from .context import Context
from .domains import DomainRow


def carry_out(context: Context, conn: Connection, who: str, request: str, name: str, days: int, **told: str) -> None:
    """Stop issue in a domain now; its keys are destroyed after so many days. Two people have agreed (`proposals`).

    Raises:
        NotFoundError: no such domain.
        PolicyError: it belongs to a study, or an open domain has it as its parent.
        ConflictError: it is closed already.
    """
    domain = require_closable(conn, name)
    closes = stamp(context.clock() + timedelta(days=days))
    conn.execute("UPDATE domain SET state = ?, closes = ? WHERE id = ?", (policy.CLOSING, closes, domain.id))
    context.audit(conn, Event.DOMAIN_CLOSE, who, request, domain=name, closes=closes, **told)


def require_closable(conn: Connection, name: str) -> DomainRow:
    """The domain, if it may be closed. Raises as `carry_out`."""
    domain = _ordinary(domains.find(conn, name))
    policy.require_open(conn, domain.id)
    if conn.execute("SELECT 1 FROM domain WHERE parent = ? AND state = 'open'", (domain.id,)).fetchone():
        raise PolicyError("an open domain has this one as its parent", code="has_children", hint="close that one first")
    return domain


def _ordinary(domain: DomainRow) -> DomainRow:
    if domain.kind != "site":
        raise PolicyError("a study's domains are closed with the study", code="study_domain")
    return domain


async def destroy(context: Context, caller: Principal, request: str, name: str) -> api.Domain:
    """Destroy the keys of a closed domain whose day has come.

    Raises:
        NotFoundError: no such domain.
        ConflictError: its day has not come, or it was never closed.
    """

    def effect(conn: Connection) -> api.Domain:
        domain = _ordinary(domains.find(conn, name))
        if domain.state != policy.CLOSED:
            if domain.closes is None or domain.closes > stamp(context.clock()):
                raise ConflictError(
                    "the domain's keys are not due to be destroyed",
                    code="not_due",
                    hint="trustcenter domain close starts the grace period; domain show names the day",
                )
            shred(context, conn, domain, caller.name, request)
        return domains.describe(context, conn, domains.find(conn, name))

    described = await context.db.write(effect)
    await destroy_marked(context)
    return described


async def destroy_due(context: Context) -> int:
    """At start: destroy what is due, and finish what a crash or a restored database left half done.

    Returns:
        How many domains were due.
    """

    def effect(conn: Connection) -> int:
        due = {
            name
            for (name,) in conn.execute(
                "SELECT name FROM domain WHERE state = ? AND closes <= ?", (policy.CLOSING, stamp(context.clock()))
            )
        }
        due |= _behind(context, conn)
        for name in sorted(due):
            shred(context, conn, domains.find(conn, name), "service", "")
        return len(due)

    count = await context.db.write(effect)
    await destroy_marked(context)
    return count


def _behind(context: Context, conn: Connection) -> set[str]:
    """Domains whose keys the key store has destroyed while the database, restored from before, does not know.

    Where only some versions are gone, they were destroyed after a rotation: those are marked here, and no more.
    """
    entries = context.keys.entries()
    gone = {entry.id for entry in entries if entry.destroyed is not None}
    living = {entry.id.scope for entry in entries if entry.destroyed is None}
    scopes = set()
    for version in context.ring.versions(conn) if gone else ():
        if version.state is KeyState.DESTROYED or version.key_id() not in gone:
            continue
        if version.scope not in living:
            scopes.add(version.scope)
            continue
        if version.state is KeyState.ACTIVE:
            version = context.ring.act(conn, version, KeyAction.DEACTIVATE)
        context.ring.act(conn, version, KeyAction.DESTROY)
    return {name for name, uuid in conn.execute("SELECT name, uuid FROM domain") if domain_scope(uuid) in scopes}


def shred(context: Context, conn: Connection, domain: DomainRow, who: str, request: str) -> None:
    """The half inside the database: nothing resolves any more once this is committed."""
    context.db.forget_soon()
    for version in context.ring.versions(conn, domain.scope):
        if version.state is KeyState.ACTIVE:
            version = context.ring.act(conn, version, KeyAction.DEACTIVATE)
        if version.state is not KeyState.DESTROYED:
            context.ring.act(conn, version, KeyAction.DESTROY)
            context.audit(
                conn,
                Event.KEY_DESTROY,
                who,
                request,
                domain=domain.name,
                purpose=version.purpose.value,
                version=version.version,
            )
    conn.execute("UPDATE domain SET state = ?, h = x'' WHERE id = ?", (policy.CLOSED, domain.id))
    conn.execute("DELETE FROM idempotency WHERE domain = ?", (domain.id,))
    consent_store.forget_domain(conn, domain.id)
    context.audit(conn, Event.DOMAIN_DESTROY, who, request, domain=domain.name)


async def destroy_marked(context: Context) -> None:
    """The half in the key store: every key that the database calls destroyed and that is still there."""

    def query(conn: Connection) -> list[KeyId]:
        return [
            version.key_id()
            for version in context.ring.versions(conn)
            if version.state is KeyState.DESTROYED and context.keys.has(version.key_id())
        ]

    left = await context.db.read(query)
    if left:
        await context.destroy_keys(left)
        await context.db.write(context.ring.note_generation)
