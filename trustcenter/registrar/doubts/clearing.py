"""Clearing: stewards decide doubtful pairs, blind to content and to each other.

An answer names a reason of a list, never text: what could be written there would be content. A verdict joins or parts
nobody at once: it holds from the next linkage run on, whose partition is a function of records and verdicts.
"""

from __future__ import annotations

import asyncio
import os
from datetime import date

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, UsageError
from trustcenter.messages import api
from trustcenter.registrar import domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import pairs
from trustcenter.registrar.pseudonyms import lookup
from trustcenter.store import Connection

from . import clearing_tasks
from .clearing_states import TaskState, state_of
from .work_list import one, require_clearing, unknown_task


def _state(conn: Connection, study: str, task: str) -> TaskState:
    row = conn.execute("SELECT state FROM clearing_task WHERE study = ? AND id = ?", (study, task)).fetchone()
    if row is None:
        raise unknown_task()
    return TaskState(row[0])


async def answer(
    context: Context, caller: Principal, request: str, study_name: str, task: str, body: api.ClearingAnswer
) -> api.ClearingTask:
    """Take a steward's answer. The same answer again is harmless.

    Raises:
        NotFoundError: no such study or task.
        ConflictError: the task is decided, or the steward has answered otherwise, or took an answer back too late.
        PolicyError: the study has no clearing, or is in no state for it.
    """

    def effect(conn: Connection) -> api.ClearingTask:
        study = require_clearing(conn, study_name)
        state = _state(conn, study_name, task)
        given = conn.execute(
            "SELECT steward, answer, number FROM clearing_answer WHERE task = ? ORDER BY number", (task,)
        ).fetchall()
        mine = {steward: said for steward, said, _ in given}.get(caller.name)
        if mine is not None:
            if mine != body.answer:
                raise ConflictError(
                    "you have answered this task otherwise",
                    code="answered",
                    hint="take your answer back first: trustcenter study clearing STUDY --task ID --take-back",
                )
            return one(conn, study_name, task)
        if conn.execute(
            "SELECT 1 FROM clearing_taken_back WHERE task = ? AND steward = ?", (task, caller.name)
        ).fetchone():
            raise ConflictError(
                "you took an answer to this task back when somebody else had answered it too",
                code="answer_taken_back",
                hint="others decide it: whoever may try both answers learns what the other one said",
            )
        if state == TaskState.DECIDED:
            raise ConflictError(
                "this task is decided", code="task_decided", hint="who answered can take that back (--take-back)"
            )
        conn.execute(
            "INSERT INTO clearing_answer VALUES (?,?,?,?,?,?)",
            (task, caller.name, (given[-1][2] if given else 0) + 1, body.answer, body.reason, stamp(context.clock())),
        )
        mode = study.settings.clearing
        state, verdict = state_of(mode, [*(word for _, word, _ in given), body.answer])
        conn.execute("UPDATE clearing_task SET state = ?, verdict = ? WHERE id = ?", (state.value, verdict, task))
        context.audit(
            conn,
            Event.CLEARING_ANSWER,
            caller.name,
            request,
            study=study_name,
            task=task,
            answer=body.answer,
            reason=body.reason,
            state=state.value,
        )
        return one(conn, study_name, task)

    return await context.db.write(effect)


async def retract(context: Context, caller: Principal, request: str, study_name: str, task: str) -> api.ClearingTask:
    """Take the caller's own answer back; the task stands as the others' answers leave it.

    Where others have answered, the caller does not answer it again: what their first answer led to told them the
    other's, and with a second one of theirs a single person would have decided.

    Raises:
        NotFoundError: no such study or task, or the caller has not answered it.
        PolicyError: the study has no clearing, or is in no state for it.
    """

    def effect(conn: Connection) -> api.ClearingTask:
        study = require_clearing(conn, study_name)
        before = _state(conn, study_name, task)
        gone = conn.execute("DELETE FROM clearing_answer WHERE task = ? AND steward = ?", (task, caller.name)).rowcount
        if not gone:
            raise NotFoundError("you have not answered this task", code="not_answered")
        left = conn.execute("SELECT answer FROM clearing_answer WHERE task = ? ORDER BY number", (task,)).fetchall()
        if left:
            conn.execute("INSERT INTO clearing_taken_back VALUES (?,?)", (task, caller.name))
        state, verdict = state_of(study.settings.clearing, [word for (word,) in left])
        conn.execute(
            "UPDATE clearing_task SET state = ?, verdict = ?, unmet = 0 WHERE id = ?", (state.value, verdict, task)
        )
        if before == TaskState.DECIDED:  # runs follow the verdict no more, or another one
            row = conn.execute(
                "SELECT domain_a, serial_a, domain_b, serial_b FROM clearing_task WHERE id = ?", (task,)
            ).fetchone()
            pairs.touch(conn, row[0], [row[1]])
            pairs.touch(conn, row[2], [row[3]])
        context.audit(
            conn, Event.CLEARING_RETRACT, caller.name, request, study=study_name, task=task, state=state.value
        )
        return one(conn, study_name, task)

    return await context.db.write(effect)


