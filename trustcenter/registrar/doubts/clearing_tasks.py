"""Clearing tasks as stored: made of a run's doubtful pairs, forgotten with their records, read as verdicts.

A task holds what the registrar has of a pair anyway: the number of edges, their mean level, the number of rivals. No
token, no filter, no field. What is decided holds for every later run of the study.
"""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from typing import Final

from trustcenter.clock import stamp
from trustcenter.registrar.context import Context
from trustcenter.store import Connection, Migration, select_in

from .clearing_states import TaskState

MIGRATIONS: Final = (
    Migration(
        number=502,
        name="clearing tasks and answers",
        sql="""
        CREATE TABLE clearing_task (
            id TEXT PRIMARY KEY,
            study TEXT NOT NULL REFERENCES study(name),
            domain_a INTEGER NOT NULL,
            serial_a INTEGER NOT NULL,
            domain_b INTEGER NOT NULL,
            serial_b INTEGER NOT NULL,
            origin TEXT NOT NULL CHECK (origin IN ('run', 'pair', 'split')),
            edges INTEGER NOT NULL,
            level REAL,                   -- mean of the edges' midpoints; null without an edge
            rivals INTEGER NOT NULL,      -- other pairs of either record that are doubtful or matches
            state TEXT NOT NULL CHECK (state IN ('open', 'second', 'disagreement', 'decided')),
            verdict TEXT CHECK (verdict IN ('same', 'different')),
            postponed TEXT,               -- the day on which it is shown again
            created TEXT NOT NULL,
            UNIQUE (study, domain_a, serial_a, domain_b, serial_b)
        ) STRICT;
        CREATE TABLE clearing_answer (
            task TEXT NOT NULL REFERENCES clearing_task(id),
            steward TEXT NOT NULL,
            number INTEGER NOT NULL,      -- in the order of the answers, from 1
            answer TEXT NOT NULL CHECK (answer IN ('same', 'different')),
            reason TEXT NOT NULL,
            created TEXT NOT NULL,
            PRIMARY KEY (task, steward)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
    Migration(
        number=593,
        name="verdicts that could not be met",
        sql="ALTER TABLE clearing_task ADD COLUMN unmet INTEGER NOT NULL DEFAULT 0;",
    ),
    Migration(
        number=700,
        name="how near the cut a doubtful pair is",
        sql="ALTER TABLE clearing_task ADD COLUMN margin REAL;  -- of the posterior; null where people named the pair",
    ),
    Migration(
        number=720,
        name="who took an answer back beside another's",
        sql="""
        CREATE TABLE clearing_taken_back (
            task TEXT NOT NULL REFERENCES clearing_task(id),
            steward TEXT NOT NULL,
            PRIMARY KEY (task, steward)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)
_INSERT: Final = (
    "INSERT INTO clearing_task (id, study, domain_a, serial_a, domain_b, serial_b, origin, edges, level, rivals,"
    " margin, state, created) VALUES (?,?,?,?,?,?,'run',?,?,?,?,'open',?)"
)
Record = tuple[int, int]  # domain row id, serial


def take_over(
    context: Context,
    conn: Connection,
    study: str,
    run: str,
    mode: str,
    upper: float,
    cut: float,
    looked_at: Set[Record] | None = None,
) -> int:
    """Make tasks of the doubtful pairs of a run that was just written; returns how many wait for an answer.

    Doubtful are possible matches, and matches with a posterior up to the bound `upper`: these are joined until a
    steward says otherwise (docs/spec/keyed-passes.md, section 9.3).

    Undecided tasks of earlier runs go where the pair is not doubtful any more; decided ones stay, and so do those of
    records that the run has not `looked_at` (None: it has looked at all). How far the posterior is from the `cut` above
    which pairs are joined only orders the work list.
    """
    if mode == "none":
        return 0
    links = "SELECT domain_a, serial_a, domain_b, serial_b, edges, level, posterior FROM link WHERE run = ?"
    doubtful = conn.execute(f"{links} AND (class = 'possible' OR posterior <= ?)", (run, upper)).fetchall()
    busy = dict.fromkeys({key for row in doubtful for key in (row[:2], row[2:4])}, 0)
    for a, s, b, t, *_ in conn.execute(links, (run,)):  # of a first run there may be millions
        for key in ((a, s), (b, t)):
            if key in busy:
                busy[key] += 1
    wanted = {
        _pair((a, s), (b, t)): (edges, level, busy[a, s] + busy[b, t] - 2, abs(posterior - cut))
        for a, s, b, t, edges, level, posterior in doubtful
    }
    waiting = conn.execute(
        "SELECT id, domain_a, serial_a, domain_b, serial_b FROM clearing_task"
        " WHERE study = ? AND origin = 'run' AND state <> 'decided'",
        (study,),
    ).fetchall()
    drop(
        conn,
        [
            row[0]
            for row in waiting
            if tuple(row[1:]) not in wanted
            and (looked_at is None or (row[1], row[2]) in looked_at or (row[3], row[4]) in looked_at)
        ],
    )
    created = stamp(context.clock())
    conn.executemany(
        _INSERT + " ON CONFLICT (study, domain_a, serial_a, domain_b, serial_b) DO UPDATE"
        " SET edges = excluded.edges, level = excluded.level, rivals = excluded.rivals, margin = excluded.margin",
        [(os.urandom(16).hex(), study, *pair, *seen, created) for pair, seen in sorted(wanted.items())],
    )
    query = "SELECT count(*) FROM clearing_task WHERE study = ? AND state <> ?"
    return int(conn.execute(query, (study, TaskState.DECIDED.value)).fetchone()[0])


def note_unmet(
    conn: Connection, study: str, unmet: Sequence[tuple[Record, Record]], looked_at: Set[Record] | None = None
) -> int:
    """Mark the pairs that stewards called one person and that a run could not join; returns how many there are now.

    Two records of one source, declared free of duplicates, would be one person: the site mends it, or declares them.
    Marks of pairs that the run has not `looked_at` stay (None: it has looked at all).
    """
    now = {_pair(*pair) for pair in unmet}
    marked = conn.execute(
        "SELECT id, domain_a, serial_a, domain_b, serial_b FROM clearing_task WHERE study = ? AND unmet = 1", (study,)
    ).fetchall()
    over = [
        (task,)
        for task, a, s, b, t in marked
        if (a, s, b, t) not in now and (looked_at is None or (a, s) in looked_at or (b, t) in looked_at)
    ]
    conn.executemany("UPDATE clearing_task SET unmet = 0 WHERE id = ?", over)
    conn.executemany(
        "UPDATE clearing_task SET unmet = 1 WHERE study = ? AND domain_a = ? AND serial_a = ? AND domain_b = ?"
        " AND serial_b = ?",
        [(study, *pair) for pair in sorted(now)],
    )
    query = "SELECT count(*) FROM clearing_task WHERE study = ? AND unmet = 1"
    return int(conn.execute(query, (study,)).fetchone()[0])


def _pair(one: Record, other: Record) -> tuple[int, int, int, int]:
    """A pair in the one order in which it is stored, whatever order a run had it in."""
    (a, s), (b, t) = sorted((one, other))
    return a, s, b, t


def drop(conn: Connection, tasks: Sequence[str]) -> None:
    """Remove tasks with their answers."""
    drop_answers(conn, tasks)
    conn.executemany("DELETE FROM clearing_task WHERE id = ?", [(task,) for task in tasks])


def drop_answers(conn: Connection, tasks: Sequence[str]) -> None:
    """Remove what stewards answered, and that they took it back."""
    conn.executemany("DELETE FROM clearing_answer WHERE task = ?", [(task,) for task in tasks])
    conn.executemany("DELETE FROM clearing_taken_back WHERE task = ?", [(task,) for task in tasks])


def forget(conn: Connection, domain: int, serials: Sequence[int]) -> None:
    """Remove every task of records that are gone."""
    found: set[str] = set()
    for side in ("a", "b"):
        query = f"SELECT id FROM clearing_task WHERE domain_{side} = ? AND serial_{side} IN {{values}}"  # noqa: S608
        found.update(row[0] for row in select_in(conn, query, (domain,), list(serials)))
    drop(conn, sorted(found))
    keys = [(domain, serial) for serial in serials]
    conn.executemany("DELETE FROM clearing_question WHERE domain = ? AND serial = ?", keys)


def forget_study(conn: Connection, study: str) -> int:
    """Remove every task of a study; returns how many there were."""
    tasks = [row[0] for row in conn.execute("SELECT id FROM clearing_task WHERE study = ?", (study,)).fetchall()]
    drop(conn, tasks)
    conn.execute("DELETE FROM clearing_question WHERE study = ?", (study,))
    return len(tasks)


def verdicts(conn: Connection, study: str) -> list[tuple[Record, Record, bool]]:
    """(record, record, whether they are one person) of every decided task."""
    return [
        ((a, s), (b, t), verdict == "same")
        for a, s, b, t, verdict in conn.execute(
            "SELECT domain_a, serial_a, domain_b, serial_b, verdict FROM clearing_task"
            " WHERE study = ? AND state = 'decided' ORDER BY domain_a, serial_a, domain_b, serial_b",
            (study,),
        )
    ]
