"""The PostgreSQL engine: one database of a server for one room, shared by any number of API processes.

What makes SQLite's one writer safe holds here too: a transaction that writes takes an advisory lock first, so writes
of all processes come one after the other, and what one reads in its transaction is what the last one committed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

try:
    import psycopg
except ImportError:  # pragma: no cover - the extra is not installed
    raise ImportError("the PostgreSQL store needs psycopg: pip install 'trustcenter[postgres]'") from None

from trustcenter.errors import (
    AlreadyRunningError,
    ConfigError,
    NotFoundError,
    StoreError,
    StoreUnavailableError,
    TrustCenterError,
    WrongStoreError,
)

from . import migrations as steps
from .dialect import schema
from .engine import Engine, Session
from .migrations import APPLICATIONS, Migration
from .pgsession import PostgresSession

VERSION_MIN: Final = 150_000  # PostgreSQL 15
_FAMILY: Final = 0x5443  # "TC": first half of our advisory locks, beside which the room or a name stands
_OPEN, _WRITE = 1, 2
_LEFT: Final = 5.0  # seconds: the server lets go of a lock a moment after its process has ended
_LOCAL: Final = ("", "localhost", "127.0.0.1", "::1")
# Settings that safety depends on: a server that acknowledges before the disk did loses acknowledged pseudonyms.
_REQUIRED: Final = (("fsync", ("on",)), ("full_page_writes", ("on",)), ("synchronous_commit", ("on", "remote_apply")))


def check_conninfo(conninfo: str) -> None:
    """Refuse a connection string that holds a password or would send data unprotected.

    Raises:
        ConfigError: not a connection string; it has a password; a remote host without a verified certificate.
    """
    try:
        parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    except psycopg.Error:
        raise ConfigError(
            "a PostgreSQL connection string cannot be read", hint="as in: host=/run/postgresql dbname=registrar"
        ) from None
    if "password" in parts:
        raise ConfigError(
            "a PostgreSQL connection string must not hold a password",
            hint="name a file with it: passfile=/path, or use peer or certificate authentication",
        )
    hosts = str(parts.get("host", "")).split(",") + str(parts.get("hostaddr", "")).split(",")
    remote = any(host not in _LOCAL and not host.startswith(("/", "@")) for host in hosts)
    if remote and parts.get("sslmode") != "verify-full":
        raise ConfigError(
            "a PostgreSQL server beyond this machine needs a verified certificate",
            hint="add sslmode=verify-full sslrootcert=/path/of/ca.pem",
        )


class PostgresEngine(Engine):
    """One database of a server. `conninfo` is libpq's; what it leaves out comes from PG* variables and files."""

    def __init__(self, conninfo: str) -> None:
        """Nothing is opened yet."""
        check_conninfo(conninfo)
        self._conninfo = conninfo
        self._guard: PostgresSession | None = None  # holds the lock that says this process has the store

    def prepare(self, migrations: Sequence[Migration], application: str, *, exclusive: bool) -> Session:
        """As the base says; an empty database is claimed for the room."""
        self._guard = self._connect()
        try:
            _check_server(self._guard)
            self._take(self._guard, exclusive)
            conn = self._connect()
            try:
                self.begin_write(conn)
                _claim(conn, application)
                _migrate(conn, migrations)
                conn.execute("COMMIT")
            except BaseException:
                conn.close()
                raise
        except BaseException:
            self.release()
            raise
        return conn

    def check(self, migrations: Sequence[Migration], application: str) -> bool:
        """As the base says."""
        conn = self.reader()
        try:
            self.begin_read(conn)
            if not _exists(conn, "room"):
                raise NotFoundError("the database is empty", hint="create the instance first")
            if conn.execute("SELECT application FROM room").fetchone() != (application,):
                raise _wrong(application)
            return not steps.missing(_applied(conn), migrations)
        finally:
            conn.close()

    def release(self) -> None:
        """Let others have the store for themselves."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def reader(self) -> Session:
        """As the base says."""
        conn = self._connect()
        conn.execute("SET default_transaction_read_only = on")
        return self._verified(conn)

    def look(self, conn: Session) -> Any:
        """As the base says."""
        return None if self.watch is None else self.watch.look(conn)

    def _verified(self, conn: PostgresSession) -> PostgresSession:
        """A new connection may lead to another server than the last one did: to a restored one, or a late replica."""
        if self.watch is not None and self.known is not None:
            try:
                self.begin_read(conn)
                self.watch.check(conn, self.known)
                conn.execute("ROLLBACK")
            except BaseException:
                conn.close()
                raise
        return conn

    def streamer(self) -> Session:
        """As the base says: with cursors at the server."""
        conn = self._connect(streaming=True)
        conn.execute("SET default_transaction_read_only = on")
        return conn

    def begin_write(self, conn: Session) -> None:
        """As the base says. READ COMMITTED: every statement sees what was committed before the lock was given."""
        conn.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        conn.execute("SELECT pg_advisory_xact_lock(?, ?)", (_FAMILY, _WRITE))

    def begin_read(self, conn: Session) -> None:
        """As the base says."""
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def renew(self, conn: Session, again: Callable[[], Session]) -> Session:
        """As the base says: the server may have been restarted."""
        assert isinstance(conn, PostgresSession)
        if conn.broken:
            conn.close()
            return again()
        return conn

    def writer_again(self) -> Session:
        """As the base says. The lock of this process is taken anew as well; it went with the server."""
        if self._guard is not None and self._guard.broken:
            self._guard.close()
            self._guard = self._connect()
            _check_server(self._guard)
            self._take(self._guard, exclusive=False)
        return self._verified(self._connect())

    def settle(self, conn: Session, waiting: bool) -> None:
        """The server looks after itself."""

    def finish(self, conn: Session) -> None:
        """The server looks after itself."""

    def translate(self, error: BaseException) -> BaseException:
        """As the base says."""
        if not isinstance(error, psycopg.Error):
            return error
        translated: TrustCenterError = StoreUnavailableError(
            "the database cannot take the operation now",
            hint="check the PostgreSQL server and its disk, then try again",
        )
        if not isinstance(
            error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.errors.ReadOnlySqlTransaction
        ):
            return error
        translated.__cause__ = error
        return translated

    def fatal(self, error: BaseException) -> bool:
        """A server whose disk fails stops by itself."""
        return False

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """As the base says; the lock ends with its connection."""
        conn = self._connect()
        try:
            yield bool(conn.execute("SELECT pg_try_advisory_lock(?, hashtext(?))", (_FAMILY + 1, name)).fetchone()[0])
        finally:
            conn.close()

    def _connect(self, *, streaming: bool = False) -> PostgresSession:
        return PostgresSession(self._conninfo, streaming=streaming)

    @staticmethod
    def _take(conn: PostgresSession, exclusive: bool) -> None:
        call = "pg_try_advisory_lock" if exclusive else "pg_try_advisory_lock_shared"
        last = time.monotonic() + _LEFT
        while not conn.execute(f"SELECT {call}(?, ?)", (_FAMILY, _OPEN)).fetchone()[0]:
            if time.monotonic() < last:
                time.sleep(0.05)
                continue
            raise AlreadyRunningError(
                "another process has this database open",
                hint="stop the running service first, or talk to it instead of to its database",
            )


def _check_server(conn: PostgresSession) -> None:
    if conn.version < VERSION_MIN:
        raise StoreError("the PostgreSQL server is too old", hint="version 15 or newer is needed")
    for name, accepted in _REQUIRED:
        (value,) = conn.execute("SELECT current_setting(?)", (name,)).fetchone()
        if value not in accepted:
            raise StoreError(
                "the PostgreSQL server has a setting that loses acknowledged data in a crash",
                hint=f"set it to {accepted[0]}",
                where=name,
            )
    if conn.execute("SELECT current_setting('server_encoding')").fetchone() != ("UTF8",):
        raise StoreError("the PostgreSQL database must have the encoding UTF8", hint="createdb --encoding UTF8")


def _exists(conn: Session, table: str) -> bool:
    found = conn.execute("SELECT to_regclass(?) IS NOT NULL", (table,)).fetchone()
    return bool(found[0])


def _wrong(application: str) -> WrongStoreError:
    return WrongStoreError(
        f"this is not a {application}'s database",
        hint="check config.toml: each room has its own database, used for nothing else",
    )


def _claim(conn: Session, application: str) -> None:
    if application not in APPLICATIONS:
        raise StoreError("no such application of a database")
    if not _exists(conn, "room"):
        (tables,) = conn.execute(
            "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchone()
        if tables:
            raise _wrong(application)
        conn.execute("CREATE TABLE room (application TEXT NOT NULL)")
        conn.execute("INSERT INTO room VALUES (?)", (application,))
    elif conn.execute("SELECT application FROM room").fetchone() != (application,):
        raise _wrong(application)


def _applied(conn: Session) -> dict[int, str]:
    if not _exists(conn, "schema_migration"):
        return {}
    return dict(conn.execute("SELECT number, checksum FROM schema_migration ORDER BY number").fetchall())


def _migrate(conn: Session, migrations: Sequence[Migration]) -> None:
    """All missing steps in the caller's transaction: PostgreSQL's schema changes are transactional."""
    for step in steps.missing(_applied(conn), migrations):
        conn.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration"
            " (number BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
        )
        for text in schema(step):
            conn.execute(text)
        conn.execute("INSERT INTO schema_migration VALUES (?,?,?)", (step.number, step.name, step.checksum))
