"""The continuous backups of one instance: which there are, and when they begin and end around the databases."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Final

from trustcenter.clock import Clock, utc_now
from trustcenter.config import Config
from trustcenter.errors import ConfigError, TrustCenterError
from trustcenter.instance import places
from trustcenter.instance.parts import ROOMS, head_path, keys_path
from trustcenter.store import Database
from trustcenter.store.connections import FileLock, open_writer
from trustcenter.store.scrub import scrub

from . import backup
from .shipping import FLUSH_SECONDS, SECONDS, Shipper

KEYS_NAME: Final = "newest.tc"
_AGAIN_SECONDS: Final = 3600.0  # an unchanged key store is copied again, so that its age says that copying works

_log = logging.getLogger(__name__)


class Continuous:
    """Continuous backups of every part that the configuration names a directory for."""

    def __init__(self, config: Config, clock: Clock = utc_now) -> None:
        """Nothing is touched yet.

        Raises:
            ConfigError: two parts would share a directory, one lies inside the instance, or a room has no file.
        """
        self._config = config
        directories = targets(config)
        self.shippers: dict[str, Shipper] = {}
        for room in config.rooms:
            location = places.database(config, room)
            if room not in directories:
                continue
            if not isinstance(location, Path):
                raise ConfigError(
                    "the continuous backup of a PostgreSQL database is the server's WAL archiving",
                    hint="docs/how-to/backups.md",
                    where=f"backups.continuous.{room}",
                )
            self.shippers[room] = Shipper(config, room, location, directories[room], clock)
        self._keys = {room: directories[f"{room}_keys"] for room in config.rooms if f"{room}_keys" in directories}
        self._copied: dict[str, tuple[object, float]] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.keys_failures = 0

    @property
    def configured(self) -> bool:
        """Whether anything is backed up continuously."""
        return bool(self.shippers or self._keys)

    @property
    def lag(self) -> float:
        """Seconds: everything committed to either database longer ago than this can be restored."""
        return max((shipper.lag for shipper in self.shippers.values()), default=0.0)

    @property
    def failures(self) -> int:
        """How often something could not be copied."""
        return self.keys_failures + sum(shipper.trouble.count for shipper in self.shippers.values())

    def recover(self) -> None:
        """Before the databases are opened. After a crash their write-ahead logs are shipped, folded in and scrubbed.

        What was deleted is then gone from the files, as it is after an orderly stop.

        Raises:
            AlreadyRunningError: the service runs.
        """
        for room in ROOMS:
            database = places.database(self._config, room)
            if isinstance(database, Path) and _has_wal(database):
                lock = FileLock(database)
                try:
                    shipper = self.shippers.get(room)
                    if shipper is not None:
                        shipper.recover()
                    _fold(database)
                    if shipper is not None:
                        shipper.settle()
                finally:
                    lock.release()

    def attach(self, databases: dict[str, Database]) -> None:
        """Follow the opened databases and copy the key stores."""
        for room, shipper in self.shippers.items():
            shipper.attach(databases[room])
        if self._keys:
            self._thread = threading.Thread(target=self._copy_keys, name="backup-keys", daemon=True)
            self._thread.start()

    def stop_copying(self) -> None:
        """Before the databases are closed."""
        for shipper in self.shippers.values():
            shipper.stop_copying()

    def flush(self) -> None:
        """After they were closed."""
        for shipper in self.shippers.values():
            shipper.flush()
        self._ended.set()
        if self._thread is not None:
            self._thread.join(FLUSH_SECONDS)

    def settle(self) -> None:
        """After their files were scrubbed."""
        for shipper in self.shippers.values():
            shipper.settle()

    def _copy_keys(self) -> None:
        while not self._ended.wait(SECONDS):
            self._copy_changed()
        self._copy_changed()  # the stop has written the head

    def _copy_changed(self) -> None:
        for room, directory in self._keys.items():
            try:
                files = [keys_path(self._config, room), *([head_path(self._config)] if room == "registrar" else [])]
                state = [(s.st_ino, s.st_size, s.st_mtime_ns) for s in (path.stat() for path in files)]
                before, when = self._copied.get(room, (None, 0.0))
                if state != before or time.monotonic() - when > _AGAIN_SECONDS:
                    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                    backup.take(self._config, room, "keys", directory / KEYS_NAME, replace=True)
                    self._copied[room] = (state, time.monotonic())
            except (OSError, TrustCenterError) as error:
                self.keys_failures += 1
                if self.keys_failures == 1:
                    _log.error("the continuous backup of the %s's keys fails (%s)", room, type(error).__name__)


def targets(config: Config) -> dict[str, Path]:
    """Directory of each part that is backed up continuously: registrar, registrar_keys, comparator, comparator_keys.

    Raises:
        ConfigError: two parts would share a directory, or one lies inside the instance.
    """
    settings = config.backups.continuous
    named = {
        part: config.path(directory).resolve()
        for room in config.rooms
        for part in (room, f"{room}_keys")
        if (directory := getattr(settings, part)) is not None
    }
    for part, directory in named.items():
        if directory.is_relative_to(Path(config.base).resolve()):
            raise ConfigError(
                "a backup inside the instance's directory is lost with it",
                code="backup_inside",
                hint="name a directory on another disk",
                where=f"backups.continuous.{part}",
            )
        if any(other is not directory and directory.is_relative_to(other) for other in named.values()):
            raise ConfigError(
                "two parts would share a directory: together they undo the separation",
                code="backups_together",
                hint="name a directory of its own for each part, with its own access rights",
                where=f"backups.continuous.{part}",
            )
    return named


def _has_wal(database: Path) -> bool:
    try:
        return database.with_name(database.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _fold(database: Path) -> None:
    """Copy the write-ahead log back and clear what the pages have left over. What fails shows when it is opened."""
    with contextlib.suppress(Exception):
        with contextlib.closing(open_writer(database)) as conn:
            busy, _, _ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            scrub(database)
