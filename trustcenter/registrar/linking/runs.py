"""Linkage runs at the registrar: their state machine.

    queued ──► comparing ──► deciding ──► applied
       └───────────┴────────────┴──────► failed | cancelled

A run that a crash interrupted is taken up from the start: the comparison is a pure function of the live rows,
and the result is applied once, because the state changes in the transaction that applies it (`applying`).

That a run is to be cancelled stands in the store, where whichever process carries it out looks between its steps.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, UsageError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.study import studies, study_states
from trustcenter.store import Connection, IntegrityError, Migration, select_in

from . import retiring

MIGRATIONS = (
    Migration(
        number=390,
        name="linkage runs cancelled from any process",
        sql="ALTER TABLE run ADD COLUMN cancelled_by TEXT;",
    ),
)
OPEN = ("queued", "comparing", "deciding")
MODES = ("window", "full", "estimate")
_NEXT = {
    "queued": ("comparing", "failed", "cancelled"),
    "comparing": ("deciding", "failed", "cancelled"),
    "deciding": ("applied", "failed", "cancelled"),
}


class CancelledRun(Exception):
    """An operator asked a run to stop; `who` did."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self.who = who


def require_step(state: str, target: str) -> None:
    """Check a step of the state machine.

    Raises:
        ConflictError: the run cannot go from `state` to `target`.
    """
    if target not in _NEXT.get(state, ()):
        raise ConflictError(
            "this linkage run has ended", code="run_ended", hint="start another: trustcenter study link"
        )


@dataclass(frozen=True)
class RunRow:
    """A run as stored."""

    id: str
    study: str
    window: int
    state: str
    parameters_hash: str | None
    counts: api.RunCounts | None
    error: str | None
    created: str
    finished: str | None
    mode: str = "window"


_COLUMNS = "id, study, window_number, state, parameters_hash, counts, error, created, finished, mode"


def _row(values: tuple[object, ...]) -> RunRow:
    run = RunRow(*values)  # type: ignore[arg-type]
    counts = msgspec.json.decode(values[5], type=api.RunCounts) if isinstance(values[5], str) else None
    return RunRow(**{**run.__dict__, "counts": counts})


def require_mode(mode: str) -> None:
    """Check the mode of a run.

    Raises:
        UsageError: there is no such mode.
    """
    if mode not in MODES:
        hint = "one of " + ", ".join(MODES)
        raise UsageError("a run is of no such mode", code="unknown_mode", hint=hint, where="mode")


async def create(context: Context, caller: Principal, request: str, study_name: str, mode: str = "window") -> RunRow:
    """Queue a run over what is live now.

    Args:
        context: the registrar.
        caller: who asks.
        request: its identifier.
        study_name: of the study.
        mode: "window": what is new, against everything; "full": everything again; "estimate": and the weights, too.

    Raises:
        NotFoundError: no such study.
        UsageError: no such mode.
        ConflictError: a run of this study is under way, or fewer than two sites have mapped records.
    """
    require_mode(mode)

    def effect(conn: Connection) -> RunRow:
        study = studies.find(conn, study_name, caller)
        study_states.require(study.state, study_states.Act.LINK)
        sources = conn.execute(
            "SELECT count(*) FROM participant p WHERE p.study = ? AND EXISTS"
            " (SELECT 1 FROM record r WHERE r.domain = p.domain AND r.state <> 'unlinked')",
            (study_name,),
        ).fetchone()[0]
        if sources < 2:
            raise ConflictError(
                "fewer than two sites have uploaded: there is nothing to link",
                code="nothing_to_link",
                hint="sites upload with: trustcenter study upload",
            )
        retiring.tell(conn, study_name)
        window = conn.execute(
            "SELECT 1 + CASE WHEN s.window_floor > coalesce(max(r.window_number), 0) THEN s.window_floor"
            " ELSE coalesce(max(r.window_number), 0) END"
            " FROM study s LEFT JOIN run r ON r.study = s.name WHERE s.name = ? GROUP BY s.window_floor",
            (study_name,),
        ).fetchone()[0]
        created = stamp(context.clock())
        run = RunRow(os.urandom(16).hex(), study_name, window, "queued", None, None, None, created, None, mode)
        try:
            conn.execute(
                f"INSERT INTO run ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
                (run.id, run.study, window, run.state, None, None, None, run.created, None, mode),
            )
        except IntegrityError:
            raise ConflictError(
                "a linkage run of this study is under way",
                code="run_under_way",
                hint="follow it with: trustcenter study link STUDY --run ID",
            ) from None
        told = {"study": study_name, "run": run.id, "window": window, "mode": mode}
        context.audit(conn, Event.RUN_START, caller.name, request, **told)
        return run

    return await context.db.write(effect)


