"""What is deleted is gone from the file, also where a split page had left a copy."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from trustcenter.store.scrub import scrub


def split_and_delete(path: Path) -> list[bytes]:
    """Two interleaved groups with an index, then one of them erased; returns its secrets."""
    numbers = random.Random(1)
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA secure_delete = ON")
    conn.execute("CREATE TABLE e (g INTEGER, s INTEGER, x BLOB, y BLOB, t BLOB, PRIMARY KEY (g, s)) WITHOUT ROWID")
    conn.execute("CREATE UNIQUE INDEX e_t ON e (g, t) WHERE t IS NOT NULL")
    secrets = []
    for start in range(0, 3000, 300):
        for group in (1, 2):
            rows = sorted((numbers.randbytes(16), numbers.randbytes(16), numbers.randbytes(26)) for _ in range(300))
            conn.executemany(
                "INSERT INTO e (g, s, t, x, y) VALUES (?,?,?,?,?)",
                [(group, start + i, *row) for i, row in enumerate(rows)],
            )
            conn.commit()
            secrets += [secret for row in rows for secret in row] if group == 1 else []
    for remainder in (1, 2, 0):
        conn.execute("UPDATE e SET x = x'', y = NULL, t = NULL WHERE g = 1 AND s % 3 = ?", (remainder,))
        conn.commit()
    conn.close()
    return secrets


def test_copies_on_split_pages_are_cleared_and_the_rest_is_untouched(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    secrets = split_and_delete(path)
    before = path.read_bytes()
    if not any(secret in before for secret in secrets):
        pytest.skip("this version of SQLite splits pages otherwise: it left no copy of these rows")
    conn = sqlite3.connect(path)
    rows = conn.execute("SELECT * FROM e").fetchall()
    conn.close()
    assert scrub(path) > 0
    after = path.read_bytes()
    assert not any(secret in after for secret in secrets)
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert conn.execute("SELECT * FROM e").fetchall() == rows
    conn.execute("INSERT INTO e (g, s, x) VALUES (3, 1, x'01')")
    conn.commit()
    conn.close()
    assert scrub(path) == 0


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"no database" * 500])
def test_other_files_are_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b"
    path.write_bytes(content)
    assert scrub(path) == 0
    assert path.read_bytes() == content


def test_a_file_with_pointer_maps_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA auto_vacuum = FULL")
    conn.execute("CREATE TABLE t (x)")
    conn.execute("INSERT INTO t VALUES (zeroblob(9000))")
    conn.commit()
    conn.close()
    before = path.read_bytes()
    assert scrub(path) == 0
    assert path.read_bytes() == before


def test_overflow_and_free_pages_are_not_taken_for_pages_of_a_tree(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA page_size = 512")
    conn.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, x BLOB)")
    blobs = [bytes([kind]) * 5000 for kind in (0x02, 0x05, 0x0A, 0x0D)]
    conn.executemany("INSERT INTO t (x) VALUES (?)", [(blob,) for blob in blobs * 20])
    conn.execute("DELETE FROM t WHERE k % 3 = 0")
    conn.commit()
    rows = conn.execute("SELECT * FROM t").fetchall()
    conn.close()
    scrub(path)
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert conn.execute("SELECT * FROM t").fetchall() == rows
    conn.close()
