"""How far the comparator is in what the registrar tells it: each message is carried out once, in its place."""

from __future__ import annotations

from collections.abc import Sequence

from trustcenter.errors import ConflictError
from trustcenter.messages.rooms import Envelope
from trustcenter.store import Connection, Migration, select_in
from trustcenter.store.steps import TABLE, set_step, step

__all__ = ["MIGRATIONS", "advance", "lose", "lost", "out_of_step", "set_step", "step"]

_MORE = """
        CREATE TABLE receipt_count (
            study TEXT NOT NULL,
            source TEXT NOT NULL,
            last_sequence INTEGER NOT NULL,   -- of the newest receipt, also where its upload was dropped
            PRIMARY KEY (study, source)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO receipt_count
            SELECT study, source, max(sequence) FROM upload WHERE sequence IS NOT NULL GROUP BY study, source;
        """

MIGRATIONS = (
    Migration(
        number=581,
        name="steps of the exchange between the rooms",
        sql=TABLE + _MORE,
    ),
    Migration(
        number=686,
        name="accepted uploads that were lost",
        sql="""
        CREATE TABLE lost_upload (
            upload TEXT PRIMARY KEY,
            study TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


def advance(conn: Connection, envelope: Envelope) -> bool:
    """Take a message into the ledger; False if it was carried out before and comes again.

    Raises:
        ConflictError: it follows another step: one of the rooms was restored.
    """
    known, after = step(conn), envelope.before.after(envelope.kind, envelope.payload)
    if known == after:
        return False
    if known != envelope.before:
        raise out_of_step()
    set_step(conn, after)
    return True


def lose(conn: Connection, study: str, accepted: Sequence[str]) -> None:
    """Remember which accepted uploads of a study are not here, when the registrar is told which refs are missing (M7).

    Some of their acceptances may still be on their way, and are of no use to anybody then.
    """
    query = "SELECT id FROM upload WHERE study = ? AND id IN {values}"
    here = {upload for (upload,) in select_in(conn, query, (study,), accepted)}
    conn.execute("DELETE FROM lost_upload WHERE study = ?", (study,))
    conn.executemany(
        "INSERT INTO lost_upload VALUES (?,?)", [(upload, study) for upload in accepted if upload not in here]
    )


def lost(conn: Connection, upload: str) -> bool:
    """Whether the registrar was told that the rows of an accepted upload are gone."""
    return conn.execute("SELECT 1 FROM lost_upload WHERE upload = ?", (upload,)).fetchone() is not None


def out_of_step() -> ConflictError:
    """What the registrar answers by reconciling (M7)."""
    return ConflictError(
        "registrar and comparator are of different moments: one of them was restored",
        code="rooms_out_of_step",
        hint="the registrar reconciles them by itself before the next window",
    )
