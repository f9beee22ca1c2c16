"""Rule 4: the counter is a row of its own (domain, epoch, next), moved in the transaction that inserts."""

from __future__ import annotations

import re
import sqlite3

import pytest
from rules_support import Files

from trustcenter.errors import LimitError, TrustCenterError
from trustcenter.instance.opening import REGISTRAR_MIGRATIONS
from trustcenter.registrar.pseudonyms import counting
from trustcenter.store import Connection


def test_no_number_of_the_store_s_own_makes_a_serial() -> None:
    schema = re.sub(r"--.*", "", "\n".join(migration.sql for migration in REGISTRAR_MIGRATIONS))
    assert not re.search(r"(?i)autoincrement|\bserial\s+integer\s+primary|sequence|identity", schema)
    (entry,) = re.findall(r"CREATE TABLE entry \((.*?)\) STRICT, WITHOUT ROWID", schema, re.DOTALL)
    assert "PRIMARY KEY (domain, serial)" in entry
    assert "PRIMARY KEY (domain, epoch)" in schema


async def test_the_greatest_serial_is_never_used_again(files: Files) -> None:
    async with files.open() as center:
        texts = await center.issue("plain", ["a", "b"])
        await center.remove("delete", "plain", texts)
        await center.issue("plain", ["a", "b"])
        assert [row[0] & (2**36 - 1) for row in await center.rows("plain")] == [1, 2, 3, 4]
        # Rows that disappear altogether, as no operation of ours makes them: the counter still goes on.
        await center.context.db.write(lambda conn: conn.execute("DELETE FROM entry"))
        domain = await center.domain("plain")
        serial = await center.context.db.write(lambda conn: counting.take_serials(center.context, conn, domain, 1))
        assert serial == 5


async def test_a_range_comes_and_goes_with_its_transaction(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        domain = await center.domain("plain")

        def fails(conn: Connection) -> None:
            counting.take_serials(center.context, conn, domain, 1000)
            assert conn.execute("SELECT next FROM counter").fetchone() == (1002,)
            raise TrustCenterError("given up")

        with pytest.raises(TrustCenterError):
            await center.context.db.write(fails)
        assert await center.sql("SELECT epoch, next FROM counter") == [(0, 2)]
        await center.issue("plain", ["b"])
        assert [row[0] for row in await center.rows("plain")] == [1, 2]


async def test_each_domain_counts_for_itself_and_begins_with_one(files: Files) -> None:
    async with files.open() as center:
        await center.domain("other")
        await center.issue("plain", ["a", "b"])
        await center.issue("other", ["a"])
        await center.issue("plain", ["c"])
        assert [row[0] for row in await center.rows("plain")] == [1, 2, 3]
        assert [row[0] for row in await center.rows("other")] == [1]


async def test_the_last_counter_is_refused_rather_than_wrapped(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        await center.context.db.write(lambda conn: conn.execute("UPDATE counter SET next = ?", (2**36 - 2,)))
        with pytest.raises(LimitError) as caught:
            await center.issue("plain", ["b", "c"])
        assert caught.value.code == "counter_exhausted"
        (text,) = await center.issue("plain", ["b"])
        assert await center.verdicts("plain", [text]) == ["ok"]
        with pytest.raises(LimitError):
            await center.issue("plain", ["c"])


def test_the_store_refuses_the_same_serial_twice(files: Files) -> None:
    conn = sqlite3.connect(files.database)
    row = "INSERT INTO entry (domain, serial, nonce, salt, idx, tag, status) VALUES (1, 1, x'', x'', 0, ?, 0)"
    conn.execute(row, (b"1",))
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(row, (b"2",))
    conn.close()
