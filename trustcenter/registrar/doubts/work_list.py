"""What a steward sees of doubtful pairs: counts, levels, whether a pair is joined now; what is at stake comes first.

The more records the persons of a pair have, the more of the join map one answer changes; the nearer its posterior is to
the cut above which pairs are joined, the less a run knows; then the pair that has waited longest. The posterior itself
is not shown: it would decide for the steward (docs/adr/0049-what-a-work-list-says.md).
"""

from __future__ import annotations

from typing import Any, Final

from trustcenter.auth import Principal
from trustcenter.errors import NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.study import studies, study_states
from trustcenter.registrar.study.studies import StudyRow
from trustcenter.store import Connection, select_in

from .clearing_states import TaskState

_QUERY: Final = (
    "SELECT t.id, t.domain_a, t.domain_b, t.origin, t.edges, t.level, t.rivals, t.state, t.postponed, t.created,"
    " t.unmet, t.asked, t.margin, a.person, b.person, qa.answer, qb.answer FROM clearing_task t"
    " LEFT JOIN record a ON a.domain = t.domain_a AND a.serial = t.serial_a"
    " LEFT JOIN record b ON b.domain = t.domain_b AND b.serial = t.serial_b"
    " LEFT JOIN clearing_question qa ON qa.domain = t.domain_a AND qa.serial = t.serial_a"
    " LEFT JOIN clearing_question qb ON qb.domain = t.domain_b AND qb.serial = t.serial_b"
    " WHERE t.study = ? AND "
)
_NOW: Final = "(t.postponed IS NULL OR t.postponed <= ?)"
_MINE: Final = (
    " AND t.state <> 'decided' AND NOT EXISTS (SELECT 1 FROM clearing_answer g WHERE g.task = t.id AND g.steward = ?)"
    " AND NOT EXISTS (SELECT 1 FROM clearing_taken_back g WHERE g.task = t.id AND g.steward = ?)"
)


def require_clearing(conn: Connection, name: str) -> StudyRow:
    """A study whose doubtful pairs are decided by people, now.

    Raises:
        NotFoundError: no such study. PolicyError: it has no clearing, or is in no state for it.
    """
    study = studies.find(conn, name)
    study_states.require(study.state, study_states.Act.CLEAR)
    if study.settings.clearing == "none":
        raise PolicyError(
            "this study has no clearing: doubtful pairs stay as a run left them",
            code="no_clearing",
            hint="it was created with clearing: none",
        )
    return study


async def work_list(context: Context, caller: Principal, study_name: str) -> api.ClearingTasks:
    """The tasks that wait for this steward: undecided, not postponed, and theirs to answer; what matters most first.

    Raises:
        NotFoundError: no such study. PolicyError: it has no clearing, or is in no state for it.
    """

    def query(conn: Connection) -> api.ClearingTasks:
        require_clearing(conn, study_name)
        values = (context.clock().date().isoformat(), caller.name, caller.name)
        total, decided, disputed = conn.execute(
            "SELECT count(*), coalesce(sum(CASE WHEN state = 'decided' THEN 1 ELSE 0 END), 0),"
            " coalesce(sum(CASE WHEN state = 'disagreement' THEN 1 ELSE 0 END), 0)"
            " FROM clearing_task WHERE study = ?",
            (study_name,),
        ).fetchone()
        return api.ClearingTasks(
            tasks=_tasks(conn, study_name, _NOW + _MINE, values),
            postponed=_tasks(conn, study_name, f"NOT {_NOW}{_MINE}", values),
            unmet=_tasks(conn, study_name, "t.unmet = 1"),
            total=int(total),
            decided=int(decided),
            disagreements=int(disputed),
        )

    return await context.db.read(query)


def one(conn: Connection, study: str, task: str) -> api.ClearingTask:
    """One task of a study.

    Raises:
        NotFoundError: there is none.
    """
    found = _tasks(conn, study, "t.id = ?", (task,))
    if not found:
        raise unknown_task()
    return found[0]


def unknown_task() -> NotFoundError:
    """That there is no such task."""
    return NotFoundError("this study has no such task", code="unknown_task", hint="trustcenter study clearing STUDY")


def _tasks(conn: Connection, study: str, condition: str, values: tuple[Any, ...] = ()) -> list[api.ClearingTask]:
    rows = conn.execute(_QUERY + condition, (study, *values)).fetchall()
    sites = dict(conn.execute("SELECT domain, site FROM participant WHERE study = ?", (study,)).fetchall())
    persons = {bytes(person) for row in rows for person in row[13:15] if person is not None}
    counted = "SELECT person, count(*) FROM record WHERE person IN {values} GROUP BY person"
    sizes = {bytes(person): int(n) for person, n in select_in(conn, counted, (), sorted(persons))}
    made = [(_described(row, sites, sizes), row[12]) for row in rows]
    return [task for task, _ in sorted(made, key=lambda pair: urgency(*pair))]


def urgency(task: api.ClearingTask, margin: float | None) -> tuple[int, float, str, str]:
    """What a list of tasks is sorted by.

    Args:
        task: as it is shown.
        margin: how far its posterior is from the cut; None of a pair that people named, which goes before the others.
    """
    return -task.records, -1.0 if margin is None else margin, task.created, task.task


def _described(row: tuple[Any, ...], sites: dict[int, str], sizes: dict[bytes, int]) -> api.ClearingTask:
    task, domain_a, domain_b, origin, edges, level, rivals, state, postponed, created, unmet, asked, *rest = row
    margin, *persons, answer_a, answer_b = rest
    first, second = (b"" if person is None else bytes(person) for person in persons)
    joined = first == second != b""
    # A record that no run has seen since it was corrected has no person, and counts for itself.
    records = sizes.get(first, 1) + (0 if joined else sizes.get(second, 1))
    both = asked is not None and answer_a is not None and answer_b is not None
    # To the next steward a task with a first answer looks like one without: that it is the second review would say
    # that somebody has seen it, and a disagreement that they differed.
    return api.ClearingTask(
        task=task,
        sites=sorted((sites[domain_a], sites[domain_b])),
        origin=origin,
        edges=edges,
        level=None if level is None else round(level, 4),
        rivals=None if origin != "run" and margin is None else rivals,  # of a pair that no run has found doubtful
        joined=joined,
        records=records,
        decided=state == TaskState.DECIDED,
        postponed=postponed,
        created=created,
        unmet=bool(unmet),
        asked=asked is not None,
        site_answers=sorted((answer_a, answer_b)) if both else None,
    )
