"""Rule 14: the entry of a batch commits to every row under a salt of its own, and ranges never overlap."""

from __future__ import annotations

import hmac

import pytest
from rules_support import FORMAT, Files, Opened

from trustcenter.audit import Event, merkle_root
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import lookup
from trustcenter.store import Connection


async def root_of(center: Opened, name: str, version: int, texts: dict[int, str]) -> str:
    """The root that the rows give, from their serials, nonces and salts and the pseudonyms, by the specification."""
    domain = await center.domain(name)
    leaves = [
        hmac.digest(
            salt,
            b"issue\0"
            + bytes.fromhex(domain.uuid)
            + bytes([version])
            + serial.to_bytes(6, "big")
            + nonce
            + texts[serial].encode(),
            "sha256",
        )
        for serial, nonce, salt, *_ in await center.rows(name)
        if serial in texts
    ]
    return merkle_root(leaves).hex()


@pytest.mark.parametrize("options", [{}, {"multi": True}, {"suite": api.Suite.DRAWN, "format": FORMAT}])
async def test_an_entry_says_what_was_issued_and_commits_to_it(files: Files, options: dict) -> None:
    async with files.open() as center:
        await center.domain("this", **options)
        issued: dict[int, str] = {}
        for originals in (["a"], [f"o{n}" for n in range(100)], ["a", "new"]):
            texts = await center.issue("this", originals, request=f"req-{len(issued)}")
            before = len(issued)
            (entry,) = [e for e in await center.entries("site:pseudonym:issue") if e["request"] == f"req-{before}"]
            new = range(entry["first"], entry["first"] + entry["count"])
            serials = {await serial_of(center, "this", text): text for text in texts}
            part = {serial: serials[serial] for serial in new}
            assert entry["root"] == await root_of(center, "this", 1, part)
            assert (entry["suite"], entry["key_version"], entry["epoch"], entry["who"]) == (
                (await center.domain("this")).policy.suite, 1, 0, "north",
            )  # fmt: skip
            assert entry.keys() == {
                "who", "request", "domain", "suite", "key_version", "epoch", "first", "count", "root",
            }  # fmt: skip
            issued.update(part)
        assert sorted(issued) == list(range(1, 103))
        salts = [row[2] for row in await center.rows("this")]
        assert len(set(salts)) == 102
        assert {len(salt) for salt in salts} == {16}


async def serial_of(center: Opened, name: str, text: str) -> int:
    domain = await center.domain(name)
    question = lookup.read(center.context, domain, [text])
    (row,) = await center.context.db.read(
        lambda conn: lookup.rows(center.context, conn, domain, question, center.context.clock())
    )
    assert row is not None
    return row[0]


async def test_the_salt_goes_with_the_row(files: Files) -> None:
    async with files.open() as center:
        gone, kept = await center.issue("plain", ["a", "b"])
        await center.remove("delete", "plain", [gone])
        rows = await center.rows("plain")
        assert sorted(len(row[2]) for row in rows) == [0, 16]
        assert await center.verdicts("plain", [kept]) == ["ok"]
        (entry,) = await center.entries("site:pseudonym:issue")
        assert entry["root"]  # the entry stays; its leaf for the deleted row opens to nothing any more


async def test_the_entry_is_the_transaction_of_its_rows(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        await center.context.db.write(
            lambda conn: conn.execute(
                "CREATE TRIGGER fails BEFORE INSERT ON audit_entry BEGIN SELECT raise(ABORT, 'no log'); END"
            )
        )
        with pytest.raises(Exception, match="no log"):
            await center.issue("plain", ["b"])
        await center.context.db.write(lambda conn: conn.execute("DROP TRIGGER fails"))
        assert len(await center.rows("plain")) == 1
        assert len(await center.entries("site:pseudonym:issue")) == 1
    assert files.failures() == []


async def test_overlapping_ranges_fail_the_check(files: Files) -> None:
    """As two clones merged by hand would leave it: a range that begins inside another one."""
    async with files.open() as center:
        await center.issue("plain", ["a", "b", "c"])

        def again(conn: Connection) -> None:
            entry = {"domain": "plain", "suite": "computed", "key_version": 1, "epoch": 0, "root": "00" * 32}
            center.context.audit(conn, Event.PSEUDONYM_ISSUE, "north", "req", first=3, count=1, **entry)

        await center.context.db.write(again)
    assert any(text.startswith("issue ranges: ") and "twice" in text for text in files.failures())
