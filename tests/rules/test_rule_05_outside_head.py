"""Rule 5: the outside head is on disk before a reserved range is used; starts go on where it reserved up to."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from rules_support import Files, Opened

from keys.ids import Purpose
from keys.personal import verify_ed25519
from keys.store import KeyStore
from trustcenter.errors import StaleDatabaseError, StoreUnavailableError, VerificationError
from trustcenter.registrar.head import RESERVE, OutsideHead
from trustcenter.registrar.pseudonyms import counting
from trustcenter.store import Connection

CRASH = """
    import asyncio, os, sys, threading
    from pathlib import Path
    from rules_support import Files
    from trustcenter.audit import Event
    from trustcenter.registrar import head
    from trustcenter.registrar.pseudonyms import counting

    async def main():
        async with Files(Path(sys.argv[1])).open() as center:
            domain = await center.domain("plain")
            await eval(sys.argv[2], globals(), {"center": center, "domain": domain})
            os._exit(9)

    async def behind_another(center, domain):
        real = head.OutsideHead.save
        def save(self):
            real(self)
            os._exit(9)  # between the head on disk and the commit
        head.OutsideHead.save = save
        both = threading.Event()
        def first(conn):
            center.context.audit(conn, Event.PSEUDONYM_VALIDATE, "north", "", domain="plain", count=1, unresolved=0)
            both.wait(5)  # so that the second one shares the transaction
        def second(conn):
            counting.take_serials(center.context, conn, domain, 1)
        tasks = [asyncio.create_task(center.context.db.write(first))]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(center.context.db.write(second)))
        await asyncio.sleep(0)
        both.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
