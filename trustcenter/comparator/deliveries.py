"""What was delivered to the registrar, by study and window: the header of the edges, not the edges."""

from __future__ import annotations

import msgspec

from trustcenter.messages.rooms import EdgesHeader, WindowState
from trustcenter.store import Connection, Migration

MIGRATIONS = (
    Migration(
        number=580,
        name="delivered windows",
        sql="""
        CREATE TABLE delivery (
            study TEXT NOT NULL REFERENCES study(name),
            window_number INTEGER NOT NULL,
            state TEXT NOT NULL,           -- the message, JSON
            PRIMARY KEY (study, window_number)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


def keep(conn: Connection, state: WindowState) -> None:
    """Write down what is delivered, in the transaction of its entry."""
    conn.execute(
        "INSERT INTO delivery VALUES (?,?,?) ON CONFLICT (study, window_number) DO UPDATE SET state = excluded.state",
        (state.study, state.window, msgspec.json.encode(state).decode()),
    )


def find(conn: Connection, study: str, window: int) -> WindowState | None:
    """What was delivered of a window; None if nothing was."""
    row = conn.execute("SELECT state FROM delivery WHERE study = ? AND window_number = ?", (study, window)).fetchone()
    return msgspec.json.decode(row[0], type=WindowState) if row is not None else None


def find_link(conn: Connection, study: str, link: str) -> EdgesHeader | None:
    """The delivery that a link names; None if it was not made here."""
    rows = conn.execute("SELECT state FROM delivery WHERE study = ? ORDER BY window_number DESC", (study,))
    for (state,) in rows:
        header = msgspec.json.decode(state, type=WindowState).header
        if header is not None and header.link == link:
            return header
    return None
