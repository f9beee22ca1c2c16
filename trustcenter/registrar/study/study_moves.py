"""Taking a study from one state to the next, and what goes with it: purge and deletion.

Rows go at the comparator by a message of the outbox; refs and links go here in chunks after the step. When the
comparator has counted that no row is left, that is noted and logged: only then is the study called purged.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from keys.states import KeyAction
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, InternalError, PolicyError
from trustcenter.messages import api
from trustcenter.messages.rooms import StudyPhase
from trustcenter.registrar import closing, domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.doubts import clearing_tasks
from trustcenter.registrar.linking import calibrations, outbox, pairs, retiring, sweeping, tally
from trustcenter.registrar.release import release_changes
from trustcenter.store import Connection

from . import refs, secret_relay, studies, study_checks, study_states
from .studies import StudyRow
from .study_states import StudyState

_YEARS_KEPT: Final = 10  # after closing, where the study names no day


async def move(context: Context, caller: Principal, request: str, study_name: str, body: api.StudyMove) -> api.Study:
    """Take a study to another state. The state that it has already changes nothing.

    Raises:
        NotFoundError: no such study.
        ConflictError: no step leads there, or a linkage run is under way.
        PolicyError: it is to be kept longer.
    """
    target = StudyState(body.state)

    def effect(conn: Connection) -> api.Study:
        study = studies.find(conn, study_name, caller)
        if study_states.require_move(study.state, target):
            if target is StudyState.RELEASED:
                _require_release(conn, study)
            step(context, conn, caller.name, request, study, target)
        return studies.describe(context, conn, studies.find(conn, study_name), caller)

    moved = await context.db.write(effect)
    await closing.destroy_marked(context)
    await sweeping.carry_out(context)
    return moved


def step(context: Context, conn: Connection, who: str, request: str, study: StudyRow, target: StudyState) -> None:
    """Carry out a step that was checked, inside a transaction, with its entry.

    Raises:
        ConflictError: a linkage run is under way. PolicyError: it is to be kept longer.
    """
    if target in (StudyState.RELEASED, StudyState.CLOSED):
        study_checks.no_run(conn, study.name)
    conn.execute("UPDATE study SET state = ? WHERE name = ?", (target.value, study.name))
    purge = study_states.purges(study.settings.purge, target)
    told: dict[str, int] = {}
    if target is StudyState.CLOSED:
        conn.execute("UPDATE study SET closed = ? WHERE name = ?", (stamp(context.clock()), study.name))
    if target is StudyState.DELETED:
        _require_over(context, study)
        told = _delete(context, conn, who, request, study)
    if purge and study.purged is None:
        told = _purge(context, conn, study.name)
    if target is StudyState.OPEN and study.state == StudyState.DRAFT:
        studies.announce(conn, study)
    elif target is not StudyState.DELETED:
        phase = StudyPhase(study=study.name, takes_rows=target is StudyState.OPEN, purge=purge)
        outbox.put(conn, "state", phase)
    event = Event.STUDY_CLOSE if target is StudyState.CLOSED else Event.STUDY_MOVE
    context.audit(conn, event, who, request, study=study.name, version=study.version, state=target.value, **told)


def _require_release(conn: Connection, study: StudyRow) -> None:
    query = "SELECT 1 FROM release WHERE study = ? AND state = 'released'"
    if conn.execute(query, (study.name,)).fetchone() is None:
        raise ConflictError(
            "nothing of this study was released",
            code="not_released",
            hint="propose and approve a release first: trustcenter study release",
        )


def _require_over(context: Context, study: StudyRow) -> None:
    if study.state == StudyState.DRAFT:
        return
    assert study.closed is not None
    until = study.settings.retain_until
    day = date.fromisoformat(until) if until is not None else _years_after(study.closed)
    if context.clock().date() <= day:
        raise PolicyError(
            "this study is to be kept longer",
            code="study_retained",
            hint=f"its pseudonyms and persons are kept until {day.isoformat()}",
        )


def _years_after(closed: str) -> date:
    day = datetime.fromisoformat(closed).date()
    return day.replace(year=day.year + _YEARS_KEPT, day=min(day.day, 28))


def _purge(context: Context, conn: Connection, study: str) -> dict[str, int]:
    """Have refs, edges and links removed (`sweeping`); persons and pseudonyms stay. Returns how many there are."""
    context.db.forget_soon()
    sweeping.order(conn, study, sweeping.PURGE)
    held, links = refs.held(conn, refs.domains_of(conn, study)), _links(conn, study)
    calibrations.forget(conn, study)
    retiring.forget(conn, study)
    tasks = clearing_tasks.forget_study(conn, study)
    return {"refs": held, "links": links, "tasks": tasks}


def _links(conn: Connection, study: str) -> int:
    query = "SELECT count(*) FROM link WHERE run IN (SELECT id FROM run WHERE study = ?)"
    return int(conn.execute(query, (study,)).fetchone()[0])


async def confirm_purge(context: Context, study_name: str, left: int) -> None:
    """The comparator has purged a study and counted what it still has; here it is cleaned up first. Twice is harmless.

    Raises:
        InternalError: rows, refs, links or edges are left; the message stays in the outbox.
    """
    await sweeping.carry_out(context)

    def effect(conn: Connection) -> None:
        row = conn.execute("SELECT purged FROM study WHERE name = ?", (study_name,)).fetchone()
        if row is None or row[0] is not None:
            return
        held = refs.held(conn, refs.domains_of(conn, study_name))
        links = _links(conn, study_name)
        if left or held or links or pairs.held(conn, study_name):
            raise InternalError("a purge left something behind", code="purge_incomplete")
        conn.execute("UPDATE study SET purged = ? WHERE name = ?", (stamp(context.clock()), study_name))
        context.audit(conn, Event.STUDY_PURGE, "service", "", study=study_name, rows=left, refs=held, links=links)

    await context.db.write(effect)


def _delete(context: Context, conn: Connection, who: str, request: str, study: StudyRow) -> dict[str, int]:
    """Forget a study's pseudonyms, persons and join maps. Its row stays, so that its name is not used again."""
    context.db.forget_soon()
    rows = conn.execute("SELECT id, name FROM domain WHERE study = ? ORDER BY id", (study.name,)).fetchall()
    records = 0
    pairs.purge(conn, study.name)
    tally.forget(conn, study.name)
    retiring.forget(conn, study.name)
    for row_id, name in rows:
        closing.shred(context, conn, domains.find(conn, name), who, request)  # rows stay, and nothing opens them
        refs.purge(conn, row_id)
        records += conn.execute(
            "UPDATE record SET state = 'unlinked', person = NULL, quality = NULL WHERE domain = ?", (row_id,)
        ).rowcount
    conn.execute("DELETE FROM link WHERE run IN (SELECT id FROM run WHERE study = ?)", (study.name,))
    conn.execute("UPDATE release SET sealed = NULL WHERE study = ?", (study.name,))
    release_changes.forget_study(conn, study.name)
    secret_relay.forget_study(conn, study.name)
    if study.shift_scope is not None:
        for version in context.ring.versions(conn, study.shift_scope):
            deactivated = context.ring.act(conn, version, KeyAction.DEACTIVATE)
            context.ring.act(conn, deactivated, KeyAction.DESTROY)
    return {"records": records, "domains": len(rows)}
