"""The one writer thread and its group commit.

Operations wait in a queue. The thread opens a transaction, runs every operation that waits, each inside its own
savepoint, commits once, and only then tells the callers. While the disk works on one commit the next group
gathers by itself, so one fsync serves as many callers as there are, and a lone caller waits for nobody.

A savepoint keeps in memory what every page of the file that is changed was before. An operation that changes hundreds
of megabytes says so (`large`) and gets a transaction of its own, which needs no savepoint.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from trustcenter.errors import StoreTransactionError, StoreUnavailableError

from .connection import Connection
from .engine import Engine, Session, begin

GROUP_MAX: Final = 256  # operations in one transaction
GROUP_SECONDS: Final = 0.05  # no operation joins a transaction older than this
IDLE_SECONDS: Final = 0.02  # without an operation, after which upkeep that can wait is done

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Operation:
    fn: Callable[[Connection], Any]
    future: Future[Any]
    large: bool


class Writer:
    """Owns the writing connection. `submit` from any thread; results come after COMMIT."""

    def __init__(self, engine: Engine, conn: Session) -> None:
        self._engine = engine
        self._conn = conn
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # orders submit and close
        self._closing = False
        self._dead = False  # a failed fsync: refuse everything from then on
        self.commits = 0  # transactions that reached the disk
        self.operations = 0  # operations in them
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[[Connection], Any], *, large: bool = False) -> Future[Any]:
        """Queue an operation; a `large` one gets a transaction of its own.

        A future that is cancelled before its turn is left out; once its turn has come it can no longer be
        cancelled and commits, whether or not anybody still listens.

        Raises:
            StoreUnavailableError: the database is closing.
        """
        operation = _Operation(fn, Future(), large)
        with self._lock:
            if self._closing:
                raise StoreUnavailableError("the database is closing", hint="try again when the service is back")
            self._queue.put(operation)
        return operation.future

    @property
    def waiting(self) -> int:
        """Operations in the queue, about."""
        return self._queue.qsize()

    def close(self) -> None:
        """Run what is queued, leave the store in order, close the connection. Safe to call twice."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting = self._queue.get()
        while waiting is not None:
            waiting = self._group(waiting)
        try:
            if not self._dead:
                self._engine.finish(self._conn)
        finally:
            self._conn.close()

    def _group(self, first: _Operation) -> _Operation | None:
        """Run one transaction that begins with `first`; returns what to do next, None to stop."""
        following: _Operation | None = first
        held: _Operation | None = None  # a large one, which does not join this transaction
        done: list[tuple[_Operation, Any]] = []
        failed: list[tuple[_Operation, BaseException]] = []
        stop = False
        try:
            self._begin()
        except BaseException as error:
            if first.future.set_running_or_notify_cancel():
                first.future.set_exception(self._engine.translate(error))
            return self._queue.get()
        started = time.monotonic()
        count = 0
        while following is not None:
            if following.future.set_running_or_notify_cancel():
                count += 1
                try:
                    done.append((following, self._one(following)))
                except BaseException as error:
                    failed.append((following, self._engine.translate(error)))
                    if not self._conn.in_transaction:
                        self._lost(done, failed, error)
                        break
            if following.large or count >= GROUP_MAX or time.monotonic() - started > GROUP_SECONDS:
                break
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            stop = following is None
            if following is not None and following.large:
                held = following
                break
        self._commit(done, failed)
        for operation, result in done:
            operation.future.set_result(result)
        for operation, failure in failed:
            operation.future.set_exception(failure)
        done.clear()  # results may be large, and the next operation may be long in coming
        if stop:
            self._settle(waiting=False)
            return None
        if held is not None:
            self._settle(waiting=True)
            return held
        try:
            # Upkeep takes as long as many small transactions: callers who send the next when they have their answer
            # would meet it again and again.
            following = self._queue.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            self._settle(waiting=False)
            return self._queue.get()
        self._settle(waiting=True)
        return following

    def _begin(self) -> None:
        if self._dead:
            raise StoreUnavailableError(
                "the disk failed to store a commit; nothing more is written until the service is restarted",
                hint="check the disk, then restart the service",
            )
        self._conn = begin(self._engine, self._conn, self._engine.begin_write, self._engine.writer_again)

    def _one(self, operation: _Operation) -> Any:
        conn = self._conn
        if not operation.large:
            conn.execute("SAVEPOINT op")
        try:
            result = operation.fn(conn)
            if not conn.in_transaction:
                raise StoreTransactionError(
                    "a write function ended the transaction it was lent",
                    hint="it must not commit, roll back or run a script",
                )
            if not operation.large:
                conn.execute("RELEASE op")
        except BaseException:
            # Some failures (disk full, input/output error) make SQLite roll back the whole transaction itself.
            if conn.in_transaction and operation.large:
                conn.execute("ROLLBACK")
            elif conn.in_transaction:
                try:
                    conn.execute("ROLLBACK TO op")
                    conn.execute("RELEASE op")
                except Exception:  # the savepoint is gone: nothing of this transaction can be trusted
                    conn.execute("ROLLBACK")
            raise
        return result

    def _lost(
        self,
        done: list[tuple[_Operation, Any]],
        failed: list[tuple[_Operation, BaseException]],
        cause: BaseException,
    ) -> None:
        """The transaction is gone, and the effects of those that came before in it cannot be vouched for."""
        for operation, _ in done:
            loss = StoreUnavailableError("the transaction that this operation shared was lost", hint="try again")
            loss.__cause__ = cause
            failed.append((operation, loss))
        done.clear()

    def _commit(self, done: list[tuple[_Operation, Any]], failed: list[tuple[_Operation, BaseException]]) -> None:
        if not self._conn.in_transaction:
            return
        try:
            seen = self._engine.look(self._conn)
            self._conn.execute("COMMIT")
            self._engine.keep(seen)
            self.commits += 1
            self.operations += len(done)
        except BaseException as error:
            self._note(error)
            failed.extend((operation, self._engine.translate(error)) for operation, _ in done)
            done.clear()
            try:
                if self._conn.in_transaction:
                    self._conn.execute("ROLLBACK")
            except Exception:
                self._dead = True

    def _settle(self, *, waiting: bool) -> None:
        """Upkeep of the store, after the callers were answered."""
        try:
            self._engine.settle(self._conn, waiting)
        except Exception as error:  # everything is committed; the next round tries again
            self._note(error)
            _log.warning("upkeep of the database failed (%s)", type(error).__name__)

    def _note(self, error: BaseException) -> None:
        if self._engine.fatal(error):
            self._dead = True
