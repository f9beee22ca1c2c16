"""Inserting many rows that are given by columns.

Rows of a pseudonym are made by the ten thousand. Binding every value of every row costs more than the insert itself,
so the database gets each column as one value: SQLite cuts it up in one statement, PostgreSQL gets the rows in its
binary COPY format, laid out by numpy.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .connection import Connection

# A constant, consecutive integers, integers (n,), or byte strings of one length (n, width).
Column: TypeAlias = int | str | range | NDArray[np.int64] | NDArray[np.uint8]

FEW: Final = 16  # rows; below that one statement per row costs less than cutting columns
_BOUND: Final = 300  # values in one statement, at most
_FEWER: Final = (32, 8, 1)  # rows in a statement where there are fewer than that
_NUMBERS: Final = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"
_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # of the binary COPY format, with flags and extension
_END: Final = b"\xff\xff"

_beside = ThreadPoolExecutor(2, "store-insert")  # one for each room's writer


@contextlib.contextmanager
def beside(work: Callable[[], None], worth: bool = True) -> Iterator[None]:
    """Run `work`, the only use of a connection meanwhile, while the block computes; both are done when it ends.

    Raises:
        Exception: what `work` raised; the transaction is to be rolled back.
    """
    if not worth:
        work()
        yield
        return
    running = _beside.submit(work)
    try:
        yield
    except BaseException:
        running.exception()
        raise
    running.result()


def insert(conn: Connection, table: str, columns: Mapping[str, Column], count: int) -> None:
    """Insert rows.

    Args:
        conn: of the writing transaction.
        table: its name, a constant of ours, as are those of the columns.
        columns: name to values, `count` of each but of constants.
        count: of rows.

    Raises:
        IntegrityError: a row is there already.
    """
    if not isinstance(conn, sqlite3.Connection):
        conn.copy(table, list(columns), packed(list(columns.values()), count))  # type: ignore[attr-defined]
    elif count < FEW or any(_scattered(column) for column in columns.values()):
        _bind(conn, table, columns, count)
    else:
        _cut(conn, table, columns, count)


def _scattered(column: Column) -> bool:
    return isinstance(column, np.ndarray) and column.ndim == 1


def _head(table: str, columns: Mapping[str, Column]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) "


def _values(column: Column, count: int) -> Any:
    """One value per row."""
    if isinstance(column, int | str):
        return [column] * count
    if isinstance(column, range):
        return column
    if column.ndim == 1:
        return column.tolist()
    width, raw = column.shape[1], column.tobytes()
    return [raw[at : at + width] for at in range(0, len(raw), width)]


def _bind(conn: sqlite3.Connection, table: str, columns: Mapping[str, Column], count: int) -> None:
    """Rows with their values bound, many in a statement.

    Every call of the database hands the interpreter to other threads and waits to get it back.
    """
    rows = zip(*(_values(column, count) for column in columns.values()), strict=True)
    _bind_rows(conn, _head(table, columns), len(columns), rows, count)


def insert_rows(conn: Connection, table: str, rows: Sequence[tuple[Any, ...]], conflict: str = "") -> None:
    """Insert rows that are given one by one: for values that are no columns of one length.

    Args:
        conn: of the writing transaction.
        table: its name, a constant of ours.
        rows: a value for every column of the table, in its order.
        conflict: "ON CONFLICT ..." for rows that are there already.

    Raises:
        IntegrityError: a row is there already.
    """
    if not rows:
        return
    head, width = f"INSERT INTO {table} ", len(rows[0])
    if isinstance(conn, sqlite3.Connection):
        _bind_rows(conn, head, width, iter(rows), len(rows), conflict)
    else:
        conn.executemany(f"{head}VALUES ({','.join('?' * width)}) {conflict}", rows)


def update_rows(conn: Connection, table: str, change: str, where: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Update rows one by one, each with values of its own. No row must be meant twice.

    Args:
        conn: of the writing transaction.
        table: its name, a constant of ours.
        change: "column = ?, ..."
        where: "key = ? AND ...": which one it is.
        rows: a value for every question mark, in their order.
    """
    if not rows:
        return
    if not isinstance(conn, sqlite3.Connection):
        conn.executemany(f"UPDATE {table} SET {change} WHERE {where}", rows)  # noqa: S608 - constants
        return
    number = iter(range(1, 1 + len(rows[0])))
    change, where = (re.sub(r"\?", lambda _: f"v.column{next(number)}", text) for text in (change, where))
    _bind_rows(conn, f"UPDATE {table} SET {change} FROM (", len(rows[0]), iter(rows), len(rows), f") v WHERE {where}")  # noqa: S608


def _bind_rows(
    conn: sqlite3.Connection, head: str, width: int, rows: Iterator[Sequence[Any]], total: int, tail: str = ""
) -> None:
    one = f"({','.join('?' * width)})"
    most = max(1, _BOUND // width)
    for each in (most, *(size for size in _FEWER if size < most or size == 1)):  # few statements, each prepared once
        values = f"{head}VALUES {','.join([one] * each)} {tail}"
        for _ in range(total // each):
            conn.execute(values, tuple(chain.from_iterable(islice(rows, each))))
        total %= each


def _cut(conn: sqlite3.Connection, table: str, columns: Mapping[str, Column], count: int) -> None:
    """Rows cut out of whole columns by the database: needs no interpreter."""
    terms: list[str] = []
    values: list[int | str | bytes] = []
    for column in columns.values():
        if isinstance(column, int | str):
            terms.append("?")
            values.append(column)
        elif isinstance(column, range):
            terms.append("? + i")
            values.append(column.start)
        else:
            width = column.shape[1]
            terms.append("substr(?, i * ? + 1, ?)")
            values += [column.tobytes(), width, width]
    conn.execute(f"{_head(table, columns)}{_NUMBERS} SELECT {', '.join(terms)} FROM n", (count, *values))  # noqa: S608


def packed(columns: Sequence[Column], count: int) -> bytes:
    """The rows in PostgreSQL's binary COPY format: int16 number of fields, then int32 length and value of each."""
    fields: list[tuple[str, Any]] = [("fields", ">i2")]
    columns = [_text(column, count) if isinstance(column, str) else column for column in columns]
    for index, column in enumerate(columns):
        kind = ("u1", column.shape[1]) if isinstance(column, np.ndarray) and column.ndim == 2 else ">i8"
        fields += [(f"length {index}", ">i4"), (f"value {index}", kind)]
    rows = np.empty(count, fields)
    rows["fields"] = len(columns)
    for index, column in enumerate(columns):
        value = rows[f"value {index}"]
        rows[f"length {index}"] = value.dtype.itemsize * (value.shape[1] if value.ndim == 2 else 1)
        value[...] = np.arange(column.start, column.stop) if isinstance(column, range) else column
    return _SIGNATURE + rows.tobytes() + _END


def _text(constant: str, count: int) -> NDArray[np.uint8]:
    return np.broadcast_to(np.frombuffer(constant.encode(), np.uint8), (count, len(constant.encode())))
