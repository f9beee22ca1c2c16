"""SQLite files that are safe by construction: one writer with group commit, snapshot readers, migrations."""

from .migrations import Migration
from .sqlite import Database

__all__ = ["Database", "Migration"]
