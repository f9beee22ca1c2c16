"""What a message of the registrar asks for, as far as it is much: done before the message, in several transactions.

Others have their turn in between. Nothing that counts is changed before the message is: rows that are placed belong to
no live upload yet, and rows that go have no refs at the registrar any more. Killed in between, it goes on where it was,
since the message comes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from trustcenter.messages.rooms import Retire, Step
from trustcenter.store import Connection

from . import ledger, placing
from .context import Context

_MANY_REFS: Final = 50_000  # of one message; fewer are retired with it
_PASSES: Final = 3  # whose rows one transaction retires


async def place(context: Context, study: str, uploads: Sequence[str]) -> None:
    """Place the rows of staged uploads that are to become live."""

    def some(upload: str, conn: Connection) -> bool:
        row = conn.execute(
            "SELECT s.number, u.number FROM upload u JOIN study s ON s.name = u.study"
            " WHERE u.id = ? AND u.study = ? AND u.state = 'staged'",
            (upload, study),
        ).fetchone()
        return row is not None and placing.place_some(conn, *row)

    for upload in uploads:
        while await context.db.write(partial(some, upload), large=True):
            pass


async def purge(context: Context, study: str, before: Step) -> None:
    """Remove the placed rows of a study that is to be purged, if that is the next step."""

    def some(conn: Connection) -> bool:
        row = conn.execute("SELECT number, purging FROM study WHERE name = ?", (study,)).fetchone()
        if row is None or ledger.step(conn) != before:
            return False
        number, rows = row
        if not rows:
            rows = placing.left(conn, number, study)
            conn.execute("UPDATE study SET takes_rows = 0, purging = ? WHERE number = ?", (rows, number))
        context.db.forget_soon()
        return placing.purge_some(conn, number)

    while await context.db.write(some, large=True):
        pass


async def retire(context: Context, message: Retire, before: Step) -> None:
    """Drop the rows of a long message, if it is the next step, some passes in each transaction.

    Tokens are spread, so all pages of the study are rewritten.
    """
    if len(message.refs) <= _MANY_REFS * placing.REF_BYTES:
        return

    def some(first: int, conn: Connection) -> bool:
        row = conn.execute("SELECT number, passes FROM study WHERE name = ?", (message.study,)).fetchone()
        if row is None or ledger.step(conn) != before:
            return False
        context.db.forget_soon()
        placing.remove(conn, row[0], message.refs, range(first, first + _PASSES))
        return first + _PASSES < int(row[1])

    first = 0
    while await context.db.write(partial(some, first), large=True):
        first += _PASSES
