"""A PostgreSQL connection that understands the statements written for both stores."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NoReturn

import psycopg
from psycopg import sql as build
from psycopg.adapt import Dumper, Loader
from psycopg.pq import TransactionStatus

from .connection import Cursor, IntegrityError
from .dialect import copied, statement

_COPY_FROM: Final = 8  # rows from which COPY beats single statements
_FETCH: Final = 5000  # rows fetched at a time from a cursor at the server


class _Truth(Dumper):
    """Truth values are the integers 0 and 1 in our tables."""

    oid = psycopg.adapters.types["int2"].oid

    def dump(self, obj: Any) -> bytes:
        return b"1" if obj else b"0"


class _Sum(Loader):
    """A sum of integers, which PostgreSQL makes a numeric."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text else int(text)


class PostgresSession:
    """As `trustcenter.store.engine.Session`. Not for two threads at one time.

    Values come back as int, float, str, bytes and None only. A constraint violation is `IntegrityError`.
    """

    def __init__(self, conninfo: str, *, streaming: bool = False) -> None:
        """Connect.

        Args:
            conninfo: libpq's connection string.
            streaming: results of SELECT stay at the server and are fetched in portions.

        Raises:
            psycopg.OperationalError: no connection.
        """
        self._conn = psycopg.connect(
            conninfo, autocommit=True, application_name="trustcenter", connect_timeout=10, prepare_threshold=3
        )
        self._streaming = streaming
        self._types: dict[tuple[str, str], list[tuple[str, str]]] = {}
        adapters = self._conn.adapters
        adapters.register_dumper(bool, _Truth)
        adapters.register_loader("numeric", _Sum)
        # Long transactions of a process that was stopped must not hold the others up for ever.
        self._conn.execute("SET idle_in_transaction_session_timeout = '10min'")
        self._conn.execute("SET client_min_messages = warning")

    @property
    def version(self) -> int:
        """Of the server, as 150018."""
        return self._conn.info.server_version

    @property
    def broken(self) -> bool:
        """Whether the server is gone, or closed the connection."""
        return self._conn.closed or self._conn.info.transaction_status == TransactionStatus.UNKNOWN

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, be it one that failed and waits for its rollback."""
        return not self._conn.closed and self._conn.info.transaction_status in (
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        )

    def close(self) -> None:
        """End the connection."""
        self._conn.close()

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""
        text = statement(sql)
        try:
            if self._streaming and self.in_transaction and sql.lstrip().startswith("SELECT"):
                cursor = self._conn.cursor(name=f"c{uuid.uuid4().hex}", binary=True)
                cursor.itersize = _FETCH
                return cursor.execute(text, parameters)  # type: ignore[return-value, arg-type, unused-ignore]
            return self._conn.cursor(binary=True).execute(text, parameters)  # type: ignore[arg-type, unused-ignore]
        except psycopg.Error as error:
            _raise(error)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for every tuple; inserts by COPY, others in one pipeline."""
        rows = iter(parameters)
        first = list(itertools.islice(rows, _COPY_FROM))
        cursor = self._conn.cursor(binary=True)
        try:
            plan = copied(sql) if len(first) == _COPY_FROM else None
            if plan is not None:
                self._copy(cursor, *plan, itertools.chain(first, rows))
            elif first:
                cursor.executemany(statement(sql), itertools.chain(first, rows))  # type: ignore[arg-type, unused-ignore]
        except psycopg.Error as error:
            _raise(error)
        return cursor  # type: ignore[return-value, unused-ignore]

    def select_in(self, sql: str, before: Sequence[Any], values: Sequence[Any], after: Sequence[Any]) -> Iterator[Any]:
        """Rows of a query with `{values}`: one array instead of a list of parameters."""
        if isinstance(values[0], int):
            kind, literal = "bigint[]", "{" + ",".join(map(str, values)) + "}"
        elif isinstance(values[0], bytes):
            kind, literal = "bytea[]", "{" + ",".join(f'"\\\\x{value.hex()}"' for value in values) + "}"
        else:
            kind, literal = "text[]", list(values)  # type: ignore[assignment]
        yield from self.execute(sql.replace("IN {values}", f"= ANY(?::{kind})"), (*before, literal, *after))

    def copy(self, table: str, columns: Sequence[str], rows: bytes) -> None:
        """Insert rows that are packed already, in the binary COPY format."""
        query = build.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            build.Identifier(table), build.SQL(", ").join(map(build.Identifier, columns))
        )
        try:
            with self._conn.cursor(binary=True).copy(query) as copy:
                copy.write(rows)
        except psycopg.Error as error:
            _raise(error)

    def _copy(
        self,
        cursor: psycopg.Cursor[Any],
        table: str,
        columns: str,
        fixed: tuple[str | None, ...],
        rows: Iterator[Sequence[Any]],
    ) -> None:
        names = self._types.get((table, columns)) or self._describe(table, columns)
        # A fixed value is inserted with every row; those of ours are few and come last or first.
        places = [index for index, value in enumerate(fixed) if value is None]
        constants = {
            index: int(value) if names[index][1] == "int8" else value
            for index, value in enumerate(fixed)
            if value is not None
        }
        query = build.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            build.Identifier(table), build.SQL(", ").join(build.Identifier(name) for name, _ in names)
        )
        with cursor.copy(query) as copy:
            copy.set_types([kind for _, kind in names])
            if not constants:
                for row in rows:
                    copy.write_row(row)
                return
            whole: list[Any] = [constants.get(index) for index in range(len(fixed))]
            for row in rows:
                for place, value in zip(places, row, strict=True):
                    whole[place] = value
                copy.write_row(whole)

    def _describe(self, table: str, columns: str) -> list[tuple[str, str]]:
        """Name and type of the columns of an INSERT, in its order."""
        found = self._conn.execute(
            "SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (table,),
        ).fetchall()
        kinds: dict[str, str] = dict(found)
        wanted = [name.strip() for name in columns.split(",")] if columns else list(kinds)
        names = self._types[table, columns] = [(name, kinds[name]) for name in wanted]
        return names


def _raise(error: psycopg.Error) -> NoReturn:
    if isinstance(error, psycopg.IntegrityError):
        # Its text may hold values of the row: only the kind of violation goes on.
        raise IntegrityError(error.sqlstate or "constraint violated") from None
    raise error