"""


def crash(files: Files, what: str) -> None:
    """Do something in a process that ends without a word."""
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CRASH), files.dir, what],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr


async def test_what_the_head_says_and_who_signed_it(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        domain = await center.domain("plain")
        facts = files.head_facts()
        assert facts.keys() == {
            "format",
            "instance",
            "database",
            "epoch",
            "log_size",
            "log_root",
            "reserved",
            "state_key",
        }
        assert (facts["instance"], facts["database"], facts["epoch"]) == (
            await center.sql("SELECT instance, database, epoch FROM instance")
        )[0]
        assert facts["reserved"] == {domain.uuid: 2 + RESERVE}
        log = center.context.log
        assert await center.context.db.read(lambda conn: log.root_at(conn, facts["log_size"])) == facts["log_root"]
    body, signature, _ = files.head.read_bytes().split(b"\n")
    keys = KeyStore.open(files.dir / "registrar-keys" / "registrar.keys", files.passphrase)
    verify_ed25519(keys.public_key("instance", Purpose.AUDIT, 1), body, base64.b64decode(signature))
    assert files.head.parent == files.dir / "registrar-keys"
    assert files.head.stat().st_mode & 0o777 == 0o600


async def test_it_is_fsynced_before_a_reserved_range_is_used(files: Files, monkeypatch) -> None:
    async with files.open() as center:
        domain = await center.domain("plain")
        synced: list[str] = []
        real_sync, real_replace = os.fsync, Path.replace

        def fsync(descriptor: int) -> None:
            real_sync(descriptor)
            synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

        def replace(path: Path, target: Path) -> Path:
            synced.append(f"{path.name} -> {target.name}")
            return real_replace(path, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "replace", replace)

        def effect(conn: Connection) -> None:
            counting.take_serials(center.context, conn, domain, 5)
            # The range was handed to us; by now the head on disk covers it, file and directory entry.
            assert synced == ["head.new", "head.new -> head.json", "registrar-keys"]
            assert files.head_facts()["reserved"][domain.uuid] >= 6

        await center.context.db.write(effect)


async def test_one_reservation_serves_a_million(files: Files, monkeypatch) -> None:
    async with files.open() as center:
        domain = await center.domain("plain")
        saved: list[int] = []
        real = OutsideHead.save
        monkeypatch.setattr(OutsideHead, "save", lambda self: (saved.append(1), real(self))[1])

        def take(count: int) -> int:
            return center.context.db.write_sync(lambda conn: counting.take_serials(center.context, conn, domain, count))

        await asyncio.to_thread(take, 1)
        assert len(saved) == 1
        for _ in range(8):
            await asyncio.to_thread(take, RESERVE // 8)
        assert len(saved) == 1
        await asyncio.to_thread(take, 1)
        assert len(saved) == 2


async def test_a_head_that_cannot_be_written_reserves_nothing(files: Files) -> None:
    """Not even in memory: the next batch is refused as well, and goes on once the disk is well."""
    async with files.open() as center:
        await center.issue("plain", ["a"])
        await center.domain("other")
        blocked = files.head.with_suffix(".new")
        blocked.mkdir()  # writing the new head fails
        before = files.head.read_bytes()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await center.issue("other", ["a"])
        assert await center.rows("other") == []
        assert files.head.read_bytes() == before
        (text,) = await center.issue("plain", ["b"])  # within what is reserved already
        blocked.rmdir()
        await center.issue("other", ["a"])
        assert len(files.head_facts()["reserved"]) == 2
        assert await center.verdicts("plain", [text]) == ["ok"]
    assert files.failures() == []


async def serials_after(center: Opened) -> list[int]:
    await center.issue("plain", ["later"])
    return [row[0] for row in await center.rows("plain")]


async def test_after_a_crash_the_counter_continues_where_the_head_reserved_up_to(files: Files) -> None:
    crash(files, 'center.issue("plain", ["a", "b"])')
    assert files.head_facts()["reserved"].popitem()[1] == 3 + RESERVE
    async with files.open() as center:
        assert await serials_after(center) == [1, 2, 3 + RESERVE]
    async with files.open() as center:  # a stop in order hands back what was not used
        assert await center.issue("plain", ["still later"])
        assert [row[0] for row in await center.rows("plain")][-1] == 4 + RESERVE
    assert files.failures() == []


async def test_a_restore_inside_a_range_looks_like_a_crash_and_reuses_nothing(files: Files, tmp_path: Path) -> None:
    """The database of a moment ago beside the newest head, their logs alike: only the reservation tells."""
    crash(files, 'center.issue("plain", ["a"])')
    old = tmp_path / "old"
    shutil.copytree(files.database.parent, old)
    head = files.head.read_bytes()
    crash(files, 'center.issue("plain", ["b"])')  # its serial is lost below; its start wrote the head
    shutil.rmtree(files.database.parent)
    shutil.copytree(old, files.database.parent)
    newest = files.head.read_bytes()
    assert newest != head
    with pytest.raises(StaleDatabaseError):
        async with files.open():
            pass
    files.head.write_bytes(head)  # as if the head had not been written since
    async with files.open() as center:
        assert (await serials_after(center))[-1] == 2 + RESERVE


async def test_a_crash_between_head_and_commit_leaves_an_instance_that_starts(files: Files) -> None:
    """The head never knows more of the log than what is on disk, whoever else was in the same transaction."""
    crash(files, "behind_another(center, domain)")
    async with files.open() as center:
        assert await center.entries("site:pseudonym:validate") == []
        assert (await serials_after(center)) == [2 + RESERVE]
    assert files.failures() == []


@pytest.mark.parametrize("what", ["behind", "forked", "foreign instance", "foreign database", "forged", "missing"])
async def test_what_does_not_fit_the_head_is_refused_and_nothing_is_written(files: Files, what: str) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        keys, context = center.context.keys, center.context
        head = OutsideHead(files.head, keys, context.head.instance, context.head.database, context.head.epoch)
    facts = files.head_facts()
    head.log_size, head.log_root, head.reserved = facts["log_size"], facts["log_root"], facts["reserved"]
    if what == "behind":
        head.log_size += 1
    elif what == "forked":
        head.log_root = "00" * 32
    elif what == "foreign instance":
        head.instance = "00" * 16
    elif what == "foreign database":
        head.database = "00" * 16
    head.save()
    if what == "forged":
        files.head.write_bytes(files.head.read_bytes().replace(b'"epoch":0', b'"epoch":1'))
    elif what == "missing":
        files.head.unlink()
    before = files.database.read_bytes()
    with pytest.raises(VerificationError) as caught:
        async with files.open():
            pass
    assert caught.value.code == {"forged": "head_damaged", "missing": "head_missing"}.get(what, "stale_database")
    assert files.database.read_bytes() == before
