"""A doubt goes back to the sites: each looks at records of its own, among control questions.

A round asks every site of the study the same number of questions, at the same time. The records in doubt are hidden
among records drawn by chance, at least three for each, and a record is asked once for good: so neither being asked,
nor how often, says that somebody else knows a similar person. A steward sees the two answers of a pair when both are
there, without the sites' names.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, PolicyError, UsageError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import layout
from trustcenter.registrar.study import studies, study_states
from trustcenter.store import Connection, Migration, select_in

from .clearing_states import TaskState
from .work_list import unknown_task

MIGRATIONS: Final = (
    Migration(
        number=594,
        name="questions to sites about their own records",
        sql="""
        CREATE TABLE clearing_question (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            study TEXT NOT NULL REFERENCES study(name),
            round INTEGER NOT NULL,
            answer TEXT CHECK (answer IN ('right', 'changed', 'mixed', 'unsure')),
            answered TEXT,
            PRIMARY KEY (domain, serial)  -- a record is asked once: a second time would say that it was no control
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX clearing_question_study ON clearing_question (study);
        ALTER TABLE clearing_task ADD COLUMN asked INTEGER;   -- round in which the sites were asked
        """,
    ),
)
_SIZES: Final = (12, 24, 48, 96, 192, 384, 768, 1536, 3072, 6144)  # of a round, so that its size tells little
_HIDDEN: Final = 4  # of so many questions at most one is about a doubt
Record = tuple[int, int]  # domain row id, serial


async def ask(
    context: Context, caller: Principal, request: str, study_name: str, body: api.ClearingAskSites
) -> api.ClearingRound:
    """Make a round of questions about the records of some tasks. Tasks that were asked before are passed over.

    Raises:
        NotFoundError: no such study or task.
        ConflictError: a task is decided, or all of them were asked before.
        PolicyError: a site has too few records to hide the question among, or was removed; the study has no clearing.
    """

    def effect(conn: Connection) -> api.ClearingRound:
        study = studies.find(conn, study_name)
        study_states.require(study.state, study_states.Act.CLEAR)
        records = _doubts(conn, study_name, body.tasks)
        members = conn.execute(
            "SELECT domain FROM participant WHERE study = ? AND left_with IS NULL ORDER BY site", (study_name,)
        ).fetchall()
        domains = [row[0] for row in members]
        if not set(records) <= set(domains):
            raise PolicyError("a site of this pair takes no part in the study any more", code="site_removed")
        asked = {
            (d, s)
            for d, s in conn.execute("SELECT domain, serial FROM clearing_question WHERE study = ?", (study_name,))
        }
        real = {d: sorted(s for s in serials if (d, s) not in asked) for d, serials in records.items()}
        most = max((len(serials) for serials in real.values()), default=0)
        size = next((size for size in _SIZES if size >= _HIDDEN * most), _SIZES[-1])
        number = int(
            conn.execute(
                "SELECT coalesce(max(round), 0) + 1 FROM clearing_question WHERE study = ?", (study_name,)
            ).fetchone()[0]
        )
        for domain in domains if most else ():
            chosen = _chosen(conn, domain, real.get(domain, []), asked, size)
            conn.executemany(
                "INSERT INTO clearing_question (domain, serial, study, round) VALUES (?,?,?,?)",
                [(domain, serial, study_name, number) for serial in chosen],
            )
        conn.executemany("UPDATE clearing_task SET asked = ? WHERE id = ?", [(number, task) for task in body.tasks])
        context.audit(conn, Event.CLEARING_QUESTION, caller.name, request, study=study_name, round=number, each=size)
        return api.ClearingRound(round=number, each=size if most else 0, tasks=len(set(body.tasks)))

    return await context.db.write(effect)


def _doubts(conn: Connection, study: str, tasks: Sequence[str]) -> dict[int, set[int]]:
    """Serials by domain of the records of tasks."""
    found: dict[int, set[int]] = defaultdict(set)
    known = 0
    query = "SELECT domain_a, serial_a, domain_b, serial_b, state, asked FROM clearing_task WHERE study = ?"
    for a, s, b, t, state, asked in select_in(conn, query + " AND id IN {values}", (study,), sorted(set(tasks))):
        known += 1
        if state == TaskState.DECIDED:
            raise ConflictError("a task is decided", code="task_decided", hint="leave it out")
        if asked is not None:
            raise ConflictError("the sites were asked about this pair", code="sites_asked", hint="leave it out")
        found[a].add(s)
        found[b].add(t)
    if known < len(set(tasks)):
        raise unknown_task()
    return found


def _chosen(conn: Connection, domain: int, real: list[int], asked: set[Record], size: int) -> list[int]:
    """The records that a site is asked about: those in doubt and as many others, by chance, as make up the size."""
    pool = [
        serial
        for (serial,) in conn.execute(
            "SELECT r.serial FROM record r JOIN entry e ON e.domain = r.domain AND e.serial = r.serial"
            " WHERE r.domain = ? AND r.state = 'linked' AND r.decoy = 0 AND e.status = 0",
            (domain,),
        )
        if (domain, serial) not in asked and serial not in set(real)
    ]
    if len(pool) < (_HIDDEN - 1) * len(real):
        raise PolicyError(
            "a site has too few records to hide the question among",
            code="too_few_controls",
            hint="decide without the sites, or postpone the task",
        )
    return sorted([*real, *secrets.SystemRandom().sample(pool, min(size - len(real), len(pool)))])


async def questions(context: Context, caller: Principal, study_name: str) -> api.SiteQuestions:
    """The records that the calling site is asked about and has not answered, sorted by record number.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
    """

    def query(conn: Connection) -> tuple[DomainRow, list[tuple[int, bytes, bytes, bytes]]]:
        study = studies.find(conn, study_name, caller)
        study_states.require(study.state, study_states.Act.CLEAR)
        domain = studies.participation(conn, study, caller)
        rows = conn.execute(
            "SELECT e.serial, e.nonce, e.tag, e.sealed FROM clearing_question q"
            " JOIN entry e ON e.domain = q.domain AND e.serial = q.serial"
            " WHERE q.domain = ? AND q.answer IS NULL AND e.status = 0 ORDER BY e.serial",
            (domain.id,),
        ).fetchall()
        return domain, rows

    domain, rows = await context.db.read(query)
    numbers = layout.unseal_rows(context, domain, rows)
    return api.SiteQuestions(record_numbers=sorted(number.hex() for number in numbers))


async def reply(
    context: Context, caller: Principal, request: str, study_name: str, body: api.SiteReplies
) -> api.SiteReplied:
    """Take a site's answers about its own records: all or none. The same again is harmless.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        UsageError: a record that was not asked about. ConflictError: one that was answered otherwise.
    """

    def effect(conn: Connection) -> api.SiteReplied:
        study = studies.find(conn, study_name, caller)
        study_states.require(study.state, study_states.Act.CLEAR)
        domain = studies.participation(conn, study, caller)
        numbers = [bytes.fromhex(said.record_number) for said in body.replies]
        tags = context.keys.tags(domain.uuid, layout.LOOKUP_VERSION, numbers)
        known = context.tags.find(conn, domain.id, tags).rows
        new = 0
        for position, (said, tag) in enumerate(zip(body.replies, tags, strict=True)):
            where = f"reply {position + 1}"
            row = None
            if tag in known:
                question = "SELECT answer FROM clearing_question WHERE domain = ? AND serial = ?"
                row = conn.execute(question, (domain.id, known[tag][0])).fetchone()
            if row is None:
                raise UsageError("nobody asked about this record", code="not_asked", where=where)
            if row[0] not in (None, said.answer):
                raise ConflictError("this record was answered otherwise", code="answered", where=where)
            new += row[0] is None
            conn.execute(
                "UPDATE clearing_question SET answer = ?, answered = coalesce(answered, ?)"
                " WHERE domain = ? AND serial = ?",
                (said.answer, stamp(context.clock()), domain.id, known[tag][0]),
            )
        if new:
            context.audit(conn, Event.CLEARING_REPLY, caller.name, request, study=study_name, count=new)
        left = conn.execute(
            "SELECT count(*) FROM clearing_question WHERE domain = ? AND answer IS NULL", (domain.id,)
        ).fetchone()[0]
        return api.SiteReplied(answered=new, left=int(left))

    return await context.db.write(effect)
