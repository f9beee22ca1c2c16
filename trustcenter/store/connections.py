"""Opening connections with every setting that safety depends on read back, and the lock on the file."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from trustcenter.errors import AlreadyRunningError, NotFoundError, StoreError

BUSY_TIMEOUT_MS: Final = 5000
WRITER_CACHE_KIB: Final = 64 * 1024
READER_CACHE_KIB: Final = 16 * 1024
JOURNAL_LIMIT_BYTES: Final = 64 * 1024 * 1024  # what the WAL is cut back to once it was reset

# Settings that hold per connection: (pragma, value to set, value it must read back as).
# mmap stays off: an input/output error on a mapped page kills the process instead of failing the call.
# temp_store = MEMORY keeps sorters and temporary tables, which may hold pseudonyms, out of temporary files.
_COMMON: Final = (
    ("busy_timeout", str(BUSY_TIMEOUT_MS), BUSY_TIMEOUT_MS),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
    ("temp_store", "MEMORY", 2),
    ("mmap_size", "0", 0),
)
_WRITER: Final = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),  # WAL with NORMAL may lose acknowledged commits when the power fails
    ("secure_delete", "ON", 1),
    ("wal_autocheckpoint", "0", 0),  # the writer checkpoints itself, where a failure can be seen
    ("journal_size_limit", str(JOURNAL_LIMIT_BYTES), JOURNAL_LIMIT_BYTES),
    ("cache_size", f"-{WRITER_CACHE_KIB}", -WRITER_CACHE_KIB),
)
_READER: Final = (
    ("query_only", "ON", 1),
    ("cache_size", f"-{READER_CACHE_KIB}", -READER_CACHE_KIB),
)


def open_writer(path: Path, page_bytes: int = 4096) -> sqlite3.Connection:
    """The one connection that writes.

    Args:
        path: of the database.
        page_bytes: of its pages, if it is new; one that is there keeps what it has.

    Raises:
        StoreError: a setting did not take, such as WAL on a network file system.
    """
    conn = _connect(path, "rw")
    try:
        conn.execute(f"PRAGMA page_size = {page_bytes}")
        _apply(conn, _COMMON + _WRITER)
    except BaseException:
        conn.close()
        raise
    return conn


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    conn = _connect(path, "ro")
    try:
        _apply(conn, _COMMON + _READER)
    except BaseException:
        conn.close()
        raise
    return conn


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # Connections move between threads of ours, one at a time; isolation_level None leaves BEGIN and COMMIT to us.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )


def _apply(conn: sqlite3.Connection, settings: tuple[tuple[str, str, object], ...]) -> None:
    for name, value, expected in settings:
        conn.execute(f"PRAGMA {name} = {value}")
        row = conn.execute(f"PRAGMA {name}").fetchone()
        # A library compiled without memory mapping answers nothing, which is as good as 0.
        if (row[0] if row else 0) != expected:
            raise StoreError(
                "SQLite does not accept a setting that safety depends on",
                hint="keep the database on a local file system",
                where=name,
            )


def create_private(path: Path) -> None:
    """Make sure the file exists with mode 0600; SQLite gives -wal and -shm the mode of the database.

    Call it before the first connection of this process only: closing any descriptor of a file drops the POSIX
    locks that SQLite holds on it.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return
    os.fchmod(descriptor, 0o600)  # whatever the umask says
    os.close(descriptor)
    parent = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


class FileLock:
    """An exclusive lock beside the database, held while it is open for writing. The kernel drops it at exit."""

    def __init__(self, database: Path) -> None:
        """Take the lock.

        Raises:
            AlreadyRunningError: somebody else holds it, in this process or another.
            NotFoundError: the directory does not exist.
        """
        try:
            self._descriptor = os.open(
                database.with_name(database.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
            )
        except FileNotFoundError:
            raise NotFoundError("the directory of the database does not exist") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise AlreadyRunningError(
                "another process has this database open for writing",
                hint="stop the running service first, or talk to it instead of to its files",
            ) from None

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes lock two files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
