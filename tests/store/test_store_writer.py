"""Group commit: what is shared, what is not, and what a failure undoes."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

from trustcenter.errors import StoreTransactionError, StoreUnavailableError
from trustcenter.store import Connection, Database, Location


def _insert(word: str):
    return lambda conn: conn.execute("INSERT INTO item (word) VALUES (?) RETURNING id", (word,)).fetchone()[0]


def _orphan(conn: Connection) -> None:
    conn.execute("INSERT INTO note VALUES (99, NULL)")


def _words(conn: Connection) -> list[str]:
    return [word for (word,) in conn.execute("SELECT word FROM item ORDER BY id")]


def _traced(db: Database, *more: str) -> list[str]:
    """The transaction statements that really run, as SQLite's trace tells."""
    seen: list[str] = []

    def trace(statement: str) -> None:
        if statement.startswith(("BEGIN", "COMMIT", "ROLLBACK", *more)):
            seen.append(statement)

    db.write_sync(lambda conn: conn.set_trace_callback(trace))
    seen.clear()
    return seen


async def test_waiting_operations_share_one_commit(tmp_path: Path, items) -> None:
    db = await Database.open(tmp_path / "a.db", items)
    seen = _traced(db)
    gate, entered = threading.Event(), threading.Event()

    def hold(conn: Connection) -> None:
        entered.set()
        gate.wait(10)

    held = asyncio.create_task(db.write(hold))
    await asyncio.to_thread(entered.wait, 10)
    tasks = [asyncio.create_task(db.write(_insert(f"w{n}"))) for n in range(100)]
    await asyncio.sleep(0.02)
    gate.set()
    await asyncio.gather(held, *tasks)
    commits = seen.count("COMMIT")
    assert commits <= 3, seen
    assert len(await db.read(_words)) == 100
    before = len(seen)
    for n in range(3):
        await db.write(_insert(f"alone{n}"))
    assert seen[before:].count("COMMIT") == 3, "a lone caller must not wait for others"
    await db.close()


async def test_results_arrive_after_the_commit_and_are_seen_by_readers(tmp_path: Path, items) -> None:
    db = await Database.open(tmp_path / "a.db", items)
    with sqlite3.connect(tmp_path / "a.db") as other:
        for n in range(20):
            await db.write(_insert(f"w{n}"))
            assert other.execute("SELECT count(*) FROM item").fetchone() == (n + 1,)
            assert len(await db.read(_words)) == n + 1
    other.close()
    await db.close()


async def test_a_failing_operation_undoes_only_itself(place: Location, items) -> None:
    db = await Database.open(place, items)
    gate = threading.Event()
    held = asyncio.create_task(db.write(lambda _: gate.wait(10)))

    def half(conn: Connection) -> None:
        _insert("half")(conn)
        raise KeyError("stop")

    calls = [
        _insert("one"),
        half,
        _insert("one"),
        _insert("two"),
        lambda c: c.execute("INSERT INTO note VALUES (99,NULL)"),
    ]
    tasks = [asyncio.create_task(db.write(call)) for call in calls]
    await asyncio.sleep(0.02)
    gate.set()
    await held
    one, key_error, twice, two, orphan = await asyncio.gather(*tasks, return_exceptions=True)
    assert one == 1
    assert isinstance(key_error, KeyError)
    assert isinstance(twice, sqlite3.IntegrityError)
    assert isinstance(two, int)
    assert isinstance(orphan, sqlite3.IntegrityError), "foreign keys must be enforced"
    assert await db.read(_words) == ["one", "two"]
    await db.close()


async def test_a_large_operation_has_a_transaction_of_its_own(place: Location, items) -> None:
    db = await Database.open(place, items)
    gate = threading.Event()
    held = asyncio.create_task(db.write(lambda _: gate.wait(10)))

    def half(conn: Connection) -> None:
        _insert("half")(conn)
        raise KeyError("stop")

    tasks = [
        asyncio.create_task(db.write(call, large=large))
        for call, large in ((_insert("one"), False), (half, True), (_insert("two"), True), (_insert("three"), False))
    ]
    await asyncio.sleep(0.02)
    gate.set()
    await held
    _, key_error, *_ = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(key_error, KeyError)
    assert await db.read(_words) == ["one", "two", "three"]
    await db.close()


