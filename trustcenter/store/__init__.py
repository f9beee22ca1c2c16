"""Databases that are safe by construction: one writer with group commit, snapshot readers, migrations."""

from .connection import Connection, Cursor, IntegrityError, select_in
from .migrations import Migration
from .sqlite import Database

__all__ = ["Connection", "Cursor", "Database", "IntegrityError", "Migration", "select_in"]
