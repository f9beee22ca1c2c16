"""The continuous backup of one database: what was committed is copied out within a second, by a thread of the service.

The writer never waits for the target: before it copies the write-ahead log back it has the rest of it read into
memory, and this thread writes it out. A target that fails or hangs costs the backup, not the service; the figures of
`/metrics`, `doctor` and the log say so. Format: docs/spec/continuous-backup.md.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trustcenter.clock import Clock, stamp, utc_now
from trustcenter.errors import TrustCenterError
from trustcenter.store import Database
from trustcenter.store.connections import open_reader
from trustcenter.store.sqlite import SqliteEngine
from trustcenter.store.wal import WalGapError, WalReader

from . import chain as chains
from . import chain_notes
from .backup import Abandoned, copy_base
from .chain import Chain
from .shipping_parts import Pending, Trouble, find_end

if TYPE_CHECKING:
    import sqlite3

    from trustcenter.config import Config

SECONDS: Final = 0.4  # between two looks at the log
FLUSH_SECONDS: Final = 15.0  # that a stop waits for the target
_PENDING_BYTES: Final = 96 * 2**20  # kept in memory while the target is slower than this; then the chain is given up
_PENDING_SECONDS: Final = 5.0
_ALIVE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 20.0  # between two attempts at a base


class Shipper:
    """Ships one room's database. `recover`, `attach`, `stop_copying`, `flush`, `settle` are called in this order."""

    def __init__(self, config: Config, room: str, database: Path, target: Path, clock: Clock = utc_now) -> None:
        """Nothing is touched yet."""
        self.room = room
        self.target = target
        self.trouble = Trouble(room)
        self._config = config
        self._database = database
        self._clock = clock
        self._db: Database | None = None
        self._of = ("", room)
        self._lock = threading.Lock()  # guards reader and queue; held for reading a log, never for writing
        self._reader: WalReader | None = None
        self._queue = Pending()
        self._chain: Chain | None = None
        self._queued = 0  # number of the last segment that was queued
        self._written = 0  # number of the last segment that is on the target
        self._digest = ""  # of it
        self._based: datetime | None = None  # time of the chain's newest base
        self._base: threading.Thread | None = None
        self._base_after = 0.0
        self._alive_after = 0.0
        self._stopping = threading.Event()  # no further base is begun, one that is being copied is abandoned
        self._closed = threading.Event()  # nothing is committed any more
        self._thread: threading.Thread | None = None
        self._complete = time.monotonic()  # everything committed before this moment can be restored

    @property
    def lag(self) -> float:
        """Seconds: everything committed longer ago than this can be restored."""
        return time.monotonic() - self._complete

    def recover(self) -> None:
        """After a crash, before the database is opened: ship what the log still holds."""
        try:
            if self._resume() and self._chain is not None:
                self._collect()
                self._write_out()
        except (OSError, TrustCenterError) as error:
            self.trouble.note(error)
            self._chain = None

    def attach(self, db: Database) -> None:
        """Follow an opened database, whose log nobody has copied back since it was opened."""
        assert isinstance(db.engine, SqliteEngine)
        self._db = db
        self._of = (
            str(db.read_sync(lambda conn: conn.execute("SELECT instance FROM instance").fetchone()[0])),
            self.room,
        )
        try:
            self._resume()
        except (OSError, TrustCenterError) as error:
            self.trouble.note(error)
            self._chain = None
        db.engine.before_checkpoint = self._before_checkpoint
        self._complete = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"backup-{self.room}", daemon=True)
        self._thread.start()

    def stop_copying(self) -> None:
        """Before the database is closed: end a base that is being copied."""
        self._stopping.set()
        if self._base is not None:
            self._base.join(FLUSH_SECONDS)

    def flush(self) -> None:
        """After the database was closed: write out what is left. A target that hangs is waited for a while only."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(FLUSH_SECONDS)

    def settle(self) -> None:
        """After the file was scrubbed: note where it stands, so that the next start continues the chain."""
        with self._lock:
            whole = self._chain is not None and not self._queue and not self.trouble.lasts
            if self._reader is not None:
                self._reader.close()
                self._reader = None
        wal = self._database.with_name(self._database.name + "-wal")
        if not whole or self._chain is None or (wal.exists() and wal.stat().st_size):
            return
        try:
            chain_notes.say_stopped(self.target, self._chain.name, self._written, self._digest, self._database)
            self._say_alive()
        except (OSError, TrustCenterError) as error:
            self.trouble.note(error)

    def _resume(self) -> bool:
        """Find the end of the newest chain, if the database continues it."""
        self.target.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._chain, self._based = None, None
        end = find_end(self.target, self._database, self._of[0])
        if end is None:
            return False
        self._of = (end.instance, self.room)
        self._chain, self._reader, self._digest = end.chain, end.reader, end.digest
        self._queued = self._written = end.number
        self._based = end.based
        return True

    def _before_checkpoint(self) -> None:
        # On the writer thread: nothing here may fail or wait for the target.
        try:
            self._collect()
            with self._lock:
                if self._reader is not None:
                    self._reader.checkpointing()
        except Exception as error:
            self._give_up(error)

    def _collect(self) -> None:
        """Read what was committed into the queue."""
        with self._lock:
            if self._reader is None or self._chain is None:
                return
            try:
                committed = self._reader.read()
                if committed is None:
                    return
                position = self._reader.position
                assert position is not None
                self._queued += self._queue.add(committed, position, self._clock())
                if self._queue.weight > _PENDING_BYTES and self.lag > _PENDING_SECONDS:
                    self._drop(MemoryError())
            except (WalGapError, MemoryError) as error:
                self._drop(error)

    def _give_up(self, error: BaseException) -> None:
        with self._lock:
            self._drop(error)

    def _drop(self, error: BaseException) -> None:
        """The chain ends here; the thread begins another with a base of its own."""
        self._queue.clear()
        self._chain = None
        self._based = None
        self.trouble.note(error)

    def _run(self) -> None:
        while not self._closed.wait(SECONDS):
            self._round()
        self._round()  # what the checkpoint of the close had read

    def _round(self) -> None:
        began = time.monotonic()
        try:
            self._collect()
            self._write_out()
            if self._chain is not None and self._based is not None:
                self._complete = began
                self.trouble.lasts = False
                if began >= self._alive_after:
                    self._alive_after = began + _ALIVE_SECONDS
                    self._say_alive()
        except Exception as error:
            self.trouble.note(error)
        if not self._stopping.is_set():
            self._base_if_due(began)

    def _write_out(self) -> None:
        while True:
            with self._lock:
                if not self._queue or self._chain is None:
                    return
                batch, chain = self._queue.take(), self._chain
            try:
                digest = chains.write_segment(
                    chain, self._written + 1, self._digest, batch.committed, batch.position,
                    time=stamp(batch.time), of=self._of,
                )  # fmt: skip
            except FileExistsError as error:  # a clone of this instance ships into the same directory
                self._give_up(error)
                return
            with self._lock:
                if self._chain is not chain:
                    return
                self._queue.done()
                self._written, self._digest = self._written + 1, digest

    def _say_alive(self) -> None:
        assert self._chain is not None
        moment = stamp(self._clock() - timedelta(seconds=self.lag))
        chain_notes.say_alive(self.target, self._chain.name, self._written, moment)

    def _base_if_due(self, now: float) -> None:
        if self._base is not None and self._base.is_alive():
            return
        hours = self._config.backups.continuous.base_hours
        due = self._based is None or (self._clock() - self._based).total_seconds() > hours * 3600
        if due and now >= self._base_after:
            self._base_after = now + _RETRY_SECONDS
            self._base = threading.Thread(target=self._make_base, name=f"backup-base-{self.room}", daemon=True)
            self._base.start()

    def _make_base(self) -> None:
        assert self._db is not None
        try:
            # Made here: on the writer thread a target that hangs would stop the service.
            begun = chains.new_chain(self.target, self._clock()) if self._chain is None else None
            chain, number, moment, source = self._db.write_sync(lambda _: self._cut(begun))
            try:
                if number in chain.numbers(".base"):  # nothing was committed since
                    self._based = moment
                    self._expire()
                    return
                chain.copy(number).unlink(missing_ok=True)  # a crash came before its description
                copy_base(self._config, self.room, source, chain.copy(number), stamp(moment), self._stopping.is_set)
            finally:
                source.close()
            while self._chain is chain and self._written < number:  # its segment must be there first
                if self._stopping.wait(0.05):
                    raise Abandoned
            if self._chain is chain:
                chains.write_base(chain, number, chain.digest(number), stamp(moment))
                self._based = moment
                self._expire()
        except Abandoned:
            pass
        except Exception as error:
            self.trouble.note(error)

    def _expire(self) -> None:
        chains.expire(self.target, self._clock(), self._config.backups.continuous.days)

    def _cut(self, begun: Chain | None) -> tuple[Chain, int, datetime, sqlite3.Connection]:
        """On the writer thread, so that nothing commits meanwhile: a snapshot and the number of its last segment."""
        self._collect()
        with self._lock:
            if begun is not None:
                if self._reader is not None:
                    self._reader.close()
                self._reader = WalReader(self._database)
                self._reader.read(keep=False)
                self._queue.clear()
                self._queued = self._written = 0
                self._digest = ""
                self._chain = begun
            else:
                self._queue.close()
            if self._chain is None:
                raise Abandoned
            chain, number, moment = self._chain, self._queued, self._clock()
        source = open_reader(self._database)
        try:
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            source.close()
            raise
        return chain, number, moment, source
