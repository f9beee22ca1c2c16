"""The SQLite engine: one file, one process, a WAL that is copied back when nobody waits."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from trustcenter.errors import NotFoundError

from . import migrations as steps
from .connections import BUSY_TIMEOUT_MS, FileLock, create_private, open_reader, open_writer
from .engine import Engine, Session
from .faults import is_fsync_failure, translate
from .migrations import Migration

CHECKPOINT_CHANGES: Final = 2000  # row changes after which the WAL is copied back while nobody waits
CHECKPOINT_CHANGES_BUSY: Final = 60_000  # and at the latest, even if somebody does
WAL_BYTES_MAX: Final = 256 * 2**20  # beyond this it is copied back however few rows were changed
WAL_RESTART_BYTES: Final = 128 * 2**20  # beyond this, wait briefly for readers so that the WAL can restart
# The registrar changes single rows, so its commits are small if its pages are; the comparator has values of 70 KB to
# 4 MB, in chains of pages that are followed one by one.
PAGE_BYTES: Final = {"registrar": 4096, "comparator": 16_384}
RESTART_WAIT_MS: Final = 250
FORGET_SECONDS: Final = 60.0  # that pages of before an erasure may stay in the WAL while somebody always waits

_log = logging.getLogger(__name__)


class SqliteEngine(Engine):
    """A database file with its `-wal`, `-shm` and `.lock` beside it."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self.path = path
        self.before_checkpoint: Callable[[], None] = _nothing  # called while the WAL still holds what it holds
        self._lock: FileLock | None = None
        self._emptied = time.monotonic()
        self._page_bytes = 0
        self._changes = 0  # of the writing connection at the last checkpoint
        self._kept = 0  # bytes of the WAL that a reader kept it from cutting at the last checkpoint

    def prepare(self, migrations: Sequence[Migration], application: str, *, exclusive: bool) -> Session:
        """As the base says; the file is created with mode 0600."""
        self._lock = FileLock(self.path)
        # What a crash left in the log is no reason to keep it: it may hold pages of before an erasure.
        log = self.path.with_name(self.path.name + "-wal")
        self.forgetting = log.exists() and log.stat().st_size > 0
        try:
            create_private(self.path)
            conn = open_writer(self.path, PAGE_BYTES[application])
            try:
                steps.claim(conn, application)
                steps.migrate(conn, migrations)
            except BaseException:
                conn.close()
                raise
        except BaseException:
            self.release()
            raise
        self._changes = conn.total_changes
        (self._page_bytes,) = conn.execute("PRAGMA page_size").fetchone()
        return conn

    def check(self, migrations: Sequence[Migration], application: str) -> bool:
        """As the base says."""
        if not self.path.exists():
            raise NotFoundError("the database does not exist", hint="check the path, or create the instance first")
        conn = open_reader(self.path)
        try:
            steps.claim(conn, application)
            return not steps.check(conn, migrations)
        finally:
            conn.close()

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def reader(self) -> Session:
        """As the base says."""
        return open_reader(self.path)

    def streamer(self) -> Session:
        """As the base says; SQLite's cursors fetch row by row anyway."""
        return open_reader(self.path)

    def begin_write(self, conn: Session) -> None:
        """As the base says."""
        conn.execute("BEGIN IMMEDIATE")

    def begin_read(self, conn: Session) -> None:
        """As the base says."""
        conn.execute("BEGIN")

    def renew(self, conn: Session, again: Callable[[], Session]) -> Session:
        """A connection to a file does not break."""
        return conn

    def writer_again(self) -> Session:
        """Never asked for."""
        raise AssertionError("a connection to a file does not break")

    def settle(self, conn: Session, waiting: bool) -> None:
        """Copy the WAL back into the file."""
        assert isinstance(conn, sqlite3.Connection)
        overdue = time.monotonic() - self._emptied > FORGET_SECONDS
        if self.forgetting and (overdue or not waiting):
            self._empty(conn)
        changes = conn.total_changes - self._changes
        if changes < (CHECKPOINT_CHANGES_BUSY if waiting else CHECKPOINT_CHANGES) and not self._long_log():
            return
        self._changes = conn.total_changes
        self.before_checkpoint()
        _, pages, _ = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        cut = pages * self._page_bytes <= WAL_RESTART_BYTES or self._wait_for(conn, "RESTART")
        self._kept = 0 if cut else self._log_bytes()

    def _long_log(self) -> bool:
        """Whether the WAL has become long although few rows were changed: of packed tables a row has 70 KB.

        While a long read keeps it from being cut, only what has been added since counts: else all who write would wait
        for the reader at each commit.
        """
        return self._log_bytes() - self._kept > WAL_BYTES_MAX

    def _log_bytes(self) -> int:
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def _empty(self, conn: sqlite3.Connection) -> None:
        """Copy the WAL back and cut it to nothing; a reader that is in the way postpones it to the next commit."""
        self._changes = conn.total_changes
        self._emptied = time.monotonic()
        self.before_checkpoint()
        self.forgetting = not self._wait_for(conn, "TRUNCATE")

    def _wait_for(self, conn: sqlite3.Connection, how: str) -> bool:
        """A checkpoint that waits briefly for readers; whether it was complete."""
        conn.execute(f"PRAGMA busy_timeout = {RESTART_WAIT_MS}")
        try:
            (busy, *_) = conn.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
            return not busy
        finally:
            conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    def finish(self, conn: Session) -> None:
        """Copy the WAL back and empty it."""
        self.before_checkpoint()
        try:
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:  # the WAL stays and is replayed at the next start
            _log.warning("the WAL could not be emptied at close (SQLite code %s)", error.sqlite_errorcode)

    def translate(self, error: BaseException) -> BaseException:
        """As the base says."""
        return translate(error)

    def fatal(self, error: BaseException) -> bool:
        """After a failed fsync nothing proves that later writes reach the disk."""
        return is_fsync_failure(error)

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """There is no other process."""
        yield True


def _nothing() -> None:
    """Nobody follows the WAL."""
