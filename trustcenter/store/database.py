"""The database of a room: a single writer with group commit, and readers that see snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from trustcenter.errors import StoreUnavailableError

from .connection import Connection
from .engine import Engine, Session, begin
from .location import Location, engine_of
from .migrations import Migration
from .stream import Stream, closing, raise_translated
from .writer import Writer

T = TypeVar("T")

TURN_SECONDS: Final = 0.05  # between two looks whether another process is done
STREAMS_MAX: Final = 8  # long reads at one time; each holds a connection and keeps the WAL from restarting


@dataclass(frozen=True)
class Activity:
    """What the writer has done since it was opened, and what waits for it."""

    commits: int
    operations: int
    waiting: int


class Database:
    """An open database. Acknowledged is durable: `write` returns after a COMMIT that reached the disk.

    Functions given to `write` run one after the other on one thread and must not commit, roll back or wait for
    anything; those given to `read` see one snapshot, which includes every write acknowledged before.
    """

    def __init__(self, engine: Engine, writer: Writer | None, readers: int) -> None:
        """Use `open` or `open_sync`."""
        self.engine = engine
        self._writer = writer
        self._idle: queue.SimpleQueue[Session | None] = queue.SimpleQueue()
        for _ in range(readers):
            self._idle.put(engine.reader())
        self._readers = readers
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="store-reader")
        self._streams: set[Stream] = set()
        self._mutex = threading.Lock()
        self._closed = False

    @classmethod
    async def open(
        cls,
        location: Location,
        migrations: Sequence[Migration],
        *,
        application: str = "registrar",
        readers: int = 2,
        read_only: bool = False,
        exclusive: bool = False,
    ) -> Database:
        """Open a store, creating a file with mode 0600 where there is none, and migrate it as needed.

        Args:
            location: a file of SQLite's (`-wal`, `-shm` and `.lock` appear beside it), or a PostgreSQL database.
            migrations: every step of the schema, of all layers that share the store.
            application: "registrar" or "comparator", kept in the store.
            readers: connections for short reads.
            read_only: take no lock, migrate nothing and refuse writes, beside a running service or without one.
            exclusive: refuse if any other process has it open; with SQLite that is always so.

        Raises:
            AlreadyRunningError: another process has it open for writing.
            NotFoundError: the directory, or for read_only the store, does not exist.
            NewerStoreError, WrongStoreError, MigrationChangedError: not the expected store.
            StoreError: a setting that safety depends on did not take.
        """
        return await asyncio.to_thread(
            cls.open_sync,
            location,
            migrations,
            application=application,
            readers=readers,
            read_only=read_only,
            exclusive=exclusive,
        )

    @classmethod
    def open_sync(
        cls,
        location: Location,
        migrations: Sequence[Migration],
        *,
        application: str = "registrar",
        readers: int = 2,
        read_only: bool = False,
        exclusive: bool = False,
    ) -> Database:
        """As `open`, for local commands without an event loop."""
        if readers < 1:
            raise ValueError("at least one reader is needed")
        engine = engine_of(location)
        try:
            if read_only:
                if not engine.check(migrations, application):
                    raise StoreUnavailableError(
                        "the database has an older schema than this program",
                        hint="start the service once: it upgrades the database",
                    )
                return cls(engine, None, readers)
            writer = Writer(engine, engine.prepare(migrations, application, exclusive=exclusive))
            try:
                return cls(engine, writer, readers)
            except BaseException:
                writer.close()
                raise
        except BaseException as error:
            engine.release()
            raise_translated(engine, error)

    async def write(self, fn: Callable[[Connection], T], *, large: bool = False) -> T:
        """Run `fn` on the writer thread inside a savepoint of a shared transaction; returns after its COMMIT.

        An exception of `fn` undoes only what `fn` did. Cancelling the caller before its turn drops the
        operation; afterwards the operation commits all the same.

        Args:
            fn: what is to be done.
            large: it changes very much, so it has a transaction of its own instead of a savepoint, which would keep
                in memory what it changes.

        Raises:
            StoreUnavailableError: disk full, input/output error or closing; nothing of `fn` is kept.
        """
        return await asyncio.wrap_future(self._submit(fn, large))

    def write_sync(self, fn: Callable[[Connection], T], *, large: bool = False) -> T:
        """As `write`, for threads and local commands; never call it on the event loop's thread."""
        return self._submit(fn, large).result()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` on a reader thread over one snapshot. It must return plain values, never a cursor."""
        return await asyncio.wrap_future(self._start(self.read_sync, fn))

    def read_sync(self, fn: Callable[[Connection], T]) -> T:
        """As `read`, on the calling thread."""
        conn = self._idle.get()
        if conn is None:  # closed: leave the mark for the next one
            self._idle.put(None)
            raise closing()
        try:
            conn = begin(self.engine, conn, self.engine.begin_read, self.engine.reader)
            try:
                return fn(conn)
            finally:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
        except Exception as error:
            raise_translated(self.engine, error)
        finally:
            self._idle.put(conn)

    async def stream(self, fn: Callable[[Connection], Iterator[T]], batch: int = 1000) -> AsyncIterator[list[T]]:
        """Yield what `fn` iterates over, in lists of at most `batch`, all from one snapshot.

        One batch is in memory at a time, and the next is fetched only when asked for. Wrap in
        `contextlib.aclosing` if the loop may end early.

        Raises:
            StoreUnavailableError: too many streams at once, or closing.
        """
        stream = Stream(self.engine, fn, batch)
        with self._mutex:
            if self._closed or len(self._streams) >= STREAMS_MAX:
                raise (
                    closing()
                    if self._closed
                    else StoreUnavailableError("too many long reads at the same time", hint="try again in a minute")
                )
            self._streams.add(stream)
        try:
            while part := await asyncio.wrap_future(stream.next()):
                yield part
        finally:
            stream.close(wait=False)
            with self._mutex:
                self._streams.discard(stream)

    @contextlib.asynccontextmanager
    async def turn(self, name: str, *, wait: bool = True) -> AsyncIterator[bool]:
        """Hold `name` against other processes that share the store; with SQLite there are none.

        Args:
            name: what is to be done by one process at a time.
            wait: until no other has it; otherwise the block sees False if another has.
        """
        with contextlib.ExitStack() as stack:
            try:
                while not (mine := await asyncio.to_thread(stack.enter_context, self.engine.turn(name))) and wait:
                    stack.close()
                    await asyncio.sleep(TURN_SECONDS)
            except Exception as error:
                raise_translated(self.engine, error)
            yield mine

    def forget_soon(self) -> None:
        """Called by a write function that erases: what the store keeps besides is emptied after its commit."""
        self.engine.forget_soon()

    def activity(self) -> Activity:
        """Figures of the writer, for metrics; all 0 for a database that is only read."""
        writer = self._writer
        return Activity(writer.commits, writer.operations, writer.waiting) if writer else Activity(0, 0, 0)

    async def close(self) -> None:
        """Finish queued writes and running reads, end streams, give the store back."""
        await asyncio.to_thread(self.close_sync)

    def close_sync(self) -> None:
        """As `close`. Safe to call twice."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.close(wait=True)
        self._pool.shutdown(wait=True)
        for _ in range(self._readers):
            conn = self._idle.get()
            if conn is not None:
                conn.close()
        self._idle.put(None)
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self.engine.release()

    def _submit(self, fn: Callable[[Connection], T], large: bool) -> Future[T]:
        if self._writer is None:
            raise StoreUnavailableError("the database was opened for reading only")
        return self._writer.submit(fn, large=large)

    def _start(self, call: Callable[..., T], *arguments: object) -> Future[T]:
        try:
            return self._pool.submit(call, *arguments)
        except RuntimeError:  # the pool was shut down
            raise closing() from None