async def test_a_large_operation_has_no_savepoint(tmp_path: Path, items) -> None:
    db = await Database.open(tmp_path / "a.db", items)
    seen = _traced(db, "SAVEPOINT")
    await db.write(_insert("one"), large=True)
    assert seen == ["BEGIN IMMEDIATE", "COMMIT"]
    await db.write(_insert("two"))
    assert seen[2:] == ["BEGIN IMMEDIATE", "SAVEPOINT op", "COMMIT"]
    await db.close()


def test_what_a_large_operation_changes_is_not_kept_in_memory(tmp_path: Path, items) -> None:
    """A savepoint keeps what each page was before: of 40 MB that are overwritten, 40 MB."""
    grown = subprocess.run([sys.executable, "-c", GROWN, str(tmp_path)], capture_output=True, check=True, text=True)
    small, large = map(int, grown.stdout.split())
    assert large < 10 < 30 < small, grown.stdout


GROWN = """
import re, sys
from pathlib import Path
from trustcenter.store import Database, Migration
steps = (Migration(number=1, name="a", sql="CREATE TABLE a (n INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;"),)
def most():
    return int(re.search("VmHWM:\\s*([0-9]+)", Path("/proc/self/status").read_text())[1])
def grown(large):
    db = Database.open_sync(Path(sys.argv[1]) / f"{large}.db", steps)
    for n in range(40):
        db.write_sync(lambda conn: conn.execute("INSERT INTO a VALUES (?, ?)", (n, bytes(2**20))), large=True)
    before = most()
    update = "UPDATE a SET body = x'' WHERE n = ?"
    db.write_sync(lambda conn: conn.executemany(update, [(n,) for n in range(40)]), large=large)
    after = most()
    db.close_sync()
    return (after - before) // 1024
large = grown(True)
print(grown(False), large)
"""


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "script"])
async def test_ending_the_lent_transaction_is_an_error_and_the_writer_lives_on(
    tmp_path: Path, items, statement: str
) -> None:
    db = await Database.open(tmp_path / "a.db", items)

    def rude(conn: Connection) -> None:
        if statement == "script":
            conn.executescript("SELECT 1;")
        else:
            conn.execute(statement)

    with pytest.raises(StoreTransactionError):
        await db.write(rude)
    assert await db.write(_insert("after")) == 1
    assert await db.read(_words) == ["after"]
    await db.close()


async def test_replacing_the_transaction_fails_the_whole_group(place: Location, items) -> None:
    db = await Database.open(place, items)

    def replace(conn: Connection) -> None:
        conn.execute("ROLLBACK")
        conn.execute("BEGIN")
        conn.execute("INSERT INTO item (word) VALUES ('smuggled')")

    with pytest.raises((sqlite3.OperationalError, StoreUnavailableError)):
        await db.write(replace)
    assert await db.read(_words) == []
    await db.write(_insert("after"))
    assert await db.read(_words) == ["after"]
    await db.close()


async def test_cancelled_callers_do_not_break_the_writer(place: Location, items) -> None:
    db = await Database.open(place, items)
    gate, running = threading.Event(), threading.Event()

    def slow(conn: Connection) -> None:
        running.set()
        gate.wait(10)
        _insert("running")(conn)

    first = asyncio.create_task(db.write(slow))
    await asyncio.to_thread(running.wait, 10)
    queued = asyncio.create_task(db.write(_insert("queued")))
    await asyncio.sleep(0.01)
    first.cancel()
    queued.cancel()
    await asyncio.sleep(0)  # the tasks hear of it before the writer goes on
    gate.set()
    for task in (first, queued):
        with pytest.raises(asyncio.CancelledError):
            await task
    await db.write(_insert("next"))
    assert await db.read(_words) == ["running", "next"], "begun commits, not begun is dropped"
    await db.close()


