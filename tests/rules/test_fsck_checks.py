"""Every check of `fsck`: a store that went through everything is clean, and each kind of damage is named."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rules_support import FORMAT, NORTH, Files

from trustcenter.instance.checking import fsck
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import imports, removal

CHECKS = (
    "registrar file", "registrar log", "head", "key states", "counters", "issue ranges", "rows and log", "rows",
    "forgotten rows", "tag index", "stored strings", "idempotency", "records", "comparator file", "comparator log",
    "comparator instance", "receipt keys", "uploads", "rooms",
)  # fmt: skip


@pytest.fixture(scope="module")
def full(template: Files, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Every kind of domain, each with live, anonymised, deleted and expired rows."""
    files = template.copy(tmp_path_factory.mktemp("full") / "center")
    asyncio.run(fill(files))
    return files


async def fill(files: Files) -> None:
    async with files.open() as center:
        await center.domain("several", multi=True, deletable=True)
        await center.domain("drawn", suite=api.Suite.DRAWN, format=FORMAT, deletable=True, multi=True)
        await center.domain("oneway", reversible=False, deletable=True)
        await center.domain("short", expiry_days=1, deletable=True)
        for name in ("plain", "several", "drawn", "oneway", "short"):
            texts = await center.issue(name, [f"o{n}" for n in range(12)])
            if name in ("several", "drawn"):
                await center.additional(name, "key", ["o1", "o2", "o2"], 2)
            pairs = [api.ImportPair(original=f"i{n}", pseudonym=f"old-{name}-{n}") for n in range(4)]
            await imports.import_pairs(center.context, NORTH, "req", name, pairs)
            await center.remove("anonymise", name, [texts[0], "old-%s-0" % name])  # noqa: UP031
            await center.remove("delete", name, [texts[1], texts[2], "old-%s-1" % name])  # noqa: UP031
        await center.rotate("plain")
    later = datetime.now(UTC) + timedelta(days=2)
    async with files.open(lambda: later) as center:
        assert await removal.expire_due(center.context) == 0  # the start did it
        assert len([row for row in await center.rows("short") if row[6] == 2]) == 12 + 4 - 3


def states(files: Files) -> dict[str, list[str]]:
    """By check: the texts of what failed."""
    found: dict[str, list[str]] = {}
    for finding in fsck.run(files.config, files.passphrase):
        found.setdefault(finding.name, []).extend([finding.text] if finding.state == "fail" else [])
    return found


def test_a_store_that_went_through_everything_is_clean(full: Files) -> None:
    assert states(full) == {name: [] for name in CHECKS}


_DRAWN = "(SELECT id FROM domain WHERE name = 'drawn')"
_PLAIN = "(SELECT id FROM domain WHERE name = 'plain')"
_LIVE = f"SELECT min(serial) FROM entry WHERE domain = {_PLAIN} AND status = 0 AND tag IS NOT NULL"
_DEAD = f"SELECT min(serial) FROM entry WHERE domain = {_PLAIN} AND status = 1"