async def postpone(
    context: Context, caller: Principal, request: str, study_name: str, task: str, body: api.ClearingPostpone
) -> api.ClearingTask:
    """Hide a task until a day.

    Raises:
        NotFoundError, ConflictError, PolicyError: as `answer`. UsageError: no day, or not a later one.
    """
    try:
        later = date.fromisoformat(body.until) > context.clock().date()
    except ValueError:
        later = False
    if not later:
        raise UsageError("until is not a day after today", where="until")

    def effect(conn: Connection) -> api.ClearingTask:
        require_clearing(conn, study_name)
        if _state(conn, study_name, task) == TaskState.DECIDED:
            raise ConflictError("this task is decided", code="task_decided")
        conn.execute("UPDATE clearing_task SET postponed = ? WHERE id = ?", (body.until, task))
        context.audit(
            conn, Event.CLEARING_POSTPONE, caller.name, request, study=study_name, task=task, until=body.until
        )
        return one(conn, study_name, task)

    return await context.db.write(effect)


async def ask(
    context: Context, caller: Principal, request: str, study_name: str, body: api.ClearingAsk
) -> api.ClearingTask:
    """Make a task of a pair that somebody names: to join it, or, where both are one person now, to split it.

    A task that was decided is opened again, without its answers; one that is not stays as it is.

    Raises:
        NotFoundError: no such study, or a pseudonym that is none of its linked records.
        UsageError: twice one record, or two of one site (those are the site's to declare).
        PolicyError: the study has no clearing, or is in no state for it.
    """
    if body.sites[0] == body.sites[1]:
        raise UsageError("a pair is of two sites", code="same_site", hint="a site declares its own duplicates")

    def look(conn: Connection) -> list[domains.DomainRow]:
        require_clearing(conn, study_name)
        found = []
        for site in body.sites:
            query = "SELECT domain FROM participant WHERE study = ? AND site = ?"
            row = conn.execute(query, (study_name, site)).fetchone()
            if row is None:
                raise _unknown()
            found.append(domains.by_id(conn, row[0]))
        return found

    pair = list(zip(await context.db.read(look), body.pseudonyms, strict=True))
    asked = [(domain, await asyncio.to_thread(lookup.read, context, domain, [text])) for domain, text in pair]

    def effect(conn: Connection) -> api.ClearingTask:
        require_clearing(conn, study_name)
        records, persons = [], []
        for domain, question in asked:
            row = lookup.asked(context, conn, domain, question, caller.name, request).rows[0]
            person = _person(conn, domain.id, row[0]) if row is not None else None
            if row is None or person is None:
                raise _unknown()
            records.append((domain.id, row[0]))
            persons.append(person)
        (a, s), (b, t) = sorted(records)
        origin = "split" if persons[0] == persons[1] else "pair"
        edges, level = _evidence(conn, study_name, (a, s, b, t))
        known = conn.execute(
            "SELECT id, state FROM clearing_task WHERE study = ? AND domain_a = ? AND serial_a = ? AND domain_b = ?"
            " AND serial_b = ?",
            (study_name, a, s, b, t),
        ).fetchone()
        if known and known[1] != TaskState.DECIDED:  # as it is: who asks neither loses nor learns others' answers
            return one(conn, study_name, str(known[0]))
        task = known[0] if known else os.urandom(16).hex()
        clearing_tasks.drop_answers(conn, [task])
        if known:  # runs follow the verdict no more
            pairs.touch(conn, a, [s])
            pairs.touch(conn, b, [t])
        conn.execute(
            "INSERT INTO clearing_task (id, study, domain_a, serial_a, domain_b, serial_b, origin, edges, level,"
            " rivals, state, created) VALUES (?,?,?,?,?,?,?,?,?,0,'open',?) ON CONFLICT (id) DO UPDATE"
            " SET origin = excluded.origin, state = 'open', verdict = NULL, postponed = NULL, unmet = 0, margin = NULL",
            (task, study_name, a, s, b, t, origin, edges, level, stamp(context.clock())),
        )
        context.audit(conn, Event.CLEARING_ASK, caller.name, request, study=study_name, task=task, origin=origin)
        return one(conn, study_name, task)

    return await context.db.write(effect)


def _unknown() -> NotFoundError:
    return NotFoundError("one of the two is no linked record of this study", code="unknown_record")


def _person(conn: Connection, domain: int, serial: int) -> bytes | None:
    query = "SELECT person FROM record WHERE domain = ? AND serial = ? AND state = 'linked'"
    row = conn.execute(query, (domain, serial)).fetchone()
    return None if row is None else bytes(row[0])


def _evidence(conn: Connection, study: str, pair: tuple[int, int, int, int]) -> tuple[int, float | None]:
    """Edges and mean level of a pair in the latest run; without a link none."""
    row = conn.execute(
        "SELECT l.edges, l.level FROM link l JOIN run r ON r.id = l.run WHERE r.study = ? AND r.state = 'applied'"
        " AND ((l.domain_a = ? AND l.serial_a = ? AND l.domain_b = ? AND l.serial_b = ?)"
        "  OR (l.domain_b = ? AND l.serial_b = ? AND l.domain_a = ? AND l.serial_a = ?))"
        " ORDER BY r.window_number DESC LIMIT 1",
        (study, *pair, *pair),
    ).fetchone()
    return (0, None) if row is None else (int(row[0]), float(row[1]))