def find(conn: Connection, study: str, run: str) -> RunRow:
    """A run of a study.

    Raises:
        NotFoundError: there is none.
    """
    row = conn.execute(f"SELECT {_COLUMNS} FROM run WHERE study = ? AND id = ?", (study, run)).fetchone()  # noqa: S608
    if row is None:
        raise NotFoundError("this study has no such run", code="unknown_run", hint="trustcenter study show STUDY")
    return _row(row)


async def get(context: Context, study: str, run: str) -> RunRow:
    """A run of a study, read on its own."""
    return await context.db.read(lambda conn: find(conn, study, run))


async def list_runs(context: Context, study: str) -> list[RunRow]:
    """All runs of a study, newest first."""

    def query(conn: Connection) -> list[RunRow]:
        studies.find(conn, study)
        rows = conn.execute(f"SELECT {_COLUMNS} FROM run WHERE study = ? ORDER BY window_number DESC", (study,))  # noqa: S608
        return [_row(row) for row in rows]

    return await context.db.read(query)


def under_way(conn: Connection) -> bool:
    """Whether a run of any study has not ended."""
    return any(select_in(conn, "SELECT 1 FROM run WHERE state IN {values}", (), OPEN))


async def interrupted(context: Context) -> list[RunRow]:
    """Runs that a stop or crash left open."""

    def query(conn: Connection) -> list[RunRow]:
        query = f"SELECT {_COLUMNS} FROM run WHERE state IN {{values}}"  # noqa: S608 - constant
        return [_row(row) for row in select_in(conn, query, (), OPEN)]

    return await context.db.read(query)


async def requeue(context: Context, run: RunRow) -> bool:
    """Take an interrupted run back to its beginning; False if it has ended meanwhile."""

    def effect(conn: Connection) -> bool:
        state = conn.execute("SELECT state FROM run WHERE id = ?", (run.id,)).fetchone()[0]
        if state not in OPEN:
            return False
        conn.execute("UPDATE run SET state = 'queued' WHERE id = ?", (run.id,))
        context.audit(conn, Event.RUN_RESUME, "service", "", study=run.study, run=run.id, window=run.window)
        return True

    return await context.db.write(effect)


async def request_cancel(context: Context, caller: Principal, study: str, run: str) -> RunRow:
    """Write down that a run is to stop. From now on it is not applied any more; the log tells it when it has stopped.

    Raises:
        NotFoundError: this study has no such run.
        ConflictError: it has ended.
    """

    def effect(conn: Connection) -> RunRow:
        found = find(conn, study, run)
        require_step(found.state, "cancelled")
        conn.execute("UPDATE run SET cancelled_by = coalesce(cancelled_by, ?) WHERE id = ?", (caller.name, run))
        return found

    return await context.db.write(effect)


def require_wanted(conn: Connection, run: RunRow) -> None:
    """Look whether a run is still to go on.

    Raises:
        CancelledRun: it is not.
    """
    (who,) = conn.execute("SELECT cancelled_by FROM run WHERE id = ?", (run.id,)).fetchone()
    if who is not None:
        raise CancelledRun(who)


async def step(context: Context, run: RunRow, target: str, *, error: str | None = None, who: str = "service") -> None:
    """Move a run along; `failed` and `cancelled` are logged.

    Raises:
        ConflictError: it has ended meanwhile.
    """

    def effect(conn: Connection) -> None:
        require_step(find(conn, run.study, run.id).state, target)
        finished = stamp(context.clock()) if target in ("failed", "cancelled") else None
        conn.execute(
            "UPDATE run SET state = ?, error = ?, finished = ? WHERE id = ?",
            (target, error, finished, run.id),
        )
        if target == "failed":
            context.audit(
                conn,
                Event.RUN_FAIL,
                who,
                "",
                study=run.study,
                run=run.id,
                window=run.window,
                code=error or "",
            )
        elif target == "cancelled":
            context.audit(conn, Event.RUN_CANCEL, who, "", study=run.study, run=run.id, window=run.window)

    await context.db.write(effect)
