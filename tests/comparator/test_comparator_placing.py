"""Rows of accepted uploads: placed, taken away, moved from older stores; and what a kill in the middle leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import placed_support
import postgres_support
import pytest

from linkage.rows import ROW, sort_order
from trustcenter.comparator import compare, deliveries, moving, placing, schema
from trustcenter.instance.checking import fsck_rows
from trustcenter.store import Connection, Database, Location, Migration, Postgres
from trustcenter.store.scrub import scrub

PASSES = 5
MIGRATIONS = (*schema.MIGRATIONS, *deliveries.MIGRATIONS, *compare.MIGRATIONS)
OLD = tuple(step for step in MIGRATIONS if step.number < 610)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "sqlite":
        return tmp_path / "a.db"
    return Postgres(postgres_support.shared_server().create())


def opened(place: Location, migrations: tuple[Migration, ...] = MIGRATIONS) -> Database:
    return Database.open_sync(place, migrations, application="comparator")


def rows(records: int, seed: int) -> np.ndarray:
    """Rows as a site sends them; a few tokens are shared, so that blocks have more than one row."""
    draw = np.random.default_rng(seed)
    made = np.empty(records * PASSES, ROW)
    for name in ("ref", "token", "filter"):
        made[name] = draw.integers(0, 256, made[name].shape)
    made["token"][::7] = made["token"][0]
    made["pass"] = np.arange(len(made)) % PASSES
    return made[sort_order(made["ref"])]


def add_study(conn: Connection) -> int:
    conn.execute(
        "INSERT INTO study (name, version, fingerprint, passes, levels, caps, minimum_rows, sources, window_number)"
        " VALUES ('s', 1, 'f', ?, '[]', '[]', 1, '[]', 1)",
        (PASSES,),
    )
    return int(conn.execute("SELECT number FROM study").fetchone()[0])


def add_upload(conn: Connection, sent: np.ndarray, name: str, state: str = "staged") -> int:
    conn.execute(
        "INSERT INTO upload (id, study, source, version, rows, chunks, state, held)"
        " VALUES (?, 's', 'a', 1, ?, 2, ?, ?)",
        (name, len(sent), state, len(sent)),
    )
    return int(conn.execute("SELECT number FROM upload WHERE id = ?", (name,)).fetchone()[0])


def add_chunks(conn: Connection, upload: int, sent: np.ndarray) -> None:
    for number, part in enumerate(np.array_split(sent, 2)):
        conn.execute(
            "INSERT INTO arrived (upload, chunk, sha256, rows, body) VALUES (?,?,?,?,?)",
            (upload, number, b"", len(part), part.tobytes()),
        )


def accept(conn: Connection, sent: np.ndarray, name: str) -> int:
    upload = add_upload(conn, sent, name)
    add_chunks(conn, upload, sent)
    placing.place(conn, 1, upload)
    conn.execute("UPDATE upload SET state = 'live' WHERE number = ?", (upload,))
    return upload


def held(conn: Connection) -> set[bytes]:
    """The placed rows as they were sent."""
    found = set()
    for space in placing.ROWS.spaces(conn):
        for entries in placing.ROWS.read(conn, space):
            for entry in entries:
                ref, token, filter_ = (entry[name].tobytes() for name in ("ref", "token", "filter"))
                found.add(ref + bytes([space % placing.PASSES]) + token + filter_)
    return found


def sent_rows(*sent: np.ndarray) -> set[bytes]:
    return {row.tobytes() for part in sent for row in part}


def complaints(conn: Connection) -> list[str]:
    return [finding.text for finding in fsck_rows.comparator_rows(conn) if finding.state != "ok"]


def tokens(conn: Connection, upload: int) -> list[bytes]:
    found = [placing.fresh_tokens(conn, [upload], number) for number in range(PASSES)]
    return sorted(token.tobytes() for part in found if part is not None for token in part)


def test_rows_are_placed_and_taken_away_everywhere(place: Location) -> None:
    first, second = rows(300, 1), rows(40, 2)
    db = opened(place)
    try:
        assert db.write_sync(add_study) == 1
        uploads = [
            db.write_sync(lambda conn, s=sent, n=name: accept(conn, s, n))
            for sent, name in ((first, "1"), (second, "2"))
        ]
        assert db.read_sync(held) == sent_rows(first, second)
        for (body,) in db.read_sync(lambda conn: conn.execute("SELECT body FROM placed").fetchall()):
            order = [entry["token"].tobytes() for entry in np.frombuffer(body, placing.PLACED)]
            assert order == sorted(order)  # nothing is left of the order of arrival
        assert db.read_sync(lambda conn: tokens(conn, uploads[0])) == sorted(t.tobytes() for t in first["token"])
        assert db.read_sync(complaints) == []
        gone = np.concatenate((first[::9], second[::4]))
        stay = [np.setdiff1d(part, gone) for part in (first, second)]
        refs = gone["ref"].tobytes() + bytes(16)  # and one that nobody has
        some = db.write_sync(lambda conn: placing.remove(conn, 1, refs, range(1, 3)))
        assert some == sum(number in (1, 2) for number in gone["pass"].tolist())
        assert db.read_sync(complaints) == []
        assert db.write_sync(lambda conn: placing.remove(conn, 1, refs)) == len(gone) - some
        assert db.read_sync(held) == sent_rows(*stay)
        assert db.read_sync(lambda conn: placed_support.rows_with(conn, {r.tobytes() for r in gone["ref"]})) == 0
        for upload, part in zip(uploads, stay, strict=True):
            assert db.read_sync(lambda conn, u=upload: tokens(conn, u)) == sorted(t.tobytes() for t in part["token"])
        assert db.read_sync(complaints) == []
        left = sum(map(len, stay))
        assert db.read_sync(lambda conn: placed_support.rows_of(conn, "s")) == left
        assert db.write_sync(lambda conn: placing.purge(conn, 1, "s")) == left
        assert db.read_sync(lambda conn: placed_support.rows_of(conn, "s")) == 0
    finally:
        db.close_sync()


def test_a_row_that_is_taken_away_is_nowhere_in_the_file(tmp_path: Path) -> None:
    store, sent = tmp_path / "a.db", rows(400, 8)
    db = opened(store)
    db.write_sync(add_study)
    db.write_sync(lambda conn: accept(conn, sent, "1"))
    gone = sent[::20]

    def take_away(conn: Connection) -> None:
        db.forget_soon()
        placing.remove(conn, 1, gone["ref"].tobytes())

    db.write_sync(take_away)
    db.close_sync()
    scrub(store)
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    stays = np.setdiff1d(sent, gone)
    for name in ("ref", "filter"):
        assert not [1 for value in gone[name] if value.tobytes() in raw]
        found = sum(value.tobytes() in raw for value in stays[name])
        assert found > 0.9 * len(stays)  # all but those that lie across two pages of the file


def test_fsck_misses_a_row_in_either_table(place: Location) -> None:
    db = opened(place)
    try:
        db.write_sync(add_study)
        sent = rows(50, 3)
        db.write_sync(lambda conn: accept(conn, sent, "1"))
        db.write_sync(
            lambda conn: conn.execute("DELETE FROM placed_ref WHERE number = (SELECT min(number) FROM placed_ref)")
        )
        assert db.read_sync(complaints) == ["rows by token and rows by ref are not the same rows"]
        db.write_sync(lambda conn: conn.execute("UPDATE placed SET part = 1"))
        assert any("pages of rows are damaged" in text for text in db.read_sync(complaints))
    finally:
        db.close_sync()


def fill_old(conn: Connection, live: np.ndarray, staged: np.ndarray) -> None:
    """A store as it was before rows were packed: two uploads, one of them not accepted yet."""
    add_study(conn)
    for sent, name, state in ((live, "1", "live"), (staged, "2", "staged")):
        upload = add_upload(conn, sent, name, state)
        for number, part in enumerate(np.array_split(sent, 2)):
            refs = part["ref"].tobytes()
            conn.execute("INSERT INTO chunk VALUES (?,?,?,?,?)", (upload, number, bytes(32), len(part), refs))
        conn.executemany(
            "INSERT INTO row VALUES (?,?,?,?,?,?)",
            [
                (1, int(r["pass"]), *(r[n].tobytes() for n in ("token", "ref")), upload, r["filter"].tobytes())
                for r in sent
            ],
        )


def test_an_older_store_moves_when_it_is_opened(place: Location) -> None:
    live, staged = rows(120, 4), rows(60, 5)
    db = opened(place, OLD)
    db.write_sync(lambda conn: fill_old(conn, live, staged))
    db.close_sync()
    db = opened(place)
    try:
        moving.move(db)
        moving.move(db)
        assert db.read_sync(held) == sent_rows(live)
        assert db.read_sync(lambda conn: [p.tobytes() for p in placing.bodies(conn, 2)]) == [
            part.tobytes() for part in np.array_split(staged, 2)
        ]
        assert db.read_sync(lambda conn: placing.fresh_tokens(conn, [1], 0)) is None  # a window reads everything
        assert db.read_sync(complaints) == []
        for table in ("row", "chunk"):
            assert db.read_sync(lambda conn, t=table: conn.execute(f"SELECT count(*) FROM {t}").fetchone()) == (0,)
    finally:
        db.close_sync()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2].split(":")
import test_comparator_placing as t
from trustcenter.comparator import moving, placing
db = t.opened(Path(sys.argv[1]))
def die(step):
    def effect(conn):
        step(conn)
        os.kill(os.getpid(), signal.SIGKILL)
    return effect
placing._AT_ONCE = 100
if sys.argv[3] == "place":
    assert db.write_sync(lambda conn: placing.place_some(conn, 1, 1), large=True)
    db.write_sync(die(lambda conn: placing.place_some(conn, 1, 1)), large=True)
if sys.argv[3] == "purge":
    placing._PAGES = 3
    db.write_sync(lambda conn: conn.execute("UPDATE study SET purging = 1"))
    assert db.write_sync(lambda conn: placing.purge_some(conn, 1), large=True)
    db.write_sync(die(lambda conn: placing.purge_some(conn, 1)), large=True)
moving._AT_ONCE = 100
assert db.write_sync(lambda conn: moving._unfinished(db, conn))
while db.write_sync(lambda conn: moving._unfinished(db, conn)):
    pass
assert db.write_sync(lambda conn: moving._live(db, conn))
db.write_sync(die(lambda conn: moving._live(db, conn)))
"""


