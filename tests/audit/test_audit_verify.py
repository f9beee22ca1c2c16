"""Bundles: what was logged is accepted, and every single change is refused and named."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import AuditLog, Event, fingerprint, verify_bundle
from trustcenter.audit.note import Checkpoint, Key, sign_note
from trustcenter.errors import BundleError, exit_code

MakeLog = Callable[..., AuditLog]
SIZE = 24


def _fill(log: AuditLog, conn: sqlite3.Connection, start: int, stop: int) -> None:
    for n in range(start, stop):
        fields: dict[str, Any] = {"who": f"site-{n % 3}", "study": "s", "count": n}
        if log.room == "comparator":
            log.append(conn, Event.UPLOAD_OPEN, {**fields, "window": 1 + n // 5})
        else:
            log.append(conn, Event.PSEUDONYM_ISSUE, fields)


def _verify(lines: list[bytes], **options: Any) -> Any:
    return verify_bundle(io.BytesIO(b"".join(lines)), **options)


def _where(lines: list[bytes], **options: Any) -> str:
    with pytest.raises(BundleError) as caught:
        _verify(lines, **options)
    assert exit_code(caught.value) == 3
    assert caught.value.where
    return caught.value.where


def _entry(line: bytes, **changes: Any) -> bytes:
    """The line with changed words and a fitting hash, as a careful forger would write it."""
    leaf = json.loads(line)["leaf"]
    leaf = {key: value for key, value in {**leaf, **changes}.items() if value is not ...}
    raw = json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return b'{"hash":"%s","leaf":%s}\n' % (hashlib.sha256(b"\0" + raw).hexdigest().encode(), raw)


@pytest.fixture(params=["registrar", "comparator"])
def room(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(make_log: MakeLog, room: str) -> AuditLog:
    return make_log(room)


@pytest.fixture
def lines(log: AuditLog, connection: sqlite3.Connection) -> list[bytes]:
    _fill(log, connection, 0, SIZE)
    return list(log.export(connection))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 24])
def test_what_was_logged_is_accepted(log: AuditLog, connection: sqlite3.Connection, size: int) -> None:
    old = [log.checkpoint(connection)]
    for n in range(size):
        _fill(log, connection, n, n + 1)
        old.append(log.checkpoint(connection))
    report = _verify(list(log.export(connection)), fingerprint=fingerprint(log.vkey), old_checkpoints=old)
    assert (report.size, report.root) == log.head(connection)
    assert (report.origin, report.room, report.vkey) == (log.origin, log.room, log.vkey)
    assert report.fingerprint_checked
    assert report.checkpoints == size + 1
    assert report.events.total() == size
    assert bool(report.first_time) == (size > 0 and log.room == "registrar")
    assert not _verify(list(log.export(connection))).fingerprint_checked


def test_single_changes_of_lines_are_named(lines: list[bytes]) -> None:
    tried = 0
    for n in range(SIZE):
        at = n + 1
        line = lines[at]
        for spot in (0, 9, 40, 75, 82, 90, len(line) // 2, len(line) - 3, len(line) - 2, len(line) - 1):
            changed = line[:spot] + bytes([line[spot] ^ 1]) + line[spot + 1 :]
            assert _where([*lines[:at], changed, *lines[at + 1 :]]) == f"entry {n}"
            tried += 1
        assert _where([*lines[:at], *lines[at + 1 :]]) == f"entry {n}"
        assert _where([*lines[: at + 1], *lines[at:]]) in {f"entry {n + 1}", "checkpoint"}
        assert _where(lines[:at]) == f"entry {n}"
        assert _where([*lines[:at], line[: len(line) // 2]]) == f"entry {n}"
        assert _where([*lines[:at], line[:-1] + b" \n", *lines[at + 1 :]]) == f"entry {n}"
        assert _where([*lines[:at], b"\n", *lines[at:]]) == f"entry {n}"
        tried += 6
        if at + 1 <= SIZE:
            assert _where([*lines[:at], lines[at + 1], line, *lines[at + 2 :]]) == f"entry {n}"
            tried += 1
    assert tried >= 300


def test_every_bit_of_a_small_bundle_counts(log: AuditLog, connection: sqlite3.Connection) -> None:
    _fill(log, connection, 0, 3)
    raw = b"".join(log.export(connection))
    mark = fingerprint(log.vkey)
    verify_bundle(io.BytesIO(raw), fingerprint=mark)
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << at % 8
        with pytest.raises(BundleError):
            verify_bundle(io.BytesIO(bytes(changed)), fingerprint=mark)


def test_every_truncation_and_any_addition_is_refused(log: AuditLog, connection: sqlite3.Connection) -> None:
    _fill(log, connection, 0, 2)
    raw = b"".join(log.export(connection))
    for length in range(len(raw)):
        with pytest.raises(BundleError):
            verify_bundle(io.BytesIO(raw[:length]))
    for tail in (b"\n", b"x", raw, b"\0"):
        assert _where([raw, tail]) == "end"


def test_forged_entries_with_fitting_hashes_are_caught_by_the_signed_root(
    lines: list[bytes], log: AuditLog, connection: sqlite3.Connection
) -> None:
    for n in range(SIZE):
        forged = [*lines[: n + 1], _entry(lines[n + 1], who="somebody-else"), *lines[n + 2 :]]
        assert _where(forged) == f"entries 0 to {SIZE - 1}"
    old = [log.checkpoint(connection)]
    _fill(log, connection, SIZE, SIZE + 4)
    longer = list(log.export(connection))
    longer[SIZE + 2] = _entry(longer[SIZE + 2], who="somebody-else")
    assert _where(longer, old_checkpoints=old) == f"entries {SIZE} to {SIZE + 3}"


def test_forged_words_with_fitting_hashes_are_named(lines: list[bytes], room: str) -> None:
    changes: list[dict[str, Any]] = [
        {"seq": 7},
        {"seq": -1},
        {"seq": "5"},
        {"v": 2},
        {"event": "site:pseudonym:forget"},
        {"event": "site:request:refused"},
        {"outcome": "refused"},
        {"outcome": ""},
        {"who": ""},
        {"who": ...},
        {"data": ...},
        {"data": {"x": 1.5}},
        {"data": {"X": 1}},
        {"data": [1]},
        {"extra": 1},
    ]
    if room == "registrar":
        changes += [
            {"window": 1},
            {"time": ...},
            {"time": "2026-11-24T11:00:00.000000Z"},
            {"time": "2026-13-24T12:00:00.000000Z"},
            {"time": "2026-11-24T12:00:00Z"},
            {"time": "2026-11-24T12:00:00.006000Z\n"},
            {"time": "2026-11-24T13:00:00.006000+01:00"},
            {"clock_skew": 0},
            {"clock_skew": -1},
        ]
    else:
        changes += [{"window": ...}, {"window": 0}, {"window": -1}, {"time": "2026-11-24T12:00:00.006000Z"}]
        changes += [{"event": "site:pseudonym:issue"}, {"event": "comparator:window:compare", "window": 9}]
    for change in changes:
        forged = [*lines[:6], _entry(lines[6], **change), *lines[7:]]
        assert _where(forged) == "entry 5", change


def test_other_spellings_with_fitting_hashes_are_named(lines: list[bytes]) -> None:
    leaf = json.loads(lines[6])["leaf"]
    for raw in (
        json.dumps(leaf, sort_keys=True).encode(),
        json.dumps(dict(sorted(leaf.items(), reverse=True)), separators=(",", ":")).encode(),
        lines[6][82:-2].replace(b'"v":1', b'"v":1,"v":1'),
        lines[6][82:-2].replace(b'"v":1', b'"v":1.0'),
        lines[6][82:-2].replace(b'"site-2"', b'"\\u0073ite-2"'),
        b"null",
        b"[]",
    ):
        assert raw != lines[6][82:-2]
        line = b'{"hash":"%s","leaf":%s}\n' % (hashlib.sha256(b"\0" + raw).hexdigest().encode(), raw)
        assert _where([*lines[:6], line, *lines[7:]]) == "entry 5"


def test_signatures_of_another_key(
    lines: list[bytes], log: AuditLog, make_log: MakeLog, connection: sqlite3.Connection
) -> None:
    other = make_log(log.room, Ed25519PrivateKey.generate())
    resigned = list(other.export(connection))
    old = [log.checkpoint(connection)]
    assert _verify(resigned).size == SIZE, "without a fingerprint anybody can have signed"
    assert _where(resigned, fingerprint=fingerprint(log.vkey)) == "public key"
    assert _where(resigned, old_checkpoints=old) == "old checkpoint 1"
    assert _where([lines[0], *resigned[1:]]) == "signature"
    assert _where([resigned[0], *lines[1:]]) == "signature"


def test_rolled_back_and_rewritten_logs_do_not_extend_old_checkpoints(
    log: AuditLog, connection: sqlite3.Connection
) -> None:
    _fill(log, connection, 0, 5)
    five = log.checkpoint(connection)
    connection.execute("COMMIT")
    connection.execute("BEGIN")
    _fill(log, connection, 5, 9)
    nine = log.checkpoint(connection)
    connection.execute("ROLLBACK")
    connection.execute("BEGIN")
    assert _where(list(log.export(connection)), old_checkpoints=[five, nine]) == "old checkpoint 2"
    _fill(log, connection, 6, 12)
    rewritten = list(log.export(connection))
    assert _verify(rewritten, old_checkpoints=[five]).size == 11
    assert _where(rewritten, old_checkpoints=[nine, five]) == "entries 5 to 8"
    assert _where(rewritten, old_checkpoints=[five.replace("5", "6", 1)]) == "old checkpoint 1"
    assert _where(rewritten, old_checkpoints=["", five]) == "old checkpoint 1"


def test_headers_and_checkpoints_of_other_logs(
    lines: list[bytes], log: AuditLog, connection: sqlite3.Connection, signer: Ed25519PrivateKey
) -> None:
    header = json.loads(lines[0])

    def with_header(**changes: Any) -> list[bytes]:
        changed = {key: value for key, value in {**header, **changes}.items() if value is not ...}
        return [json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n", *lines[1:]]

    for change in (
        {"format": "trustcenter/audit-bundle/2"},
        {"size": -1},
        {"size": "24"},
        {"size": ...},
        {"extra": 1},
        {"origin": "trustcenter/x"},
        {"vkey": 5},
    ):
        assert _where(with_header(**change)) == "header"
    assert _where(with_header(origin="trustcenter/x/registrar")) == "public key"
    assert _where(with_header(vkey=header["vkey"][:-4] + "AAAA")) == "public key"
    assert _where(with_header(size=SIZE - 1)) == "checkpoint"
    assert _where(with_header(size=SIZE + 1)) == f"entry {SIZE}"

    key = Key(log.origin, signer.public_key().public_bytes_raw())
    root = bytes.fromhex(log.head(connection)[1])

    def with_checkpoint(point: Checkpoint) -> list[bytes]:
        note = sign_note(point.text, key, signer.sign)
        return [
            *lines[:-1],
            json.dumps({"checkpoint": note}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n",
        ]

    assert _verify(with_checkpoint(Checkpoint(log.origin, SIZE, root))).size == SIZE
    assert _where(with_checkpoint(Checkpoint(log.origin, SIZE - 1, root))) == "checkpoint"
    assert _where(with_checkpoint(Checkpoint(log.origin, SIZE, bytes(32)))) == f"entries 0 to {SIZE - 1}"
    assert _where(with_checkpoint(Checkpoint("trustcenter/x/registrar", SIZE, root))) == "checkpoint"
    assert _where(with_checkpoint(Checkpoint(log.origin, SIZE, root, ("more",)))) == "checkpoint"
    assert _where([lines[0][:-1], b"\r\n", *lines[1:]]) == "header"
    assert _where([b""]) == "header"
    assert _where([b"x" * 200_000]) == "header"
    assert _where([lines[0], b"x" * 200_000 + b"\n"]) == "entry 0"


def test_windows_of_a_study_do_not_go_back(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log("comparator")

    def add(event: Event, study: str, window: int) -> None:
        log.append(connection, event, {"who": "service", "study": study, "window": window})

    add(Event.STUDY_PARAMS, "a", 1)
    add(Event.WINDOW_FREEZE, "a", 1)
    add(Event.UPLOAD_OPEN, "a", 2)
    add(Event.WINDOW_DELIVER, "a", 1)  # the frozen one, while the next is open
    add(Event.STUDY_PARAMS, "b", 1)
    add(Event.STUDY_PARAMS, "a", 1)  # a new version counts anew
    add(Event.UPLOAD_OPEN, "a", 1)
    assert _verify(list(log.export(connection))).size == 7
    add(Event.WINDOW_FREEZE, "a", 3)
    add(Event.ROWS_RETIRE, "a", 2)
    assert _where(list(log.export(connection))) == "entry 8"


def test_memory_stays_flat(make_log: MakeLog, connection: sqlite3.Connection, tmp_path: Path) -> None:
    log = make_log()
    path = tmp_path / "bundle"
    peaks = []
    for total in (2_000, 20_000):
        done = log.head(connection)[0]
        log.append_many(connection, [(Event.PSEUDONYM_ISSUE, {"count": n}) for n in range(done, total)])
        with path.open("wb") as file:
            file.writelines(log.export(connection))
        with path.open("rb") as file:
            tracemalloc.start()
            verify_bundle(file)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000
