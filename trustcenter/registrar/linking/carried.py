"""What the registrar keeps where files are carried by hand to the comparator: the file that waits for its answer, and
settlements that a site has under way.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trustcenter.errors import ConflictError
from trustcenter.messages.rooms import Accept, Retire, RoomMessage, Step
from trustcenter.registrar.study import refs
from trustcenter.store import Connection, Migration
from trustcenter.store.packed import Keys

from . import ledger, outbox

MIGRATIONS = (
    Migration(
        number=660,
        name="files between the rooms carried by hand",
        sql="""
        CREATE TABLE room_file (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            file TEXT NOT NULL,           -- SHA-256 of the newest file for the comparator; '' before the first
            theirs TEXT NOT NULL          -- step that the comparator is at, JSON, where it is out of step; else ''
        ) STRICT;
        INSERT INTO room_file VALUES (1, '', '');
        CREATE TABLE settlement (
            study TEXT NOT NULL REFERENCES study(name),
            site TEXT NOT NULL,
            turn INTEGER NOT NULL,        -- of the newest order that the site was given
            answered INTEGER NOT NULL,    -- whether it brought the answer
            PRIMARY KEY (study, site)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


def outstanding(conn: Connection) -> str:
    """SHA-256 of the newest file for the comparator; "" before the first."""
    return str(conn.execute("SELECT file FROM room_file").fetchone()[0])


def expect(conn: Connection, file: str) -> None:
    """From now on only the answer to this file is taken."""
    conn.execute("UPDATE room_file SET file = ?", (file,))


def theirs(conn: Connection) -> Step | None:
    """The step of a comparator that said that it is out of step."""
    (said,) = conn.execute("SELECT theirs FROM room_file").fetchone()
    return msgspec.json.decode(said, type=Step) if said else None


def set_theirs(conn: Connection, step: Step | None) -> None:
    """Remember it for the next file, which reconciles; None: that is done."""
    conn.execute("UPDATE room_file SET theirs = ?", ("" if step is None else msgspec.json.encode(step).decode(),))


def begin_settlement(conn: Connection, study: str, site: str, now: int) -> tuple[int, list[str]]:
    """Give a site the next turn: no map of it is taken until it has brought the answer.

    Args:
        conn: of the writing transaction.
        study: its name.
        site: the source.
        now: seconds since 1970: turns grow even where the registrar was restored.

    Returns:
        The turn, and the uploads of the source whose acceptance has not reached the comparator, as far as is known.

    Raises:
        ConflictError: such uploads must not become live before the next files come. Where the rooms are reconciled, the
            file that does it may not know their rows, and would drop them; and so would a message that waits and
            retires refs which came again since.
    """
    query = "SELECT upload FROM map WHERE study = ? AND site = ?"
    mapped = {upload for (upload,) in conn.execute(query, (study, site))}
    waiting = [outbox.message(*outbox.get(conn, row_id)) for row_id in outbox.waiting(conn)]
    accepted = sorted(m.upload for m in waiting if isinstance(m, Accept) and m.upload in mapped)
    if accepted and (theirs(conn) is not None or _came_again(conn, study, site, waiting)):
        raise ConflictError(
            "the last upload of this site waits for the files between the rooms",
            code="upload_waits_for_files",
            hint="upload again when the operators have carried the next files: trustcenter rooms export",
        )
    row = conn.execute("SELECT turn FROM settlement WHERE study = ? AND site = ?", (study, site)).fetchone()
    turn = max(now, row[0] + 1 if row is not None else 1)
    conn.execute(
        "INSERT INTO settlement VALUES (?,?,?,0) ON CONFLICT (study, site) DO UPDATE"
        " SET turn = excluded.turn, answered = 0",
        (study, site, turn),
    )
    return turn, accepted


def _came_again(conn: Connection, study: str, site: str, waiting: Sequence[RoomMessage]) -> bool:
    """Whether a source has refs that the comparator is still to be told to drop: a correction that was undone."""
    query = "SELECT domain FROM participant WHERE study = ? AND site = ?"
    domains = [domain for (domain,) in conn.execute(query, (study, site))]
    told = b"".join(m.refs for m in waiting if isinstance(m, Retire) and m.study == study)
    return bool(refs.holders(conn, domains, Keys.of(refs.split(told))))


def end_settlement(conn: Connection, study: str, site: str, turn: int, sequence: int) -> None:
    """Take the comparator's answer: receipts up to this one are over. Twice is harmless.

    Raises:
        ConflictError: the answer is to an earlier turn.
    """
    row = conn.execute("SELECT turn FROM settlement WHERE study = ? AND site = ?", (study, site)).fetchone()
    if row is None or row[0] != turn:
        raise ConflictError(
            "this is the answer to an earlier settlement", code="settlement_over", hint="run the upload again"
        )
    ledger.settle(conn, study, site, sequence)
    conn.execute("UPDATE settlement SET answered = 1 WHERE study = ? AND site = ?", (study, site))


def require_settled(conn: Connection, study: str, site: str) -> None:
    """Refuse a map while its source gives up what else it had at the comparator.

    Raises:
        ConflictError: the answer to its settlement was not brought.
    """
    query = "SELECT 1 FROM settlement WHERE study = ? AND site = ? AND answered = 0"
    if conn.execute(query, (study, site)).fetchone() is not None:
        raise ConflictError(
            "the site has begun another upload and not ended it",
            code="settlement_open",
            hint="run the upload again; one at a time for each study",
            where="receipt",
        )