def killed(store: Path, what: str) -> None:
    path = f"{Path(__file__).parent}:{Path(__file__).parent.parent}"
    done = subprocess.run([sys.executable, "-c", KILLED, str(store), path, what], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_an_upload_that_is_placed_in_part_can_be_given_up(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the registrar is restored to before it took the map."""
    monkeypatch.setattr(placing, "_AT_ONCE", 100)
    stays, goes = rows(40, 9), rows(60, 10)
    db = opened(place)
    try:
        db.write_sync(add_study)
        db.write_sync(lambda conn: accept(conn, stays, "1"))

        def half(conn: Connection) -> int:
            upload = add_upload(conn, goes, "2")
            add_chunks(conn, upload, goes)
            assert placing.place_some(conn, 1, upload)
            return upload

        upload = db.write_sync(half, large=True)
        assert db.read_sync(held) == sent_rows(stays, goes[:150])
        assert db.read_sync(lambda conn: placed_support.rows_of(conn, "s")) == len(stays) + len(goes)
        assert db.read_sync(complaints) == []
        db.write_sync(lambda conn: placing.drop(conn, upload))
        assert db.read_sync(held) == sent_rows(stays)
        assert db.read_sync(lambda conn: placed_support.rows_of(conn, "s")) == len(stays)
        assert db.read_sync(complaints) == []
    finally:
        db.close_sync()


def test_a_purge_that_is_killed_goes_on(tmp_path: Path) -> None:
    store, sent = tmp_path / "a.db", rows(80, 11)
    db = opened(store)
    db.write_sync(add_study)
    db.write_sync(lambda conn: accept(conn, sent, "1"))
    db.close_sync()
    killed(store, "purge")
    db = opened(store)
    try:
        assert set() < db.read_sync(held) < sent_rows(sent)
        assert db.read_sync(complaints) == []  # they are known to go
        while db.write_sync(lambda conn: placing.purge_some(conn, 1)):
            pass
        db.write_sync(lambda conn: placing.purge(conn, 1, "s"))
        assert db.read_sync(lambda conn: placed_support.rows_of(conn, "s")) == 0
    finally:
        db.close_sync()


@pytest.mark.parametrize("what", ["place", "move"])
def test_a_kill_in_the_middle_is_made_up_for(tmp_path: Path, what: str) -> None:
    store, live, staged = tmp_path / "a.db", rows(120, 6), rows(60, 7)
    db = opened(store, OLD if what == "move" else MIGRATIONS)
    if what == "move":
        db.write_sync(lambda conn: fill_old(conn, live, staged))
    else:
        db.write_sync(add_study)
        db.write_sync(lambda conn: add_chunks(conn, add_upload(conn, live, "1"), live))
    db.close_sync()
    killed(store, what)
    db = opened(store)
    try:
        if what == "move":
            assert db.read_sync(held) < sent_rows(live)
            moving.move(db)
        else:
            assert db.read_sync(held) == sent_rows(live[:300])  # the chunk of the first transaction
            assert db.read_sync(complaints) == []
            db.write_sync(lambda conn: placing.place(conn, 1, 1))
            db.write_sync(lambda conn: conn.execute("UPDATE upload SET state = 'live'"))
        assert db.read_sync(held) == sent_rows(live)
        assert db.read_sync(complaints) == []
    finally:
        db.close_sync()
