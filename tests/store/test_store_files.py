"""Opening: settings read back, private files, one writer per file, migrations, rooms kept apart."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from trustcenter.errors import (
    AlreadyRunningError,
    MigrationChangedError,
    NewerStoreError,
    NotFoundError,
    StoreError,
    StoreUnavailableError,
    WrongStoreError,
)
from trustcenter.store import Database, Migration
from trustcenter.store.migrations import statements


def test_settings_that_safety_depends_on(tmp_path: Path, items) -> None:
    db = Database.open_sync(tmp_path / "a.db", items)

    def pragma(name: str):
        return lambda conn: conn.execute(f"PRAGMA {name}").fetchone()[0]

    expected = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1, "busy_timeout": 5000}
    for name, value in expected.items():
        assert db.write_sync(pragma(name)) == value, name
    assert db.read_sync(pragma("query_only")) == 1
    assert db.write_sync(pragma("temp_store")) == 2
    db.close_sync()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_are_private_whatever_the_umask(tmp_path: Path, items, umask: int) -> None:
    old = os.umask(umask)
    try:
        db = Database.open_sync(tmp_path / "a.db", items)
        db.write_sync(lambda c: c.execute("INSERT INTO item (word) VALUES ('a')"))
        db.read_sync(lambda c: c.execute("SELECT 1 FROM item").fetchone())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        db.close_sync()
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(["a.db", "a.db-wal", "a.db-shm", "a.db.lock"], 0o600)


def test_an_open_file_that_became_readable_is_made_private_again(tmp_path: Path, items) -> None:
    Database.open_sync(tmp_path / "a.db", items).close_sync()
    (tmp_path / "a.db").chmod(0o644)
    Database.open_sync(tmp_path / "a.db", items).close_sync()
    assert stat.S_IMODE((tmp_path / "a.db").stat().st_mode) == 0o600


def test_one_writer_per_file_here_and_in_another_process(tmp_path: Path, items, python) -> None:
    path = tmp_path / "a.db"
    db = Database.open_sync(path, items)
    with pytest.raises(AlreadyRunningError):
        Database.open_sync(path, items)
    child = python(
        """
        import sys
        from pathlib import Path
        from trustcenter.errors import AlreadyRunningError
        from trustcenter.store import Database
        try:
            Database.open_sync(Path(sys.argv[1]), ())
        except AlreadyRunningError:
            sys.exit(7)
        """,
        path,
    )
    assert child.wait(30) == 7
    assert db.write_sync(lambda c: c.execute("INSERT INTO item (word) VALUES ('a')").lastrowid) == 1
    db.close_sync()
    Database.open_sync(path, items).close_sync()


def test_reading_beside_a_running_service(tmp_path: Path, items) -> None:
    path = tmp_path / "a.db"
    with pytest.raises(NotFoundError):
        Database.open_sync(path, items, read_only=True)
    db = Database.open_sync(path, items)
    db.write_sync(lambda c: c.execute("INSERT INTO item (word) VALUES ('a')"))
    for running in (True, False):
        beside = Database.open_sync(path, items, read_only=True)
        assert beside.read_sync(lambda c: c.execute("SELECT word FROM item").fetchall()) == [("a",)]
        with pytest.raises(StoreUnavailableError):
            beside.write_sync(lambda c: None)
        beside.close_sync()
        if running:
            db.close_sync()
    more = (*items, Migration(2, "more", "CREATE TABLE more (x INTEGER);"))
    with pytest.raises(StoreUnavailableError):
        Database.open_sync(path, more, read_only=True)


def test_a_missing_directory_is_not_created(tmp_path: Path, items) -> None:
    with pytest.raises(NotFoundError):
        Database.open_sync(tmp_path / "none" / "a.db", items)


def test_rooms_do_not_open_each_others_files(tmp_path: Path, items) -> None:
    Database.open_sync(tmp_path / "c.db", items, application="comparator").close_sync()
    with pytest.raises(WrongStoreError):
        Database.open_sync(tmp_path / "c.db", items, application="registrar")
    with pytest.raises(WrongStoreError):
        Database.open_sync(tmp_path / "c.db", items, application="registrar", read_only=True)
    Database.open_sync(tmp_path / "c.db", items, application="comparator").close_sync()
    foreign = sqlite3.connect(tmp_path / "f.db")
    foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    with pytest.raises(WrongStoreError):
        Database.open_sync(tmp_path / "f.db", items)
    (tmp_path / "n.db").write_bytes(b"this is no database " * 100)
    with pytest.raises(StoreError, match="damaged"):
        Database.open_sync(tmp_path / "n.db", items)


def test_migrations_apply_once_in_order_and_fill_gaps(tmp_path: Path, items) -> None:
    path = tmp_path / "a.db"
    later = Migration(100, "later", "CREATE TABLE later (x INTEGER); INSERT INTO later VALUES (1);")
    Database.open_sync(path, (later, *items)).close_sync()
    between = Migration(2, "between", "UPDATE later SET x = x + 1;")
    for _ in range(2):
        db = Database.open_sync(path, (*items, between, later))
        assert db.read_sync(lambda c: c.execute("SELECT x FROM later").fetchall()) == [(2,)]
        db.close_sync()


def test_newer_and_changed_schemas_are_refused(tmp_path: Path, items) -> None:
    path = tmp_path / "a.db"
    more = Migration(2, "more", "CREATE TABLE more (x INTEGER);")
    Database.open_sync(path, (*items, more)).close_sync()
    with pytest.raises(NewerStoreError) as caught:
        Database.open_sync(path, items)
    assert caught.value.hint
    with pytest.raises(MigrationChangedError):
        Database.open_sync(path, (*items, Migration(2, "more", "CREATE TABLE more (x TEXT);")))
    with pytest.raises(StoreError):
        Database.open_sync(path, (*items, more, more))
    Database.open_sync(path, (*items, more)).close_sync()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE more (x INTEGER); INSERT INTO nowhere VALUES (1);",
        "CREATE TABLE more (x INTEGER); INSERT INTO note VALUES (99, NULL);",
        "CREATE TABLE more (x INTEGER); CREATE TABLE",
    ],
    ids=["failing statement", "orphaned row", "cut text"],
)
def test_a_failed_migration_leaves_the_step_before(tmp_path: Path, items, sql: str) -> None:
    path = tmp_path / "a.db"
    Database.open_sync(path, items).close_sync()
    with pytest.raises((StoreError, sqlite3.Error)):
        Database.open_sync(path, (*items, Migration(2, "more", sql)))
    db = Database.open_sync(path, items)
    assert db.read_sync(lambda c: c.execute("SELECT name FROM sqlite_master WHERE name = 'more'").fetchall()) == []
    assert db.write_sync(lambda c: c.execute("PRAGMA foreign_keys").fetchone()) == (1,)
    db.close_sync()


def test_statements_are_split_where_they_end() -> None:
    sql = """
    CREATE TABLE a (x TEXT DEFAULT ';');  -- a comment; with a semicolon
    CREATE TRIGGER t BEFORE DELETE ON a BEGIN SELECT 1; SELECT 2; END;
    ;
    INSERT INTO a VALUES ('it''s; fine');
    -- the end
    """
    found = list(statements(sql))
    assert len(found) == 3
    conn = sqlite3.connect(":memory:", isolation_level=None)
    for piece in found:
        conn.execute(piece)
    assert conn.execute("SELECT x FROM a").fetchall() == [("it's; fine",)]
    conn.close()
