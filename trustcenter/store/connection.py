"""What a room sees of its database: the few calls that SQLite's and PostgreSQL's connections share.

Statements are written once, in the SQL that both understand: question marks for values, ON CONFLICT and RETURNING
instead of SQLite's own words, lists of values through `select_in`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

IntegrityError = sqlite3.IntegrityError  # a constraint was violated; the PostgreSQL store raises it too
_LIST_MAX: Final = 4096  # values of one statement, a power of two; SQLite's default bound is 32,766


class Cursor(Protocol):
    """Rows of one statement."""

    @property
    def rowcount(self) -> int:
        """Rows that an UPDATE or DELETE changed."""

    def fetchone(self) -> Any:
        """The next row, a tuple, or None."""

    def fetchall(self) -> list[Any]:
        """All further rows."""

    def fetchmany(self, size: int = ..., /) -> list[Any]:
        """Up to `size` further rows."""

    def __iter__(self) -> Iterator[Any]:
        """All further rows, one after the other."""


class Connection(Protocol):
    """A transaction that a function is lent by `write`, or a snapshot by `read`."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for every tuple of values."""


def select_in(
    conn: Connection, sql: str, before: Sequence[Any], values: Sequence[Any], after: Sequence[Any] = ()
) -> Iterator[Any]:
    """Rows of a query whose text has `{values}` in the place of a list, as in `... AND serial IN {values}`.

    Args:
        conn: transaction or snapshot.
        sql: one statement; `{values}` stands after IN.
        before: values of the question marks in front of it.
        values: of the list, any number of them; nothing is asked if there are none.
        after: values of the question marks behind it.
    """
    if not values:
        return
    if not isinstance(conn, sqlite3.Connection):
        yield from conn.select_in(sql, before, values, after)  # type: ignore[attr-defined]
        return
    for start in range(0, len(values), _LIST_MAX):
        part = list(values[start : start + _LIST_MAX])
        # Few lengths, filled up with a value that is there: each text stays in the cache of statements with memory
        # in proportion to its length, so texts of any length a client likes would fill the memory.
        length = 1 << (len(part) - 1).bit_length()
        part += part[-1:] * (length - len(part))
        marks = f"({','.join('?' * length)})"
        yield from conn.execute(sql.replace("{values}", marks), (*before, *part, *after))
