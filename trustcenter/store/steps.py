"""How many messages passed between the rooms, and the hash over them: each room keeps it beside what they did."""

from __future__ import annotations

from typing import Final

from trustcenter.messages.rooms import Step

from .connection import Connection

# Part of one migration of each room; like every released text it never changes.
TABLE: Final = """
        CREATE TABLE ledger (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            number INTEGER NOT NULL,
            chain TEXT NOT NULL
        ) STRICT;
        INSERT INTO ledger VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');"""


def step(conn: Connection) -> Step:
    """The step of the last message that was carried out here, or acknowledged by the other room."""
    return Step(*conn.execute("SELECT number, chain FROM ledger").fetchone())


def set_step(conn: Connection, found: Step) -> None:
    """Go on from this step."""
    conn.execute("UPDATE ledger SET number = ?, chain = ?", (found.number, found.chain))
