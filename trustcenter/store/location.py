"""Where a store is: a file of SQLite's, or a database of a PostgreSQL server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .connection import Connection
from .engine import Engine


@dataclass(frozen=True)
class Postgres:
    """A database of a PostgreSQL server, by libpq's connection string, which holds no password."""

    conninfo: str


Location = Path | Postgres


def engine_of(location: Location) -> Engine:
    """The engine for a store.

    Raises:
        StoreError: psycopg is not installed.
    """
    if isinstance(location, Postgres):
        from .postgres import PostgresEngine

        return PostgresEngine(location.conninfo)
    from .sqlite import SqliteEngine

    return SqliteEngine(location)


@contextlib.contextmanager
def snapshot(location: Location) -> Iterator[Connection]:
    """One state of a store that exists, for commands and worker processes; nothing is checked, nothing changed."""
    engine = engine_of(location)
    conn = engine.streamer()
    try:
        engine.begin_read(conn)
        yield conn
    finally:
        conn.close()
