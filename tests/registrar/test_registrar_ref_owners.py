"""Which refs a record may have, by their beginnings: none is missed, also where refs begin alike or leave."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import postgres_support
import pytest

from trustcenter.instance.checking import fsck_rows
from trustcenter.instance.opening import REGISTRAR_MIGRATIONS
from trustcenter.registrar.study import ref_owners, refs
from trustcenter.store import Database, Location, Postgres
from trustcenter.store.packed import Keys


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    place: Location = (
        tmp_path / "a.db" if request.param == "sqlite" else Postgres(postgres_support.shared_server().create())
    )
    opened = Database.open_sync(place, REGISTRAR_MIGRATIONS)
    yield opened
    opened.close_sync()


def made(count: int) -> np.ndarray:
    """Refs of which a third begin alike in five bytes, and are different nevertheless."""
    table = np.random.default_rng(count).integers(0, 256, (count, 16), np.uint8)
    table[::3, :5] = 7
    table[:, 8:16] = np.arange(count, dtype=">u8").view(np.uint8).reshape(count, 8)
    return table


def add(db: Database, domain: int, table: np.ndarray) -> None:
    entries = refs.owned(range(len(table)), table.reshape(-1, 1, 16))
    db.write_sync(lambda conn: ref_owners.add(conn, domain, entries))


def near(db: Database, domain: int, table: np.ndarray) -> set[bytes]:
    keys = Keys.of(table)
    some = keys.those(db.read_sync(lambda conn: ref_owners.near(conn, domain, keys)))
    return set(itertools.chain.from_iterable(map(refs.cut, refs.packed(some))))


def cut(table: np.ndarray) -> set[bytes]:
    return set(refs.cut(table.tobytes()))


def agree(db: Database, domain: int) -> bool:
    return db.read_sync(lambda conn: ref_owners.agree(conn, domain))


def test_no_ref_that_a_record_has_is_missed(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ref_owners, "HEADS", 4)  # so that parts have several rows
    monkeypatch.setattr(ref_owners, "_SEARCHED", 64)
    table = made(9_000)
    kept = [*np.array_split(table[:6_000], 5)]
    for part in kept:
        add(db, 1, part)
        assert agree(db, 1)
    assert cut(table[:6_000]) <= near(db, 1, table)
    strangers = np.full((256, 16), 200, np.uint8)
    strangers[:, 0] = np.arange(256)  # one of each part, with a beginning that none has
    held = {ref[:5] for ref in cut(table[:6_000])}
    assert near(db, 1, strangers) == {ref for ref in cut(strangers) if ref[:5] in held}
    gone = table[:6_000][::4]
    removed = db.write_sync(lambda conn: ref_owners.remove(conn, 1, Keys.of(np.concatenate((gone, table[6_000:])))))
    assert cut(removed["ref"]) == cut(gone)
    stays = np.delete(table[:6_000], np.arange(0, 6_000, 4), axis=0)
    assert agree(db, 1)
    assert cut(stays) <= near(db, 1, table)
    add(db, 1, gone)
    assert agree(db, 1)
    assert cut(table[:6_000]) <= near(db, 1, table)
    while db.write_sync(lambda conn: ref_owners.drop_some(conn, 1, 7)):
        pass
    for name in ("ref_heads", "ref_owner"):
        assert db.read_sync(lambda conn, n=name: conn.execute(f"SELECT count(*) FROM {n}").fetchone()) == (0,)


def test_a_store_of_before_has_no_beginnings_until_refs_come(db: Database) -> None:
    table = made(3_000)
    old = refs.owned(range(2_000), table[:2_000].reshape(-1, 1, 16))
    db.write_sync(lambda conn: ref_owners.OWNERS.add(conn, 1, old))
    assert near(db, 1, table) == cut(table)  # anything could be there
    add(db, 1, table[2_000:2_100])
    assert agree(db, 1)
    assert cut(table[:2_100]) <= near(db, 1, table)
    assert near(db, 2, table) == cut(table)


def test_fsck_notices_beginnings_that_are_wrong(db: Database) -> None:
    add(db, 1, made(100))
    assert not [f for f in db.read_sync(lambda conn: list(fsck_rows.records(conn))) if "beginnings" in f.text]
    query = "UPDATE ref_heads SET heads = x'00000000' WHERE part = 7"
    assert db.write_sync(lambda conn: conn.execute(query).rowcount) == 1
    assert not agree(db, 1)
    assert [f for f in db.read_sync(lambda conn: list(fsck_rows.records(conn))) if "beginnings" in f.text]
