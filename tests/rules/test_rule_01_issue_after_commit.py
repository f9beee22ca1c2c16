"""Rule 1: issue under the active version only; a string is acknowledged only after the commit."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from rules_support import NORTH, Files

from keys.ids import Purpose
from keys.states import KeyAction
from trustcenter.errors import ConflictError, TrustCenterError
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import operations
from trustcenter.store import Connection


async def test_the_active_version_and_no_other_issues(files: Files) -> None:
    async with files.open() as center:
        (first,) = await center.issue("plain", ["a"])
        await center.rotate("plain")
        second, other = await center.issue("plain", ["a", "b"])
        (row, row_b) = await center.rows("plain")
        assert first == await center.forge("plain", 1, row[0], row[1])
        assert [second, other] == [await center.forge("plain", 2, r[0], r[1]) for r in (row, row_b)]
        assert [entry["key_version"] for entry in await center.entries("site:pseudonym:issue")] == [1, 2]


@pytest.mark.parametrize("action", [KeyAction.SUSPEND, KeyAction.DEACTIVATE, KeyAction.MARK_COMPROMISED])
async def test_without_an_active_version_nothing_is_issued(files: Files, action: KeyAction) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        domain = await center.domain("plain")

        def effect(conn: Connection) -> None:
            context = center.context
            context.ring.act(conn, context.ring.active(conn, domain.scope, Purpose.PSEUDONYM), action)

        await center.context.db.write(effect)
        for original in ("a", "b"):  # a known one neither
            with pytest.raises(ConflictError) as caught:
                await center.issue("plain", [original])
            assert caught.value.code == "no_active_key"
        assert len(await center.rows("plain")) == 1


async def test_a_commit_that_fails_acknowledges_nothing(files: Files) -> None:
    """A deferred constraint makes COMMIT itself fail, after every statement of the transaction went well."""
    with sqlite3.connect(files.database) as conn:
        conn.executescript(
            "CREATE TABLE there (id INTEGER PRIMARY KEY);"
            "CREATE TABLE late (id INTEGER REFERENCES there(id) DEFERRABLE INITIALLY DEFERRED);"
            "CREATE TRIGGER fails AFTER INSERT ON entry WHEN (SELECT count(*) FROM entry) = 2"
            " BEGIN INSERT INTO late VALUES (7); END;"
        )
    conn.close()
    async with files.open() as center:
        (kept,) = await center.issue("plain", ["a"])
        with pytest.raises((TrustCenterError, sqlite3.Error)):
            await center.issue("plain", ["b"])
        assert len(await center.rows("plain")) == 1
        assert len(await center.entries("site:pseudonym:issue")) == 1
        assert await center.issue("plain", ["a"]) == [kept]


async def test_the_answer_waits_for_the_commit(files: Files) -> None:
    """While another connection keeps the store from being written there is no answer; afterwards it is on disk."""
    async with files.open() as center:
        await center.issue("plain", ["a"])
        blocker = sqlite3.connect(files.database, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        body = api.PseudonymRequest(originals=["b"])
        asked = asyncio.create_task(operations.pseudonymize(center.context, NORTH, "req", "plain", body))
        await asyncio.sleep(0.3)
        assert not asked.done()
        blocker.execute("COMMIT")
        (text,) = (await asked).pseudonyms
        assert blocker.execute("SELECT count(*) FROM entry").fetchone() == (2,)
        blocker.close()
        assert await center.verdicts("plain", [str(text)]) == ["ok"]
