"""Numbered migrations, each in one transaction, each recorded with the checksum of its text."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trustcenter.errors import (
    MigrationChangedError,
    NewerStoreError,
    StoreDamagedError,
    StoreError,
    WrongStoreError,
)

# application_id of the file header, so that one room's file is never opened as the other's: "TCRG", "TCCM".
APPLICATIONS = {"registrar": 0x54435247, "comparator": 0x5443434D}

_TABLE = """CREATE TABLE IF NOT EXISTS schema_migration (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL
) STRICT"""


@dataclass(frozen=True)
class Migration:
    """One step of the schema. Its text never changes once released; a correction is a new number.

    Attributes:
        number: unique over everything that shares a file; applied in ascending order. A file may lack a lower
            number than its highest (another layer's), which is then applied.
        name: what it does, for people.
        sql: statements, each ended by a semicolon; no transaction control.
    """

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def claim(conn: sqlite3.Connection, application: str) -> None:
    """Mark a new file as `application`'s, or check that an old one is.

    Raises:
        WrongStoreError: the file belongs to the other room or to another program.
    """
    wanted = APPLICATIONS.get(application)
    if wanted is None:
        raise StoreError("no such application of a database file")
    (found,) = conn.execute("PRAGMA application_id").fetchone()
    if found == wanted:
        return
    (tables,) = conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if found or tables:
        raise WrongStoreError(
            f"this file is not a {application}'s database",
            hint="check the paths in config.toml: each room has its own file",
        )
    conn.execute(f"PRAGMA application_id = {wanted}")


def check(conn: sqlite3.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """The migrations that this file lacks, in order; errors as `missing`."""
    exists = conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_migration'").fetchone()
    rows = conn.execute("SELECT number, checksum FROM schema_migration ORDER BY number") if exists else ()
    return missing(dict(rows), migrations)


def missing(applied: Mapping[int, str], migrations: Sequence[Migration]) -> list[Migration]:
    """The migrations that are not applied yet, in order.

    Args:
        applied: number to checksum, as the store has them.
        migrations: every step that this program knows.

    Raises:
        NewerStoreError: the store has a migration that this program does not know.
        MigrationChangedError: a recorded checksum differs.
    """
    known = {migration.number: migration for migration in migrations}
    if len(known) != len(migrations):
        raise StoreError("two migrations have the same number")
    for number, checksum in applied.items():
        if number not in known:
            raise NewerStoreError(
                "the database was written by a newer version of this program",
                hint="install that version again, or restore a backup made before the upgrade",
                where=f"migration {number}",
            )
        if known[number].checksum != checksum:
            raise MigrationChangedError(
                "an applied migration is not the one this program knows",
                hint="use the released version that created the database",
                where=f"migration {number}",
            )
    return sorted((known[number] for number in known.keys() - applied.keys()), key=lambda step: step.number)


def migrate(conn: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring the file to the newest schema; a step that fails leaves it as the step before left it.

    Foreign keys are off while a step runs, as rebuilding a table needs, and checked before it commits.
    """
    steps = check(conn, migrations)
    if not steps:
        return
    conn.execute("PRAGMA foreign_keys = OFF")
    try:
        for step in steps:
            conn.execute("BEGIN IMMEDIATE")
            try:
                conn.execute(_TABLE)
                for statement in statements(step.sql):
                    conn.execute(statement)
                if conn.execute("PRAGMA foreign_key_check").fetchone() is not None:
                    raise StoreDamagedError(
                        "a migration would leave rows without their parents", where=f"migration {step.number}"
                    )
                conn.execute("INSERT INTO schema_migration VALUES (?,?,?)", (step.number, step.name, step.checksum))
                conn.execute("COMMIT")
            except BaseException:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise
    finally:
        conn.execute("PRAGMA foreign_keys = ON")


def statements(sql: str) -> Iterator[str]:
    """Split SQL text at the semicolons that end a statement.

    `executescript` cannot be used: it commits the open transaction first.
    """
    *pieces, rest = sql.split(";")
    pending = ""
    for piece in pieces:
        pending += piece + ";"
        if sqlite3.complete_statement(pending):
            if pending.strip() != ";":
                yield pending.strip()
            pending = ""
    if any(line.strip() and not line.strip().startswith("--") for line in (pending + rest).splitlines()):
        raise StoreError("the text of a migration ends inside a statement")
