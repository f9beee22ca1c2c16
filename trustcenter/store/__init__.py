"""Databases that are safe by construction: one writer with group commit, snapshot readers, migrations."""

from .columns import Column, beside, insert, insert_rows, update_rows
from .connection import Connection, Cursor, IntegrityError, select_in
from .database import Database
from .location import Location, Postgres, snapshot
from .migrations import Migration
from .spans import ranges

__all__ = [
    "Column",
    "Connection",
    "Cursor",
    "Database",
    "IntegrityError",
    "Location",
    "Migration",
    "Postgres",
    "beside",
    "insert",
    "insert_rows",
    "ranges",
    "select_in",
    "snapshot",
    "update_rows",
]
