"""The two rooms: what each store may hold, what each log may say, and that nothing joins them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from trustcenter.registrar import schema as registrar_schema

pytestmark = pytest.mark.files
PEOPLE = {"room_key_proposal"}  # what two people agree about keys has a time; nothing about rows or records has


def columns(path: Path) -> set[str]:
    conn = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        tables = [row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {row[1] for table in set(tables) - PEOPLE for row in conn.execute(f"PRAGMA table_info('{table}')")}
    finally:
        conn.close()


def export(world, room: str) -> list[dict]:
    answer = world["clara"]("GET", f"/v1/audit/{room}/export")
    assert answer.status == 200
    return [json.loads(line) for line in answer.body.splitlines()]


def test_each_store_lacks_what_the_other_one_has(live) -> None:
    registrar = columns(live.dir / "registrar" / "registrar.db")
    comparator = columns(live.dir / "comparator" / "comparator.db")
    assert not registrar & {"filter", "token_value", "pass"}
    assert not comparator & {"serial", "nonce", "sealed", "person", "record", "tag", "domain", "pseudonym", "created"}
    assert {"sealed", "person"} <= registrar
    assert {"filter", "token"} <= comparator


def test_the_registrars_schema_has_no_filter() -> None:
    assert "filter" not in "".join(migration.sql for migration in registrar_schema.MIGRATIONS)


def test_the_logs_share_no_identifier_and_the_comparator_has_no_clock(world) -> None:
    registrar, comparator = export(world, "registrar"), export(world, "comparator")
    text = {room: json.dumps(lines) for room, lines in (("registrar", registrar), ("comparator", comparator))}
    assert '"window"' in text["comparator"]
    assert '"time"' not in text["comparator"]
    requests = {line["leaf"]["data"].get("request") for line in registrar if "leaf" in line} - {None, ""}
    assert requests
    assert not any(value in text["comparator"] for value in requests)


@pytest.mark.parametrize("room", ["registrar", "comparator"])
def test_a_database_of_the_other_room_is_refused(live, tmp_path: Path, room: str) -> None:
    from trustcenter.errors import TrustCenterError
    from trustcenter.instance.opening import COMPARATOR_MIGRATIONS, REGISTRAR_MIGRATIONS
    from trustcenter.store import Database

    other = "comparator" if room == "registrar" else "registrar"
    source = live.dir / other / f"{other}.db"
    copy = tmp_path / "copy.db"
    conn = sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)
    target = sqlite3.connect(copy)
    conn.backup(target)
    conn.close()
    target.close()
    migrations = REGISTRAR_MIGRATIONS if room == "registrar" else COMPARATOR_MIGRATIONS
    with pytest.raises(TrustCenterError) as caught:
        Database.open_sync(copy, migrations, application=room)
    assert caught.value.code == "store_wrong_file"
