"""Whether the databases have the schema of this program: an older one lacks tables that checks read."""

from __future__ import annotations

from collections.abc import Iterator

from linkage.wording import counted
from trustcenter.config import Config
from trustcenter.errors import ConflictError
from trustcenter.instance.opening import migrations
from trustcenter.instance.parts import room_snapshot
from trustcenter.store.migrations import missing

from .finding import Finding


def lacking(config: Config, room: str) -> int:
    """How many steps of its schema the database of a room lacks; the next start of the service makes them.

    Raises:
        NotFoundError: there is no database.
        NewerStoreError, MigrationChangedError: it is not one that this program may serve.
    """
    with room_snapshot(config, room) as conn:
        applied = dict(conn.execute("SELECT number, checksum FROM schema_migration").fetchall())
    return len(missing(applied, migrations(config, room)))


def schema(config: Config, room: str) -> Iterator[Finding]:
    """The schema's age as a finding."""
    steps = lacking(config, room)
    if steps:
        hint = "the next start of the service makes them, before it listens; then run this again"
        yield Finding(f"{room} schema", "warn", f"{counted(steps, 'step')} older than this program", hint)
    else:
        yield Finding(f"{room} schema", "ok", "as this program has it")


def require_current(config: Config) -> None:
    """Refuse to check databases of an older version.

    Raises:
        ConflictError: one is. NotFoundError, NewerStoreError, MigrationChangedError: as `lacking`.
    """
    for room in config.rooms:
        if lacking(config, room):
            raise ConflictError(
                "the database has the schema of an older version of this program",
                code="store_older",
                hint="start the service once: it brings it up to date before it listens",
                where=room,
            )