DAMAGE = {
    # rows
    f"UPDATE entry SET nonce = x'' WHERE domain = {_PLAIN} AND serial = ({_LIVE})": ("rows", "without nonce or salt"),
    f"UPDATE entry SET salt = x'00' WHERE domain = {_PLAIN} AND serial = ({_LIVE})": ("rows", "without nonce or salt"),
    f"UPDATE entry SET sealed = NULL WHERE domain = {_PLAIN} AND serial = ({_LIVE})": ("rows", "without their"),
    "UPDATE entry SET sealed = x'00' WHERE tag IS NULL AND status = 0": ("rows", "original but no tag"),
    "UPDATE entry SET sealed = x'00' WHERE domain = (SELECT id FROM domain WHERE name = 'oneway') AND status = 0": (
        "rows",
        "domain that keeps none",
    ),
    f"UPDATE entry SET nonce = x'0102030405' WHERE domain = {_PLAIN} AND serial = ({_DEAD})": ("rows", "still hold"),
    f"UPDATE entry SET salt = zeroblob(16) WHERE domain = {_PLAIN} AND serial = ({_DEAD})": ("rows", "still hold"),
    f"UPDATE entry SET status = 7 WHERE domain = {_PLAIN} AND serial = ({_DEAD})": ("rows", "unknown status"),
    # what was forgotten
    f"UPDATE entry SET status = 0, nonce = x'0102030405', salt = zeroblob(16), tag = zeroblob(16), sealed = x'00'"
    f" WHERE domain = {_PLAIN} AND serial = ({_DEAD})": ("forgotten rows", "as after a restore"),
    f"UPDATE entry SET status = 1, nonce = x'', salt = x'', tag = NULL, sealed = NULL WHERE domain = {_PLAIN} AND"
    f" serial = ({_LIVE})": ("forgotten rows", "tombstones that the log does not name"),
    f"UPDATE entry SET tag = NULL, sealed = NULL WHERE domain = {_PLAIN} AND serial = ({_LIVE})": (
        "forgotten rows",
        "without an original that the log does not name",
    ),
    # tag index
    "DELETE FROM tag_recent WHERE key = (SELECT min(key) FROM tag_recent)": ("tag index", "not found by their tag"),
    "INSERT INTO tag_main SELECT key, domain, serial FROM tag_recent LIMIT 1": ("tag index", "found twice"),
    f"INSERT INTO tag_main VALUES (5, {_PLAIN}, ({_LIVE}))": ("tag index", "key of another tag"),
    f"INSERT INTO tag_main VALUES (5, {_PLAIN}, ({_DEAD}))": ("tag index", "no live first row"),
    f"INSERT INTO tag_main VALUES (5, {_PLAIN}, 999999)": ("tag index", "no live first row"),
    f"INSERT INTO tag_clash VALUES ({_PLAIN}, zeroblob(16), ({_LIVE}))": ("tag index", "no live first row"),
    f"INSERT INTO tag_clash SELECT domain, tag, serial FROM entry WHERE domain = {_PLAIN} AND serial = ({_LIVE})": (
        "tag index",
        "found twice",
    ),
    # stored strings
    f"UPDATE stored_string SET serial = 99999 WHERE domain = {_DRAWN} AND serial = (SELECT max(serial) FROM"
    f" stored_string WHERE domain = {_DRAWN})": ("stored strings", "rows that are not there"),
    f"UPDATE stored_string SET sealed = NULL WHERE domain = {_DRAWN} AND sealed IS NOT NULL": (
        "stored strings",
        "not sealed there",
    ),
    "UPDATE stored_string SET sealed = x'00' WHERE sealed IS NULL": ("stored strings", "still there"),
    f"DELETE FROM stored_string WHERE domain = {_DRAWN} AND sealed IS NULL": ("stored strings", "without a stored"),
    "UPDATE stored_string SET tag = x'00' WHERE serial = (SELECT max(serial) FROM stored_string)": (
        "stored strings",
        "tag of another length",
    ),
    "UPDATE domain SET strings = strings - 1 WHERE name = 'drawn'": ("stored strings", "not what they count"),
    # remembered requests
    "UPDATE idempotency SET body = x'6f31'": ("idempotency", "not made of MACs"),
    "UPDATE idempotency SET serials = CAST(serials || x'00' AS BLOB)": ("idempotency", "not made of MACs"),
    "UPDATE idempotency SET serials = x'00000000ffff'": ("idempotency", "serials that are not there"),
    "UPDATE idempotency SET version = 9": ("idempotency", "domain or key version"),
    f"UPDATE idempotency SET domain = {_PLAIN} WHERE domain <> {_DRAWN}": ("idempotency", "domain or key version"),
    # serials
    "UPDATE counter SET next = 3": ("counters", "their counter has not reached"),
    "UPDATE counter SET next = next + 9000000": ("counters", "beyond what the head"),
    f"DELETE FROM entry WHERE domain = {_PLAIN} AND serial = ({_LIVE})": ("rows and log", "its log tells of"),
    f"INSERT INTO entry (domain, serial, nonce, salt, idx, status) VALUES ({_PLAIN}, 1 << 37, x'0102030405',"
    f" zeroblob(16), 0, 0)": ("rows and log", "no entry in the log"),
}  # fmt: skip


@pytest.fixture
def copy(full: Files, tmp_path: Path) -> Files:
    shutil.copytree(full.dir, tmp_path / "center")
    return Files(tmp_path / "center")


@pytest.mark.parametrize("sql", DAMAGE, ids=[f"{check}: {text}" for check, text in DAMAGE.values()])
def test_each_kind_of_damage_is_named(copy: Files, sql: str) -> None:
    conn = sqlite3.connect(copy.database)
    changed = conn.execute(sql).rowcount
    conn.commit()
    conn.close()
    assert changed > 0
    check, text = DAMAGE[sql]
    found = states(copy)
    assert any(text in line for line in found[check]), {name: lines for name, lines in found.items() if lines}


def test_ranges_that_overlap(full: Files) -> None:
    from trustcenter.audit.entries import Entry
    from trustcenter.instance.checking.fsck_serials import ranges

    def entry(seq: int, first: int, count: int, domain: str = "north", epoch: int = 0) -> Entry:
        data = {"domain": domain, "epoch": epoch, "first": first, "count": count}
        return Entry(v=1, seq=seq, event="site:pseudonym:issue", who="north", outcome="done", data=data)

    good = [entry(0, 1, 5), entry(1, 6, 1), entry(2, 1, 5, "south"), entry(3, 1, 5, epoch=1)]
    assert [f.state for f in ranges(good)] == ["ok"]
    assert [f.state for f in ranges([*good, entry(4, 6, 1)])] == ["fail"]
    assert [f.state for f in ranges([*good, entry(4, 3, 9)])] == ["fail"]


def test_tags_that_clash_are_found_once(full: Files, tmp_path: Path) -> None:
    """Two tags with one key: the second stands among the clashes, and the check follows it there."""
    files = full.copy(tmp_path / "clashing")
    conn = sqlite3.connect(files.database)
    first, second = conn.execute(
        f"SELECT serial, tag FROM entry WHERE domain = {_PLAIN} AND status = 0 AND tag IS NOT NULL ORDER BY serial LIMIT 2"  # noqa: E501
    ).fetchall()
    near = first[1][:8] + second[1][8:]  # its key is the first one's
    old = int.from_bytes(second[1][:8], "big") >> 1
    conn.execute("DELETE FROM tag_recent WHERE key = ?", (old,))
    conn.execute("DELETE FROM tag_main WHERE key = ?", (old,))
    conn.execute(f"UPDATE entry SET tag = ? WHERE domain = {_PLAIN} AND serial = ?", (near, second[0]))
    conn.commit()
    assert any("not found by their tag" in line for line in states(files)["tag index"])
    conn.execute(f"INSERT INTO tag_clash VALUES ({_PLAIN}, ?, ?)", (near, second[0]))
    conn.commit()
    conn.close()
    assert states(files)["tag index"] == []
