"""When the write-ahead log is copied back into the file, and who waits for it."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

from trustcenter.store import Connection, Database, sqlite


def _insert(word: str):
    return lambda conn: conn.execute("INSERT INTO item (word) VALUES (?) RETURNING id", (word,)).fetchone()[0]


async def test_a_long_wal_is_copied_back_while_others_wait(tmp_path: Path, items, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "WAL_BYTES_MAX", 2**20)
    db = await Database.open(tmp_path / "a.db", items)
    await db.write(_insert("one"))
    body, log = bytes(2**18), tmp_path / "a.db-wal"

    def add(conn: Connection) -> None:
        conn.execute("INSERT INTO note VALUES (1, ?)", (body,))

    for _ in range(40):  # 20 MB in 80 rows, and the next operation waits already
        await asyncio.gather(db.write(add, large=True), db.write(add, large=True))
    assert log.stat().st_size < 5 * 2**20
    await db.close()


async def test_a_long_read_lets_writers_wait_seldom(tmp_path: Path, items, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "WAL_BYTES_MAX", 2**20)
    monkeypatch.setattr(sqlite, "WAL_RESTART_BYTES", 16 * 4096)
    waits = []
    monkeypatch.setattr(sqlite.SqliteEngine, "_wait_for", lambda *_: waits.append(1))
    db = await Database.open(tmp_path / "a.db", items)
    await db.write(_insert("one"))
    async with aclosing(db.stream(lambda conn: conn.execute("SELECT 1 FROM item UNION ALL SELECT 2"), batch=1)) as read:
        assert await anext(read) == [(1,)]
        big = bytes(2**18)
        for _ in range(12):  # 3 MB
            await db.write(lambda conn: conn.execute("INSERT INTO note VALUES (1, ?)", (big,)), large=True)
        assert len(waits) >= 2
        del waits[:]
        for n in range(30):
            await asyncio.gather(db.write(_insert(f"a{n}")), db.write(_insert(f"b{n}")))
        assert len(waits) <= 1
    await db.close()


async def test_the_wal_is_copied_back_while_running(tmp_path: Path, items) -> None:
    db = await Database.open(tmp_path / "a.db", items)
    before = (tmp_path / "a.db").stat().st_size
    for start in range(0, 6000, 1000):
        await db.write(
            lambda c, s=start: c.executemany(
                "INSERT INTO item (word) VALUES (?)", ((os.urandom(8).hex(),) for _ in range(1000))
            )
        )
    await db.write(_insert("x"))
    async with asyncio.timeout(60):
        while (tmp_path / "a.db").stat().st_size <= before:  # noqa: ASYNC110 - the writer copies it when it has time
            await asyncio.sleep(0.02)
    await db.close()
