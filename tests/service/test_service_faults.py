"""A disk that is full or fails, and a log that cannot be written: refused, nothing lost, well again afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_center import Crashing, Fault, wait_until
from crash_support import Caller
from tests_support import ON_POSTGRES

pytestmark = [pytest.mark.faults, pytest.mark.skipif(ON_POSTGRES, reason="faults of files")]
strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def failing(calls: str, how: str) -> Fault:
    """A fault: system calls of the running service that go wrong, as strace's `inject` has it."""

    @contextlib.contextmanager
    def inject(center: Crashing) -> Iterator[None]:
        command = ["strace", "-f", "-p", str(center.process.pid), "-o", "/dev/null", "-e", f"trace={calls}"]
        tracer = subprocess.Popen([*command, "-e", f"inject={calls}:{how}"], stderr=subprocess.PIPE, text=True)
        try:
            assert tracer.stderr is not None
            if "attached" not in tracer.stderr.readline():
                pytest.skip("tracing is not allowed here")
            yield
        finally:
            tracer.terminate()
            try:
                tracer.communicate(timeout=10)
            except subprocess.TimeoutExpired:  # letting go of processes that end at that moment can hang in strace
                tracer.kill()
                tracer.communicate()

    return inject


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of its own."""
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def ended(center: Crashing) -> Iterator[Crashing]:
    try:
        yield center
    finally:
        if center.process.poll() is None:
            center.kill()


SHORT = (
    ("fsync,fdatasync", "error=EIO:when=3"),  # one failure: the writer must not trust a later success
    ("pwrite64", "error=ENOSPC:when=5+4"),
)
LONG = tuple(
    (calls, f"{what}:when={nth}")
    for calls, what in (
        ("fsync,fdatasync", "error=EIO"),
        ("pwrite64", "error=EIO"),
        ("pwrite64", "error=ENOSPC"),
        ("write,pwrite64", "error=ENOSPC"),
        ("fsync,fdatasync", "signal=KILL"),
        ("pwrite64", "signal=KILL"),
        ("rename,renameat,renameat2", "error=EIO"),
    )
    for nth in ("1", "2", "3", "5", "8", "13", "21", "1+", "2+3")
)


@strace
def test_calls_to_the_disk_that_fail_lose_nothing(tmp_path: Path) -> None:
    with ended(Crashing(tmp_path)) as center:
        for number, (calls, how) in enumerate(SHORT):
            center.round(number, failing(calls, how), seen=True)
        center.end(commands=False)


@strace
@pytest.mark.soak
def test_each_call_to_the_disk_that_fails_loses_nothing(tmp_path: Path) -> None:
    with ended(Crashing(tmp_path)) as center:
        refused = 0
        for number, (calls, how) in enumerate(LONG):
            before = center.ledger.statuses[503]
            center.round(number, failing(calls, how))
            refused += center.ledger.statuses[503] > before
        acknowledged, statuses = center.end()
    print(f"{len(LONG)} faults of the disk, {refused} seen by clients: {acknowledged:,} acknowledged, {dict(statuses)}")


def test_a_full_disk_refuses_and_serves_again_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "40m") as disk, ended(Crashing(disk)) as center:
        with center.load(0):
            wait_until(lambda: center.ledger.statuses[200] >= 20, "nothing is acknowledged")
            with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
            before = center.ledger.statuses[503]
            wait_until(lambda: center.ledger.statuses[503] >= before + 20, "a full disk was not noticed")
            (disk / "ballast").unlink()
            good = center.ledger.statuses[200]
            wait_until(lambda: center.ledger.statuses[200] >= good + 20, "it does not serve again")
        center.verify(0, 0)
        center.end(commands=False)


BROKEN = """
    CREATE TABLE broken (one INTEGER);
    CREATE TRIGGER log_fails BEFORE INSERT ON audit_entry WHEN EXISTS (SELECT 1 FROM broken)
    BEGIN SELECT raise(ABORT, 'the log cannot be written'); END;
"""


def test_when_the_log_cannot_be_written_nothing_is_done(tmp_path: Path) -> None:
    with ended(Crashing(tmp_path)) as center:
        site, operator = Caller(center.connection), Caller(center.operator)
        database = center.dir / "registrar" / "registrar.db"
        side = sqlite3.connect(database, isolation_level=None, timeout=10)
        side.executescript(BROKEN)

        def ask(path: str, body: object, who: Caller = site, **headers: str) -> int:
            answer = who(path, body, **headers)
            assert answer is not None
            return answer[0]

        made = site("/v1/domains/several/pseudonyms", {"originals": ["a", "b"]})
        assert made is not None
        texts = made[2]["pseudonyms"]
        side.execute("INSERT INTO broken VALUES (1)")
        effects = (
            lambda: ask("/v1/domains/still/pseudonyms", {"originals": ["x"]}),
            lambda: ask("/v1/domains/drawn/pseudonyms", {"originals": ["x"]}),
            lambda: ask("/v1/domains/several/additional", {"originals": ["a"]}, **{"Idempotency-Key": "k"}),
            lambda: ask("/v1/domains/several/anonymise", {"pseudonyms": texts[:1]}),
            lambda: ask("/v1/domains/several/delete", {"pseudonyms": texts}),
            lambda: ask("/v1/domains/several/import", {"pairs": [{"original": "y", "pseudonym": "old"}]}),
            lambda: ask("/v1/domains/several/translate", {"pseudonyms": texts}),
            lambda: ask("/v1/domains/several/validate", {"pseudonyms": texts}),
            lambda: ask("/v1/domains/turned/keys/rotate", {}, operator),
            lambda: ask("/v1/domains/turned/close", {}, operator),
            lambda: ask("/v1/sites", {"name": "south", "kind": "diz", "title": "South"}, operator),
            lambda: ask("/v1/sites/north/tokens", {}, operator),
            lambda: ask("/v1/domains", {"name": "more", "site": "north"}, operator),
            lambda: ask("/v1/staff", {"name": "clara", "role": "auditor"}, operator),
        )
        tables = ("entry", "stored_string", "idempotency", "domain", "site", "staff", "token", "key_version", "counter")

        def state() -> list[list[tuple[object, ...]]]:
            return [side.execute(f"SELECT * FROM {table}").fetchall() for table in tables]

        before = state()
        for number, effect in enumerate(effects):
            assert effect() >= 400, f"effect {number} was acknowledged without its entry"
        assert state() == before
        side.execute("DELETE FROM broken")
        assert [effect() for effect in effects] == [200] * 10 + [201] * 4
        side.executescript("DROP TRIGGER log_fails; DROP TABLE broken;")
        side.close()
        for caller in (site, operator):
            caller.close()
        center.check()
