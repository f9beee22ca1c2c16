"""A log that is locked, or whose key is missing: refused, nothing done, and it serves again afterwards."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from crash_center import Crashing
from crash_support import Caller
from tests_support import ON_POSTGRES, run_cli

from trustcenter.config import load

pytestmark = [pytest.mark.faults, pytest.mark.skipif(ON_POSTGRES, reason="locks and files of one machine")]


def test_a_locked_log_refuses_the_operation_and_serves_again(tmp_path: Path) -> None:
    center = Crashing(tmp_path)
    try:
        site = Caller(center.connection)
        database = center.dir / "registrar" / "registrar.db"
        with contextlib.closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as side:

            def rows() -> tuple[int, int]:
                (entries,) = side.execute("SELECT count(*) FROM audit_entry").fetchone()
                (made,) = side.execute("SELECT count(*) FROM entry").fetchone()
                return entries, made

            path, body = "/v1/domains/still/pseudonyms", {"originals": ["locked-out"]}
            before = rows()
            side.execute("BEGIN IMMEDIATE")
            answer = site(path, body)
            assert answer is not None
            assert answer[0] == 503, "it was answered although nothing could be logged"
            side.execute("ROLLBACK")
            assert rows() == before, "something was done that is not in the log"
            again = site(path, body)
            assert again is not None
            assert again[0] == 200
            entries, made = rows()
            assert (entries, made) == (before[0] + 1, before[1] + 1)
    finally:
        center.kill()


def test_without_the_key_of_the_log_nothing_is_served(tmp_path: Path) -> None:
    center = Crashing(tmp_path)
    center.kill()
    settings = load(center.dir)
    store = settings.path(settings.files.registrar_keys)
    store.rename(store.with_name("away"))
    ended = run_cli("serve", center.dir)
    assert ended.returncode != 0
    assert "error:" in ended.stderr
