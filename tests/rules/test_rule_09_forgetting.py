"""Rule 9: anonymise drops the way back, delete leaves a bare serial, and the bytes are gone from every file."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from rules_support import FORMAT, NORTH, Files, Opened

from trustcenter.instance.backups import replaying
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import operations
from trustcenter.store.connections import open_writer

DOMAINS = {
    "computed": {"deletable": True},
    "drawn": {"deletable": True, "suite": api.Suite.DRAWN, "format": FORMAT},
    "several": {"deletable": True, "multi": True},
}


async def verdict(center: Opened, domain: str, original: str) -> list[str | None]:
    body = api.PseudonymRequest(originals=[original], mode="get")
    return (await operations.pseudonymize(center.context, NORTH, "req", domain, body)).pseudonyms


def everything(files: Files) -> bytes:
    """The bytes of every file of the stores: database, write-ahead log, what lies beside them."""
    return b"".join(path.read_bytes() for path in sorted(files.database.parent.rglob("*")) if path.is_file())


def found(secrets: Iterable[bytes], files: Files) -> int:
    content = everything(files)
    return sum(secret in content for secret in secrets)


@pytest.mark.parametrize("kind", DOMAINS)
async def test_anonymise_drops_tag_and_sealed_original_and_keeps_the_pseudonym(files: Files, kind: str) -> None:
    async with files.open() as center:
        await center.domain(kind, **DOMAINS[kind])
        cut, kept = await center.issue(kind, ["a", "b"])
        before = await center.rows(kind)
        assert (await center.remove("anonymise", kind, [cut])).rows == 1
        (mine, _) = await center.sql("SELECT serial FROM entry e JOIN domain d ON d.id = e.domain"
                                     " WHERE d.name = ? AND tag IS NULL UNION ALL SELECT 0", kind)  # fmt: skip
        after = {row[0]: row for row in await center.rows(kind)}
        old = {row[0]: row for row in before}[mine[0]]
        assert after[mine[0]] == (*old[:4], None, None, 0)  # serial, nonce, salt, index and status stay
        assert await center.verdicts(kind, [cut, kept]) == ["ok", "ok"]
        assert await verdict(center, kind, "a") == [None]
    assert found([old[4], old[5]], files) == 0
    async with files.open() as center:
        (again,) = await center.issue(kind, ["a"])
        assert again not in (cut, kept)


@pytest.mark.parametrize("kind", DOMAINS)
async def test_delete_erases_all_but_the_serial(files: Files, kind: str) -> None:
    async with files.open() as center:
        await center.domain(kind, **DOMAINS[kind])
        originals = [f"original-{n}" for n in range(400)]
        texts = await center.issue(kind, originals)
        before = await center.rows(kind)
        boxes = await center.sql("SELECT sealed, tag FROM stored_string")
        assert (await center.remove("delete", kind, texts)).rows == 400
        after = await center.rows(kind)
        assert [row[0] for row in after] == [row[0] for row in before]  # the serials stay as tombstones
        assert {row[1:3] + row[4:] for row in after} == {(b"", b"", None, None, 1)}
        assert await center.verdicts(kind, texts) == ["unknown_pseudonym"] * 400
        # A stored string's tag stays, so that nobody is ever given it again; the sealed string goes.
        assert await center.sql("SELECT sealed, tag FROM stored_string") == [(None, tag) for _, tag in boxes]
    # A nonce of five bytes may come up by chance; with its salt beside it, it does not.
    secrets = [row[1] + row[2] for row in before] + [row[2] for row in before]
    secrets += [row[4] for row in before] + [row[5] for row in before] + [box for box, _ in boxes]
    assert found(secrets, files) == 0
    async with files.open() as center:
        assert not set(await center.issue(kind, originals)) & set(texts)
    assert files.failures() == []


async def test_while_the_service_runs_an_erasure_empties_the_write_ahead_log(files: Files) -> None:
    """The store overwrites what it frees, and the log of page images is cut to nothing after the commit."""
    async with files.open() as center:
        await center.domain("computed", **DOMAINS["computed"])
        texts = await center.issue("computed", [f"original-{n}" for n in range(200)])
        before = await center.rows("computed")
        (settings,) = await center.context.db.write(lambda conn: conn.execute("PRAGMA secure_delete").fetchall())
        assert settings == (1,)
        await center.remove("delete", "computed", texts)
        rows = await center.sql("SELECT count(*) FROM entry WHERE length(nonce) > 0 OR tag IS NOT NULL")
        assert rows == [(0,)]
        await asyncio.to_thread(wait_for_empty_wal, files)
    assert found([row[5] for row in before], files) == 0
    assert not wal_of(files)


def wait_for_empty_wal(files: Files) -> None:
    """Fails when it is not emptied within a minute."""
    deadline = time.monotonic() + 60
    while wal_of(files):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wal_of(files: Files) -> bytes:
    """What the write-ahead log holds."""
    wal = files.database.with_name(files.database.name + "-wal")
    return wal.read_bytes() if wal.exists() else b""


async def test_the_log_names_what_was_forgotten_so_that_a_restore_can_forget_it_again(files: Files) -> None:
    async with files.open() as center:
        await center.domain("computed", **DOMAINS["computed"])
        texts = await center.issue("computed", ["a", "b", "c"])
        await center.remove("delete", "computed", texts[:1])
        await center.remove("anonymise", "computed", texts[1:2])
        (deleted,) = await center.entries("site:pseudonym:delete")
        (cut,) = await center.entries("site:pseudonym:anonymise")
        tombstones = [row[0] for row in await center.rows("computed") if row[6] == 1]
        bare = [row[0] for row in await center.rows("computed") if row[6] == 0 and row[4] is None]
        assert (deleted["domain"], deleted["serials"], deleted["count"]) == ("computed", tombstones, 1)
        assert (cut["domain"], cut["serials"], cut["count"]) == ("computed", bare, 1)
        assert len(tombstones) == len(bare) == 1


def test_secure_delete_is_on_and_the_log_is_emptied_at_close(files: Files) -> None:
    conn = open_writer(files.database)
    assert conn.execute("PRAGMA secure_delete").fetchone() == (1,)
    assert conn.execute("PRAGMA temp_store").fetchone() == (2,)  # nothing in temporary files either
    conn.close()


async def test_copies_of_rows_that_moved_are_cleared_too(files: Files) -> None:
    """Pages that were split keep stale bytes that secure_delete does not know of; they are scrubbed at a stop."""
    async with files.open() as center:
        await center.domain("computed", **DOMAINS["computed"])
        await center.domain("other")
        texts: list[str] = []
        for start in range(0, 1500, 250):  # two domains in turn, so that pages are split in the middle
            part = [f"original-{n}" for n in range(start, start + 250)]
            texts += await center.issue("computed", part)
            await center.issue("other", part)
        before = await center.rows("computed")
        await center.remove("delete", "computed", texts)
    assert found([s for row in before for s in (row[1] + row[2], row[2], row[4], row[5])], files) == 0
    with sqlite3.connect(files.database) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    conn.close()


async def test_a_restored_backup_is_made_to_forget_again(files: Files, tmp_path: Path) -> None:
    """The whole instance goes back to before the deletions; a newer log tells what was deleted since."""
    async with files.open() as center:
        await center.domain("computed", **DOMAINS["computed"])
        texts = await center.issue("computed", ["a", "b", "c"])
        rows = {await center.forge("computed", 1, *row[:2]): row for row in await center.rows("computed")}
    shutil.copytree(files.dir, tmp_path / "old")
    async with files.open() as center:
        await center.remove("delete", "computed", texts[:1])
        await center.remove("anonymise", "computed", texts[1:2])
    newer = shutil.copy(files.database, tmp_path / "newer.db")
    shutil.rmtree(files.dir)
    shutil.copytree(tmp_path / "old", files.dir)
    assert found([rows[texts[0]][5], rows[texts[1]][5]], files) == 2  # it is all back
    replaying.stage(files.config, Path(newer), files.passphrase)
    async with files.open() as center:
        assert await center.verdicts("computed", texts) == ["unknown_pseudonym", "ok", "ok"]
        left = {row[0]: row for row in await center.rows("computed")}
        assert left[rows[texts[0]][0]][1:] == (b"", b"", 0, None, None, 1)
        assert left[rows[texts[1]][0]][4:] == (None, None, 0)
        assert left[rows[texts[2]][0]] == rows[texts[2]]
        assert [e["serials"] for e in await center.entries("site:pseudonym:delete")] == [[rows[texts[0]][0]]]
    assert found([rows[text][place] for text in texts[:2] for place in (4, 5)], files) == 0
    assert files.failures() == []
