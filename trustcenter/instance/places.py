"""Where the store of a room is: a file, or a database of a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trustcenter.config import Config
from trustcenter.errors import ConflictError
from trustcenter.store import Location, Postgres

HEAD_NAME: Final = "head.json"  # the outside head, beside the registrar's key store
RESTORE_PENDING: Final = "restore.pending"  # exists while a restore exchanges files


def database(config: Config, room: str) -> Location:
    """The store of "registrar" or "comparator"."""
    conninfo = config.postgres.registrar if room == "registrar" else config.postgres.comparator
    if conninfo is not None:
        return Postgres(conninfo)
    return default(config, room)


def file(config: Config, room: str) -> Path:
    """The store of a room that is a file, for commands that work on files.

    Raises:
        ConflictError: it is a PostgreSQL database.
    """
    location = database(config, room)
    if isinstance(location, Postgres):
        raise ConflictError(
            "this command works on files, and the store of this instance is a PostgreSQL database",
            code="not_a_file",
            hint="PostgreSQL's own tools do it: docs/how-to/postgresql.md",
            where=room,
        )
    return location


def default(config: Config, room: str) -> Path:
    """Where the file of a room's store is, if it is one."""
    return config.path(config.files.registrar if room == "registrar" else config.files.comparator)


def spool(config: Config, room: str) -> Path:
    """Where a room keeps edges on their way: a directory beside its store, in no backup."""
    return default(config, room).parent / "spool"
