"""The log in a database: entries, time, roots and proofs at any size, and the transaction it shares."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import MIGRATIONS, AuditLog, Event, Outcome, merkle_root, open_checkpoint, parse_vkey, tree
from trustcenter.audit.events import COMPARATOR_EVENTS, EVENTS
from trustcenter.errors import InternalError, LogForkedError, StoreUnavailableError, VerificationError
from trustcenter.store import Database, Migration

MakeLog = Callable[..., AuditLog]


def _entries(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    return [json.loads(leaf) for (leaf,) in conn.execute("SELECT leaf FROM audit_entry ORDER BY seq")]


def test_an_entry_holds_what_it_was_given(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    assert log.append(connection, Event.SITE_CREATE, {"who": "anna", "site": "klinikum-a"}) == 0
    assert log.append(connection, Event.RUN_START, {"who": "anna", "window": 3, "outcome": Outcome.BEGUN}) == 1
    assert log.append(connection, Event.SITE_REFUSED, {"code": "rate_limited", "list": [{"n": 1}]}) == 2
    first, second, third = _entries(connection)
    assert first == {
        "v": 1,
        "seq": 0,
        "time": "2026-11-24T12:00:00.001000Z",
        "event": "operator:site:create",
        "who": "anna",
        "outcome": "done",
        "data": {"site": "klinikum-a"},
    }
    assert (second["outcome"], second["data"]) == ("begun", {"window": 3})
    assert (third["who"], third["outcome"]) == ("service", "refused")


def test_the_comparator_has_windows_and_no_clock(make_log: MakeLog, connection: sqlite3.Connection, clock: Any) -> None:
    log = make_log("comparator")
    log.append(connection, Event.UPLOAD_OPEN, {"who": "klinikum-a", "window": 2, "study": "s"})
    (entry,) = _entries(connection)
    assert entry["window"] == 2
    assert "time" not in entry
    assert clock.now.microsecond == 0, "the clock was asked"
    for fields in (
        {"who": "a"},
        {"who": "a", "window": -1},
        {"who": "a", "window": "2"},
        {"who": "a", "window": True},
        {"who": "a", "window": 1, "time": "2026-11-24T12:00:00.000000Z"},
        {"who": "a", "window": 1, "clock_skew": 1},
    ):
        with pytest.raises(ValueError):
            log.append(connection, Event.UPLOAD_OPEN, fields)
    with pytest.raises(ValueError):
        log.append(connection, Event.PSEUDONYM_ISSUE, {"who": "a", "window": 1})
    assert log.head(connection)[0] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"who": ""},
        {"who": "x" * 129},
        {"who": 5},
        {"seq": 5},
        {"v": 2},
        {"event": "x"},
        {"time": "2026-11-24T12:00:00.000000Z"},
        {"outcome": "refused"},
        {"outcome": "perhaps"},
        {"ratio": 0.5},
        {"flag": True},
        {"nothing": None},
        {"raw": b"x"},
        {"Key": 1},
        {"text": "\ud800"},
        {"text": "x" * 70_000},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_fields_that_cannot_stand_in_an_entry(
    make_log: MakeLog, connection: sqlite3.Connection, fields: dict[str, Any]
) -> None:
    log = make_log()
    log.append(connection, Event.SITE_CREATE, {"who": "anna"})
    before = log.head(connection)
    with pytest.raises(ValueError):
        log.append_many(connection, [(Event.SITE_CREATE, {"who": "anna"}), (Event.SITE_CREATE, fields)])
    assert log.head(connection) == before
    assert len(_entries(connection)) == 1


def test_time_never_goes_back(make_log: MakeLog, connection: sqlite3.Connection, clock: Any) -> None:
    log = make_log()
    log.append(connection, Event.INSTANCE_START, {})
    clock.now -= timedelta(seconds=10)
    log.append(connection, Event.INSTANCE_STOP, {})
    log.append(connection, Event.INSTANCE_START, {})
    clock.now += timedelta(seconds=20)
    log.append(connection, Event.INSTANCE_STOP, {})
    entries = _entries(connection)
    times = [entry["time"] for entry in entries]
    assert times[0] == times[1] == times[2] < times[3]
    assert [entry.get("clock_skew") for entry in entries] == [None, 9_999_000, 9_998_000, None]


def test_roots_and_proofs_at_any_size(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    log.append_many(connection, [(Event.SITE_CREATE, {"number": n}) for n in range(1000)])
    for n in range(1000, 1400):
        log.append(connection, Event.SITE_CREATE, {"number": n})
    leaves = [leaf for (leaf,) in connection.execute("SELECT leaf FROM audit_entry ORDER BY seq")]
    size, root = log.head(connection)
    assert (size, root) == (1400, merkle_root(leaves).hex())
    for at in (0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 768, 1000, 1024, 1025, 1399, 1400):
        assert log.root_at(connection, at) == merkle_root(leaves[:at]).hex()
    for at in (1, 255, 256, 300, 1024, 1400):
        for index in {0, at // 2, at - 1}:
            path = log.inclusion_proof(connection, index, at)
            tree.verify_inclusion(index, at, tree.leaf_hash(leaves[index]), path, merkle_root(leaves[:at]))
        path = log.consistency_proof(connection, at)
        tree.verify_consistency(at, 1400, path, merkle_root(leaves[:at]), bytes.fromhex(root))
    with pytest.raises(LogForkedError):
        log.root_at(connection, 1401)
    with pytest.raises(ValueError):
        log.inclusion_proof(connection, 0, 1401)
    with pytest.raises(ValueError):
        log.consistency_proof(connection, 0)


def test_checkpoints_and_what_extends_them(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    empty = log.checkpoint(connection)
    log.append(connection, Event.INSTANCE_START, {})
    one = log.checkpoint(connection)
    found = open_checkpoint(one, parse_vkey(log.vkey))
    assert (found.origin, found.size, found.root.hex()) == (log.origin, *log.head(connection))
    log.append(connection, Event.INSTANCE_STOP, {})
    for old in (empty, one, log.checkpoint(connection)):
        log.check_extends(connection, old)
    connection.execute("ROLLBACK")  # as a restored backup would
    connection.execute("BEGIN")
    with pytest.raises(LogForkedError):
        log.check_extends(connection, one)
    log.append(connection, Event.INSTANCE_STOP, {})
    with pytest.raises(LogForkedError):
        log.check_extends(connection, one)
    other = make_log(key=Ed25519PrivateKey.generate())
    with pytest.raises(VerificationError):
        log.check_extends(connection, other.checkpoint(connection))


def test_a_checkpoint_that_would_not_verify_is_not_given_out(
    connection: sqlite3.Connection, signer: Ed25519PrivateKey
) -> None:
    log = AuditLog("trustcenter/x/registrar", signer.sign, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    with pytest.raises(VerificationError):
        log.checkpoint(connection)


@pytest.mark.parametrize("origin", ["trustcenter/x", "registrar/", "", "trust center/x/registrar", "a+b/registrar"])
def test_origins_that_logs_cannot_have(origin: str) -> None:
    with pytest.raises(ValueError):
        AuditLog(origin, lambda _: b"", bytes(32))


def test_appending_needs_a_transaction_and_entries_stay(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    log.append(connection, Event.INSTANCE_START, {})
    connection.execute("COMMIT")
    with pytest.raises(InternalError):
        log.append(connection, Event.INSTANCE_STOP, {})
    for statement in ("DELETE FROM audit_entry", "UPDATE audit_entry SET leaf = x'00'"):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)


async def test_an_effect_and_its_entry_stand_or_fall_together(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log()
    items = Migration(500, "items", "CREATE TABLE item (word TEXT UNIQUE) STRICT;")
    db = await Database.open(tmp_path / "a.db", (*MIGRATIONS, items))

    def effect(word: str) -> Callable[[sqlite3.Connection], None]:
        def run(conn: sqlite3.Connection) -> None:
            conn.execute("INSERT INTO item VALUES (?)", (word,))
            log.append(conn, Event.SITE_CREATE, {"who": "anna"})

        return run

    def state() -> tuple[int, int, int]:
        count = "SELECT (SELECT count(*) FROM item), (SELECT count(*) FROM audit_entry), size FROM audit_head"
        found: tuple[int, int, int] = db.read_sync(lambda c: c.execute(count).fetchone())
        return found

    await db.write(effect("one"))
    assert state() == (1, 1, 1)
    with pytest.raises(sqlite3.IntegrityError):  # the effect fails
        await db.write(effect("one"))
    assert state() == (1, 1, 1)

    await db.write(  # the log fails
        lambda c: c.execute("CREATE TRIGGER full BEFORE INSERT ON audit_entry BEGIN SELECT RAISE(ABORT, 'full'); END")
    )
    with pytest.raises(sqlite3.Error):
        await db.write(effect("two"))
    assert state() == (1, 1, 1)
    await db.write(lambda c: c.execute("DROP TRIGGER full"))

    await db.write(lambda c: c.execute("PRAGMA busy_timeout = 30").fetchone())
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # somebody else holds the file
    with pytest.raises(StoreUnavailableError):
        await db.write(effect("three"))
    other.execute("ROLLBACK")
    other.close()
    assert state() == (1, 1, 1)
    await db.write(effect("four"))
    assert state() == (2, 2, 2)
    await db.close()


def test_a_damaged_head_is_noticed(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    log.append(connection, Event.INSTANCE_START, {})
    connection.execute("UPDATE audit_head SET size = 3")
    with pytest.raises(InternalError):
        log.append(connection, Event.INSTANCE_STOP, {})


def test_events_follow_the_grammar_and_are_closed() -> None:
    for word in EVENTS:
        parts = word.split(":")
        assert len(parts) == 3
        assert all(part.isalpha() and part.islower() for part in parts)
    assert {e for e in Event if e.endswith(":refused")} == {e for e in Event if e.name.endswith("REFUSED")}
    assert not {event for event in COMPARATOR_EVENTS if ":pseudonym:" in event or ":record:" in event}


def test_the_specification_lists_these_events_and_rooms() -> None:
    page = (Path(__file__).parents[2] / "docs" / "spec" / "audit-log.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `") and ":" in line]
    listed = {row[0].strip("`"): row[1] for row in rows if row[0].count(":") == 2}
    assert list(listed) == list(EVENTS)
    for word, room in listed.items():
        assert (room != "registrar") == (EVENTS[word] in COMPARATOR_EVENTS), word