async def test_close_drains_the_queue_empties_the_wal_and_refuses_more(tmp_path: Path, items) -> None:
    path = tmp_path / "a.db"
    db = await Database.open(path, items)
    gate = threading.Event()
    tasks = [asyncio.create_task(db.write(lambda _: gate.wait(10)))]
    tasks += [asyncio.create_task(db.write(_insert(f"w{n}"))) for n in range(300)]
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0.05)
    gate.set()
    await asyncio.gather(*tasks)
    await closing
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.db", "a.db.lock"]
    for call in (db.write(_insert("late")), db.read(_words)):
        with pytest.raises(StoreUnavailableError):
            await call
    await db.close()
    with sqlite3.connect(path) as conn:
        assert conn.execute("SELECT count(*) FROM item").fetchone() == (300,)
    conn.close()


async def test_a_foreign_write_lock_is_answered_as_unavailable(tmp_path: Path, items) -> None:
    db = await Database.open(tmp_path / "a.db", items)
    db.write_sync(lambda conn: conn.execute("PRAGMA busy_timeout = 50").fetchone())
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError):
        await db.write(_insert("blocked"))
    other.execute("ROLLBACK")
    other.close()
    assert await db.write(_insert("free")) == 1
    await db.close()


async def test_stream_is_one_snapshot_in_small_batches(place: Location, items) -> None:
    db = await Database.open(place, items)
    await db.write(lambda c: c.executemany("INSERT INTO item (word) VALUES (?)", ((f"w{n:05d}",) for n in range(5000))))
    pulled = 0

    def rows(conn: Connection):
        nonlocal pulled
        for (word,) in conn.execute("SELECT word FROM item ORDER BY id"):
            pulled += 1
            yield word

    got: list[str] = []
    async for part in db.stream(rows, batch=700):
        assert len(part) <= 700
        assert pulled <= len(got) + 700, "nothing is fetched ahead of the consumer"
        got += part
        await db.write(_insert(f"later{len(got)}"))
    assert got == [f"w{n:05d}" for n in range(5000)]
    await db.close()


async def test_streams_end_early_fail_and_close_cleanly(tmp_path: Path, items) -> None:
    db = await Database.open(tmp_path / "a.db", items)
    await db.write(lambda c: c.executemany("INSERT INTO item (word) VALUES (?)", ((str(n),) for n in range(50))))

    def rows(conn: Connection):
        yield from conn.execute("SELECT id FROM item")

    for _ in range(20):  # more than may be open at one time
        async with aclosing(db.stream(rows, batch=10)) as parts:
            async for _part in parts:
                break

    def broken(conn: Connection):
        yield 1
        raise KeyError("stop")

    with pytest.raises(KeyError):
        async for _ in db.stream(broken, batch=10):
            pass
    parts = db.stream(rows, batch=10)
    await anext(parts)
    await db.close()
    with pytest.raises(StoreUnavailableError):
        await anext(parts)
    assert not (tmp_path / "a.db-wal").exists()


async def test_too_many_streams_are_refused(place: Location, items) -> None:
    db = await Database.open(place, items)
    await db.write(_insert("one"))

    def rows(conn: Connection):
        yield from conn.execute("SELECT id FROM item")
        yield from conn.execute("SELECT id FROM item")

    open_streams = [db.stream(rows, batch=1) for _ in range(8)]
    for stream in open_streams:
        await anext(stream)
    with pytest.raises(StoreUnavailableError):
        await anext(db.stream(rows))
    for stream in open_streams:
        await stream.aclose()
    assert [part async for part in db.stream(rows)] == [[(1,), (1,)]]
    await db.close()


async def test_readers_cannot_write(place: Location, items) -> None:
    db = await Database.open(place, items)
    with pytest.raises(StoreUnavailableError):
        await db.read(_insert("no"))
    await db.close()


def test_many_threads_with_the_sync_face(place: Location, items) -> None:
    db = Database.open_sync(place, items)

    def work(base: int) -> None:
        for n in range(50):
            db.write_sync(_insert(f"{base}-{n}"))
            assert f"{base}-{n}" in db.read_sync(_words)

    threads = [threading.Thread(target=work, args=(base,)) for base in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(db.read_sync(_words)) == 300
    db.close_sync()
