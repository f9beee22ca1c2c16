"""Where serials were issued: the index against a plain reading of the log."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import MIGRATIONS, AuditLog, Event
from trustcenter.registrar.pseudonyms import issue_index
from trustcenter.store import Connection, Database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    found = await Database.open(tmp_path / "log.db", (*MIGRATIONS, *issue_index.MIGRATIONS), application="registrar")
    yield found
    await found.close()


async def test_every_serial_is_found_where_the_log_tells_of_it(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue_index, "BLOCK", 16)
    monkeypatch.setattr(issue_index, "_STEP", 3)
    key, chance = Ed25519PrivateKey.generate(), random.Random(7)
    log = AuditLog("trustcenter/x/registrar", key.sign, key.public_key().public_bytes_raw())
    places: dict[tuple[str, int, int], int] = {}
    size = 0

    def write(conn: Connection) -> None:
        nonlocal size
        items = []
        for _ in range(100):
            domain, epoch = chance.choice(["a", "b"]), chance.choice([0, 1])
            if chance.random() < 0.3:
                items.append((Event.PSEUDONYM_VALIDATE, {"domain": domain, "note": '"event":"site:pseudonym:issue"'}))
            else:  # ranges of several processes come in any order
                start = chance.choice(range(1, 2000, 10))  # some a second time: a domain that was made anew
                count = chance.randint(1, 10)
                places.update({(domain, epoch, start + n): size + len(items) for n in range(count)})
                data = {"domain": domain, "epoch": epoch, "first": start, "count": count}
                items.append((Event.PSEUDONYM_ISSUE, data))
        log.append_many(conn, items)
        size += len(items)

    for turn in range(5):
        await db.write(write)
        if turn != 1:
            await issue_index.refresh(db)
    (blocks,) = await db.read(lambda conn: conn.execute("SELECT blocks FROM issue_indexed").fetchone())
    assert blocks == size // 16

    def look(conn: Connection) -> None:
        for (domain, epoch, counter), seq in places.items():
            found = issue_index.find(conn, domain, epoch, counter)
            assert found is not None
            assert found[0] == seq
        assert issue_index.find(conn, "a", 0, 5_000) is None
        assert issue_index.find(conn, "c", 0, 1) is None

    await db.read(look)
