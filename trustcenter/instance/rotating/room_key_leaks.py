"""Leaks of a room's own keys: written down first, so that what was reported is carried out whatever dies in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keys.ids import Purpose
from trustcenter.store import Connection, Migration

MIGRATION: Final = Migration(
    number=710,
    name="leaks of a room's own keys",
    sql="""
        CREATE TABLE room_key_leak (
            purpose TEXT NOT NULL,
            version INTEGER NOT NULL,
            reason TEXT NOT NULL,
            since TEXT NOT NULL,     -- since when it may be known; empty: since it was made
            reported TEXT NOT NULL,
            rotation TEXT NOT NULL,  -- that replaced it; empty until the version is marked
            PRIMARY KEY (purpose, version)
        ) STRICT;
        """,
)


@dataclass(frozen=True)
class Leak:
    """One version that leaked, as stored; see the table."""

    purpose: Purpose
    version: int
    reason: str
    since: str
    reported: str
    rotation: str


def listed(conn: Connection) -> list[Leak]:
    """All of them, oldest versions first."""
    rows = conn.execute(
        "SELECT purpose, version, reason, since, reported, rotation FROM room_key_leak ORDER BY version, purpose"
    ).fetchall()
    return [Leak(Purpose(purpose), *rest) for purpose, *rest in rows]


def pending(conn: Connection) -> list[Leak]:
    """Those that were reported and are not marked yet."""
    return [one for one in listed(conn) if not one.rotation]


def report(conn: Connection, leaked: list[tuple[Purpose, int]], reason: str, since: str, now: str) -> None:
    """Write down which versions leaked."""
    conn.executemany(
        "INSERT INTO room_key_leak VALUES (?,?,?,?,?,'')",
        [(purpose.value, version, reason, since, now) for purpose, version in leaked],
    )


def close(conn: Connection, rotation: str) -> None:
    """What was reported is marked, and replaced by this rotation."""
    conn.execute("UPDATE room_key_leak SET rotation = ? WHERE rotation = ''", (rotation,))
