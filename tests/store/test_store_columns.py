"""Rows given by columns: every kind of column, few and many rows, on both stores."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from trustcenter.store import (
    Connection,
    Database,
    IntegrityError,
    Location,
    Migration,
    beside,
    insert,
    insert_rows,
    update_rows,
)
from trustcenter.store.columns import FEW

TABLE = (
    Migration(
        1,
        "rows",
        "CREATE TABLE thing (place INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,"
        " PRIMARY KEY (place, number)) STRICT;",
    ),
)
QUERY = "SELECT place, number, body FROM thing ORDER BY number"


@pytest.mark.parametrize("count", [0, 1, FEW - 1, FEW, 250])
@pytest.mark.parametrize("scattered", [True, False])
async def test_rows_are_those_that_were_given(place: Location, count: int, scattered: bool) -> None:
    bodies = np.frombuffer(os.urandom(7 * count), np.uint8).reshape(count, 7)
    numbers = np.arange(count, dtype=np.int64) * 2**40 - 5 if scattered else range(9, 9 + count)
    database = await Database.open(place, TABLE)
    try:
        await database.write(
            lambda conn: insert(conn, "thing", {"place": -3, "number": numbers, "body": bodies}, count)
        )
        found = await database.read(lambda conn: conn.execute(QUERY).fetchall())
    finally:
        await database.close()
    assert found == [(-3, int(number), bytes(body)) for number, body in zip(numbers, bodies, strict=True)]


@pytest.mark.parametrize("count", [1, FEW, 250])
async def test_a_text_can_be_the_same_in_all_rows(place: Location, count: int) -> None:
    words = (Migration(1, "words", "CREATE TABLE word (number INTEGER PRIMARY KEY, word TEXT NOT NULL) STRICT;"),)
    database = await Database.open(place, words)
    try:
        columns = {"number": range(1, 1 + count), "word": "größer"}
        await database.write(lambda conn: insert(conn, "word", columns, count))
        found = await database.read(lambda conn: conn.execute("SELECT number, word FROM word").fetchall())
    finally:
        await database.close()
    assert sorted(found) == [(number, "größer") for number in range(1, 1 + count)]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 63, 341])
async def test_rows_are_updated_each_with_its_own_values(place: Location, count: int) -> None:
    rows = [(number % 3, number, b"before") for number in range(2 * count)]
    database = await Database.open(place, TABLE)
    changes = [(bytes([number % 256]) * (number % 5 + 1), number % 3, number) for number in range(0, 2 * count, 2)]

    def work(conn: Connection) -> None:
        insert_rows(conn, "thing", rows)
        update_rows(conn, "thing", "body = ?", "place = ? AND number = ? AND place <> 1", changes)

    try:
        await database.write(work)
        found = await database.read(lambda conn: conn.execute(QUERY).fetchall())
    finally:
        await database.close()
    after = {number: body for body, at, number in changes if at != 1}
    assert found == [(at, number, after.get(number, body)) for at, number, body in rows]


@pytest.mark.parametrize("count", [1, 7, 8, 63, 341])
async def test_rows_given_one_by_one_are_all_there(place: Location, count: int) -> None:
    rows = [(1, number, bytes([number % 256]) * (number % 5 + 1)) for number in range(count)]
    database = await Database.open(place, TABLE)
    try:
        await database.write(lambda conn: insert_rows(conn, "thing", rows))
        assert await database.read(lambda conn: conn.execute(QUERY).fetchall()) == rows
    finally:
        await database.close()


@pytest.mark.parametrize("count", [2, 100])
async def test_a_row_that_is_there_undoes_all_of_it(place: Location, count: int) -> None:
    bodies = np.zeros((count, 4), np.uint8)
    columns = {"place": 1, "number": range(count), "body": bodies}
    database = await Database.open(place, TABLE)
    try:
        last = columns | {"number": range(count - 1, count), "body": bodies[-1:]}
        await database.write(lambda conn: insert(conn, "thing", last, 1))

        def again(conn) -> None:
            with beside(lambda: insert(conn, "thing", columns, count)):
                pass

        with pytest.raises(IntegrityError):
            await database.write(again)
        assert len(await database.read(lambda conn: conn.execute(QUERY).fetchall())) == 1
        await database.write(lambda conn: conn.execute("DELETE FROM thing WHERE number = ?", (count - 1,)))
        await database.write(again)
        assert len(await database.read(lambda conn: conn.execute(QUERY).fetchall())) == count
    finally:
        await database.close()


def test_work_beside_has_ended_when_the_block_fails() -> None:
    started, ended = threading.Event(), []

    def work() -> None:
        started.wait(10)
        ended.append(threading.current_thread())

    def fail() -> None:
        with beside(work):
            started.set()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert ended
    assert ended[0] is not threading.current_thread()
