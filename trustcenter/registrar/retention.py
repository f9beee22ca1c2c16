"""Details of old entries go by rule: what is due is deleted, and the log says by which (docs/spec/retention.md)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from trustcenter.audit import Event
from trustcenter.audit.entries import day_start
from trustcenter.audit.extract import Selection, matcher
from trustcenter.audit.retention import DETAILS, GRACE_DAYS, years_before
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.messages import api
from trustcenter.store import Connection, Migration

from . import retention_proposals
from .context import Context

MIGRATIONS: Final = (
    Migration(
        number=453,
        name="rules of retention",
        sql="""
        CREATE TABLE retention_rule (
            event TEXT PRIMARY KEY,
            years INTEGER NOT NULL,
            since TEXT NOT NULL,          -- when it was set
            done_before TEXT NOT NULL     -- details of entries before this day are deleted; empty: none were
        ) STRICT;
        """,
    ),
    *retention_proposals.MIGRATIONS,
)
_PART: Final = 10_000  # entries


async def set_rule(context: Context, caller: Principal, request: str, body: api.RetentionSet) -> api.RetentionRules:
    """Say for how many years the details of an event's entries are kept; in force after the grace period.

    A rule by which they go sooner than before is proposed only: see `approve`.

    Raises:
        NotFoundError: entries of this event have no details.
    """
    if body.event not in DETAILS:
        raise NotFoundError(
            "entries of this event have no details that could be deleted",
            code="no_details",
            hint="trustcenter audit retention lists the events",
        )

    def effect(conn: Connection) -> api.RetentionRules:
        before = _years(conn, body.event)
        if not before or body.years < before:
            retention_proposals.propose(context, conn, caller, request, body, before)
        else:
            retention_proposals.withdraw(conn, body.event)
            _set(context, conn, body.event, body.years)
            context.audit(conn, Event.RETENTION_SET, caller.name, request, detail_of=body.event, years=body.years)
        return rules(conn)

    return await context.db.write(effect)


async def approve(
    context: Context, caller: Principal, request: str, proposal: str, body: api.Approval
) -> api.RetentionRules:
    """Take an approver's signature under a proposed rule, and set it.

    Raises:
        NotFoundError: no such proposal, or not any more.
        PolicyError, SignatureError, ConflictError: see `retention_proposals.approve`.
    """

    def effect(conn: Connection) -> api.RetentionRules:
        found = retention_proposals.find(conn, proposal)
        before = _years(conn, found.event)
        retention_proposals.approve(context, conn, caller, request, found, body.signature, before)
        _set(context, conn, found.event, found.years)
        told = {"detail_of": found.event, "years": found.years, "proposal": found.proposal, "approved_by": caller.name}
        context.audit(conn, Event.RETENTION_SET, found.proposed_by, request, **told)
        return rules(conn)

    return await context.db.write(effect)


def _years(conn: Connection, event: str) -> int:
    row = conn.execute("SELECT years FROM retention_rule WHERE event = ?", (event,)).fetchone()
    return row[0] if row is not None else 0


def _set(context: Context, conn: Connection, event: str, years: int) -> None:
    conn.execute(
        "INSERT INTO retention_rule VALUES (?,?,?,'') ON CONFLICT (event)"
        " DO UPDATE SET years = excluded.years, since = excluded.since",
        (event, years, stamp(context.clock())),
    )


def rules(conn: Connection) -> api.RetentionRules:
    """Every event whose entries have details, with its rule if there is one."""
    known = {
        event: (years, since, done)
        for event, years, since, done in conn.execute("SELECT event, years, since, done_before FROM retention_rule")
    }
    waiting = retention_proposals.waiting(conn)
    return api.RetentionRules(
        rules=[
            api.RetentionRule(
                event=event,
                details=what,
                years=known[event][0] if event in known else 0,
                in_force=_in_force(known[event][1]) if event in known else "",
                deleted_before=known[event][2] if event in known else "",
                proposed=waiting[event].years if event in waiting else 0,
                proposal=waiting[event].proposal if event in waiting else "",
            )
            for event, what in DETAILS.items()
        ]
    )


async def delete_due(context: Context, caller: Principal, request: str) -> api.RetentionRules:
    """Delete what the rules in force allow to, one transaction and one entry for each event."""
    today = context.clock().date()
    for rule in (await context.db.read(rules)).rules:
        if not rule.years or rule.in_force > today.isoformat():
            continue
        before = years_before(today, rule.years).isoformat()
        if before <= rule.deleted_before:
            continue
        await _delete(context, caller, request, rule, before)
    return await context.db.read(rules)


async def _delete(context: Context, caller: Principal, request: str, rule: api.RetentionRule, before: str) -> None:
    entries = await context.db.read(lambda conn: _entries(context, conn, rule, before))

    def effect(conn: Connection) -> None:
        details = _DELETE[rule.event](context, conn, before)
        if not entries and not details:  # nothing to tell; the period goes on
            return
        found = conn.execute(
            "UPDATE retention_rule SET done_before = ? WHERE event = ? AND done_before = ? AND years = ?"
            " AND substr(since, 1, 10) = ?",  # also one set again with the same years: it waits anew
            (before, rule.event, rule.deleted_before, rule.years, _set_on(rule)),
        )
        if found.rowcount != 1:
            raise ConflictError("the rule was changed meanwhile", code="rule_changed", hint="ask again")
        context.db.forget_soon()
        context.audit(
            conn,
            Event.DETAIL_DELETE,
            caller.name,
            request,
            detail_of=rule.event,
            years=rule.years,
            since=rule.deleted_before,
            before=before,
            entries=entries,
            details=details,
        )

    await context.db.write(effect)


def _set_on(rule: api.RetentionRule) -> str:
    return (date.fromisoformat(rule.in_force) - timedelta(days=GRACE_DAYS)).isoformat()


def _in_force(since: str) -> str:
    return (date.fromisoformat(since[:10]) + timedelta(days=GRACE_DAYS)).isoformat()


def _entries(context: Context, conn: Connection, rule: api.RetentionRule, before: str) -> int:
    """How many entries of the event lie in the period. They are past, so the number stays."""
    start = context.log.first_from(conn, day_start(rule.deleted_before)) if rule.deleted_before else 0
    end = context.log.first_from(conn, day_start(before))
    wanted = matcher(Selection(events=(rule.event,)))
    count = 0
    for first in range(start, end, _PART):  # in parts, so that no store holds all of them in memory
        part = (first, min(first + _PART, end))
        rows = conn.execute("SELECT leaf FROM audit_entry WHERE seq >= ? AND seq < ?", part)
        count += sum(wanted(bytes(leaf)) for (leaf,) in rows)
    return count


def _decisions(context: Context, conn: Connection, before: str) -> int:
    """Of runs that no other work builds on: a later one was applied, or the study is over."""
    runs = conn.execute(
        "SELECT r.id FROM run r JOIN study s ON s.name = r.study WHERE r.state = 'applied' AND r.finished < ?"
        " AND (s.state IN ('closed', 'deleted') OR EXISTS (SELECT 1 FROM run l WHERE l.study = r.study"
        " AND l.state = 'applied' AND l.window_number > r.window_number))",
        (before,),
    ).fetchall()
    count = 0
    for (run,) in runs:
        (held,) = conn.execute(
            "SELECT count(*) FROM linkage_decision WHERE run = ? AND salt IS NOT NULL", (run,)
        ).fetchone()
        conn.execute("DELETE FROM link WHERE run = ?", (run,))  # its trigger empties the decision
        count += held
    return count


def _subjects(context: Context, conn: Connection, before: str) -> int:
    """Without its salt an entry is about nobody any more."""
    end = context.log.first_from(conn, day_start(before))
    return int(conn.execute("DELETE FROM reidentification_salt WHERE seq < ?", (end,)).rowcount)


def _requests(context: Context, conn: Connection, before: str) -> int:
    old = "(SELECT id FROM reidentification WHERE created < ?)"
    conn.execute(f"DELETE FROM reidentification_row WHERE reidentification IN {old}", (before,))  # noqa: S608
    conn.execute(f"DELETE FROM reidentification_approval WHERE reidentification IN {old}", (before,))  # noqa: S608
    return int(conn.execute("DELETE FROM reidentification WHERE created < ?", (before,)).rowcount)


def _disclosures(context: Context, conn: Connection, before: str) -> int:
    return int(conn.execute("DELETE FROM linkage_disclosure WHERE created < ?", (before,)).rowcount)


_DELETE: Final = {
    Event.RUN_APPLY.value: _decisions,
    Event.PSEUDONYM_REIDENTIFY.value: _subjects,
    Event.REIDENTIFY_REQUEST.value: _requests,
    Event.LINKAGE_PROPOSE.value: _disclosures,
}
