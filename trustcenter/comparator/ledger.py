"""How far the comparator is in what the registrar tells it: each message is carried out once, in its place."""

from __future__ import annotations

from trustcenter.errors import ConflictError
from trustcenter.messages.rooms import Envelope
from trustcenter.store import Connection, Migration
from trustcenter.store.steps import TABLE, set_step, step

__all__ = ["MIGRATIONS", "advance", "out_of_step", "set_step", "step"]

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


def out_of_step() -> ConflictError:
    """What the registrar answers by reconciling (M7)."""
    return ConflictError(
        "registrar and comparator are of different moments: one of them was restored",
        code="rooms_out_of_step",
        hint="the registrar reconciles them by itself before the next window",
    )
