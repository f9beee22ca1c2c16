"""The fence of a store that was moved: its file stays as it was, and refuses to open."""

from __future__ import annotations

from trustcenter.clock import Clock, stamp
from trustcenter.errors import ConflictError
from trustcenter.store import Connection, Migration

_SQL = """
    CREATE TABLE fence (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        database TEXT NOT NULL,       -- id of the store that goes on in this one's place
        moved TEXT NOT NULL
    ) STRICT;
"""
REGISTRAR_MIGRATION = Migration(260, "fence of a store that was moved", _SQL)
COMPARATOR_MIGRATION = Migration(360, "fence of a store that was moved", _SQL)


def target(conn: Connection) -> str | None:
    """The id of the store that this one was moved to, or None."""
    row = conn.execute("SELECT database FROM fence").fetchone()
    return None if row is None else str(row[0])


def put(conn: Connection, database: str, clock: Clock) -> None:
    """Fence the store; twice is harmless."""
    conn.execute("INSERT INTO fence VALUES (1,?,?) ON CONFLICT DO NOTHING", (database, stamp(clock())))


def require_none(conn: Connection) -> None:
    """Refuse a store that was moved: serving both would give one pseudonym to two people.

    Raises:
        ConflictError: it was.
    """
    if target(conn) is not None:
        raise ConflictError(
            "this store was moved to PostgreSQL and is fenced",
            code="instance_moved",
            hint="config.toml must name the new one under [postgres]: docs/how-to/postgresql.md",
        )
