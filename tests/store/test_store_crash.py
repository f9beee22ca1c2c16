"""What survives: kill -9 at any moment, a full disk, a file-size limit, a failed log."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trustcenter.errors import StoreUnavailableError
from trustcenter.store import Database, Migration

ROUNDS = 15

WORKER = """
import asyncio, os, sys
from pathlib import Path
from trustcenter.store import Database, Migration

async def main():
    table = Migration(1, "t", "CREATE TABLE t (k INTEGER PRIMARY KEY, b BLOB) STRICT;")
    db = await Database.open(Path(sys.argv[1]), (table,))
    start = int(sys.argv[2])
    async def client(number):
        k = start + number
        while True:
            await db.write(lambda c: c.execute("INSERT INTO t VALUES (?,?)", (k, os.urandom(3000))))
            os.write(1, b"%d\\n" % k)
            k += 16
    await asyncio.gather(*(client(n) for n in range(16)))

asyncio.run(main())
"""


def test_acknowledged_writes_survive_kill_9(tmp_path: Path, python) -> None:
    path = tmp_path / "a.db"
    acknowledged: set[int] = set()
    start = 0
    for round_ in range(ROUNDS):
        child = python(WORKER, path, str(start))
        assert child.stdout is not None
        head = child.stdout.readline()  # it works
        time.sleep(0.01 * (round_ % 5))
        child.send_signal(signal.SIGKILL)
        lines = (head + child.stdout.read()).split(b"\n")
        child.wait()
        acknowledged |= {int(line) for line in lines[:-1]}  # a line cut by the kill was not acknowledged
        with sqlite3.connect(path) as conn:
            kept = {k for (k,) in conn.execute("SELECT k FROM t")}
            assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        conn.close()
        assert acknowledged <= kept, f"lost {sorted(acknowledged - kept)[:5]} in round {round_}"
        start = max(kept) + 100
    assert len(acknowledged) > ROUNDS


LIMITED = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from trustcenter.errors import StoreUnavailableError
from trustcenter.store import Database, Migration

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    table = Migration(1, "t", "CREATE TABLE t (k INTEGER PRIMARY KEY, b BLOB) STRICT;")
    db = await Database.open(Path(sys.argv[1]), (table,))
    kept, refused = [], 0
    async def put(k):
        nonlocal refused
        try:
            await db.write(lambda c: c.execute("INSERT INTO t VALUES (?,?)", (k, os.urandom(2000))))
            kept.append(k)
        except StoreUnavailableError:
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    for base in range(0, 600, 20):
        await asyncio.gather(*(put(base + n) for n in range(20)))
    assert refused and kept, (refused, kept)
    assert await db.read(lambda c: [k for (k,) in c.execute("SELECT k FROM t ORDER BY k")]) == sorted(kept)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    before = len(kept)
    await asyncio.gather(*(put(1000 + n) for n in range(20)))
    assert len(kept) == before + 20, "usable again once there is room"
    await db.close()
    print("ok", len(kept), refused)

asyncio.run(main())
"""


def test_a_file_that_cannot_grow_refuses_clearly_and_recovers(tmp_path: Path, python) -> None:
    child = python(LIMITED, tmp_path / "a.db")
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    assert out.startswith(b"ok")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_refuses_clearly_and_recovers(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (small / "ballast").write_bytes(bytes(500_000))
        db = Database.open_sync(small / "a.db", (Migration(1, "t", "CREATE TABLE t (b BLOB) STRICT;"),))
        kept = refused = 0
        for _ in range(60):
            try:
                db.write_sync(lambda c: c.execute("INSERT INTO t VALUES (?)", (os.urandom(20_000),)))
                kept += 1
            except StoreUnavailableError:
                refused += 1
        assert kept
        assert refused
        assert db.read_sync(lambda c: c.execute("SELECT count(*) FROM t").fetchone()) == (kept,)
        (small / "ballast").unlink()
        db.write_sync(lambda c: c.execute("INSERT INTO t VALUES (x'00')"))
        db.close_sync()
        with sqlite3.connect(small / "a.db") as conn:
            assert conn.execute("SELECT count(*) FROM t").fetchone() == (kept + 1,)
            assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        conn.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


FSYNC = """
import sys
from pathlib import Path
from trustcenter.errors import StoreUnavailableError
from trustcenter.store import Database, Migration

tables = (Migration(1, "t", "CREATE TABLE t (k INTEGER PRIMARY KEY) STRICT;"),)
db = Database.open_sync(Path(sys.argv[1]), tables)
put = lambda k: db.write_sync(lambda c: c.execute("INSERT INTO t VALUES (?)", (k,)))
put(1)
print("ready", flush=True)
sys.stdin.readline()
for k in (2, 3):
    try:
        put(k)
    except StoreUnavailableError as error:
        print(error.message, flush=True)
print(db.read_sync(lambda c: c.execute("SELECT k FROM t").fetchall()), flush=True)
db.close_sync()
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_after_a_failed_fsync_nothing_is_written_until_the_file_is_opened_again(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", FSYNC, str(tmp_path / "a.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    trace = ["strace", "-f", "-p", str(child.pid), "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]
    tracer = subprocess.Popen(
        [*trace, "-e", "inject=fsync,fdatasync:error=EIO:when=1"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert tracer.stderr is not None
        if "attached" not in tracer.stderr.readline():
            pytest.skip("tracing is not allowed here")
        out, _ = child.communicate("go\n", timeout=60)
    finally:
        child.kill()
        tracer.kill()
        tracer.communicate()
        child.wait()
    first, second, kept = out.splitlines()
    assert first.startswith("the database cannot take the operation")
    assert second.startswith("the disk failed to store a commit")
    assert kept == "[(1,)]"
    assert child.returncode == 0
    table = Migration(1, "t", "CREATE TABLE t (k INTEGER PRIMARY KEY) STRICT;")
    db = Database.open_sync(tmp_path / "a.db", (table,))
    db.write_sync(lambda c: c.execute("INSERT INTO t VALUES (4)"))
    assert db.read_sync(lambda c: c.execute("SELECT k FROM t").fetchall()) == [(1,), (4,)]
    db.close_sync()
