"""Refs of records against a plain dictionary, on both stores; and those of older stores, which move."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import postgres_support
import pytest

from trustcenter.instance.checking import fsck_rows
from trustcenter.instance.opening import REGISTRAR_MIGRATIONS
from trustcenter.registrar.study import ref_owners, refs
from trustcenter.store import Connection, Database, Location, Migration, Postgres
from trustcenter.store.packed import Keys

PASSES = 4
OLD = tuple(step for step in REGISTRAR_MIGRATIONS if step.number not in {step.number for step in refs.MIGRATIONS})


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "sqlite":
        return tmp_path / "a.db"
    return Postgres(postgres_support.shared_server().create())


def opened(place: Location, migrations: tuple[Migration, ...] = REGISTRAR_MIGRATIONS) -> Database:
    return Database.open_sync(place, migrations)


def made(records: int) -> np.ndarray:
    return refs.in_order(np.frombuffer(os.urandom(16 * PASSES * records), np.uint8).reshape(records, PASSES, 16))


def add(conn: Connection, domain: int, version: int, table: np.ndarray) -> None:
    serials = np.arange(len(table))
    refs.add(conn, domain, version, serials, table, refs.owned(serials.tolist(), table))


def by_record(conn: Connection) -> dict[tuple[int, int, int], bytes]:
    rows = conn.execute("SELECT domain, serial, version, refs FROM record_refs").fetchall()
    return {(domain, serial, version): bytes(packed) for domain, serial, version, packed in rows}


def agree(conn: Connection, domains: tuple[int, ...]) -> bool:
    same = all(fsck_rows._by_record(conn, domain) == fsck_rows._by_ref(conn, domain) for domain in domains)
    return same and all(ref_owners.agree(conn, domain) for domain in domains)


def test_refs_come_change_and_go(place: Location) -> None:
    db = opened(place)
    first, second, later = made(300), made(50), made(300)
    expected = {
        **{(1, at, 1): first[at].tobytes() for at in range(300)},
        **{(2, at, 1): second[at].tobytes() for at in range(50)},
        **{(1, at, 2): later[at].tobytes() for at in range(300)},
    }

    def fill(conn: Connection) -> None:
        add(conn, 1, 1, first)
        add(conn, 2, 1, second)
        add(conn, 1, 2, later)

    try:
        db.write_sync(fill)
        assert db.read_sync(by_record) == expected
        assert db.read_sync(lambda conn: refs.of(conn, 1, [7, 8, 999], 2)) == {
            serial: expected[1, serial, 2] for serial in (7, 8)
        }
        # One ref is new, and one moves from a record to another.
        new = os.urandom(16)
        give, take = refs.cut(expected[1, 3, 1]), refs.cut(expected[1, 4, 1])
        get3, get4 = (b"".join(sorted(one)) for one in ([*give[1:], new], [*take[1:], give[0]]))
        changes = {3: (expected[1, 3, 1], get3), 4: (expected[1, 4, 1], get4)}
        db.write_sync(lambda conn: refs.change(conn, 1, 1, changes))
        expected |= {(1, 3, 1): get3, (1, 4, 1): get4}
        assert db.read_sync(by_record) == expected
        asked = Keys.of(refs.split(give[0] + new + take[0] + expected[2, 1, 1][:16]))
        owned = {
            (domain, entry["ref"].tobytes(), int(entry["serial"]))
            for domain in (1, 2)
            for part in db.read_sync(lambda conn, d=domain: list(ref_owners.OWNERS.find(conn, d, asked)))
            for entry in part
        }
        assert owned == {(1, give[0], 4), (1, new, 3), (2, expected[2, 1, 1][:16], 1)}
        everything = sorted(itertools.chain.from_iterable(map(refs.cut, expected.values())))
        for low, most in ((b"", 100), (everything[99], 400), (everything[-3], 100)):
            above = [ref for ref in everything if ref > low][:most]
            assert db.read_sync(lambda conn, a=(low, most): refs.after(conn, [1, 2], *a)) == above
        gone = db.write_sync(lambda conn: refs.remove(conn, 1, [3, 5, 999]))
        keys = ((1, serial, version) for serial in (3, 5) for version in (1, 2))
        assert gone == sorted(itertools.chain(*(refs.cut(expected.pop(key)) for key in keys)))
        assert db.read_sync(by_record) == expected
        assert db.read_sync(lambda conn: agree(conn, (1, 2)))
        assert db.read_sync(lambda conn: refs.held(conn, [1, 2])) == sum(map(len, expected.values())) // 16
        assert db.write_sync(lambda conn: refs.purge(conn, 2)) == 50 * PASSES
        assert db.read_sync(lambda conn: refs.held(conn, [2])) == 0
    finally:
        db.close_sync()


def test_refs_of_an_older_store_move(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    table = made(90)
    expected = {(1 + at % 2, at, 1 + at % 3): table[at].tobytes() for at in range(90)}
    expected |= {(1, 0, 2): os.urandom(16 * PASSES)}
    db = opened(place, OLD)

    def fill(conn: Connection) -> None:
        conn.executemany(
            "INSERT INTO record_ref (domain, serial, version, ref) VALUES (?,?,?,?)",
            [(*record, ref) for record, packed in expected.items() for ref in refs.cut(packed)],
        )

    db.write_sync(fill)
    db.close_sync()
    monkeypatch.setattr(refs, "_AT_ONCE", 50)  # records are cut, and several transactions are needed
    db = opened(place)
    try:
        refs.move(db)
        refs.move(db)
        found = db.read_sync(by_record)
        assert {record: sorted(refs.cut(packed)) for record, packed in found.items()} == {
            record: sorted(refs.cut(packed)) for record, packed in expected.items()
        }
        assert db.read_sync(lambda conn: agree(conn, (1, 2)))
        assert db.read_sync(lambda conn: conn.execute("SELECT count(*) FROM record_ref").fetchone()) == (0,)
    finally:
        db.close_sync()
