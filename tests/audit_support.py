"""Logs with something of everything in them, and what a forger does to their exports."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import AuditLog, Event

NEXT = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
EVIL = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))


def fill(log: AuditLog, conn: sqlite3.Connection, clock: Any = None) -> list[str]:
    """Write a log with a change of the audit key in it; returns checkpoints of some earlier heads.

    With the clock of the log in hand, details are deleted by a rule as well.
    """
    old = []
    if log.room == "comparator":
        for window in (1, 2, 3):
            log.append(conn, Event.STUDY_PARAMS, {"study": "s", "window": window})
            log.append(conn, Event.UPLOAD_OPEN, {"who": "uk-nord", "study": "s", "window": window, "rows": 15})
            log.append(conn, Event.WINDOW_FREEZE, {"study": "s", "window": window})
            old.append(log.checkpoint(conn))
            if window == 2:
                hand_over(log, conn)
        return old
    log.append(conn, Event.INSTANCE_INITIALISE, {"instance": "0f" * 16})
    log.append(conn, Event.SITE_CREATE, {"who": "anna", "site": "uk-nord", "title": "Klinikum „Nord“"})
    log.append(conn, Event.DOMAIN_CREATE, {"who": "anna", "domain": "nord", "site": "uk-nord"})
    old.append(log.checkpoint(conn))
    issue(log, conn, 1, 10)
    issue(log, conn, 11, 5)
    key = {"who": "anna", "domain": "nord", "purpose": "pseudonym"}
    log.append(conn, Event.KEY_CREATE, {**key, "version": 2})
    log.append(conn, Event.KEY_ROTATE, {**key, "from_version": 1, "to_version": 2})
    issue(log, conn, 20, 5, version=2)
    old.append(log.checkpoint(conn))
    hand_over(log, conn)
    issue(log, conn, 16, 4, version=2)
    log.append(conn, Event.RELEASE_PROPOSE, {"who": "anna", "release": "r1", "study": "s"})
    for who in ("bert", "cleo"):
        log.append(conn, Event.RELEASE_APPROVE, {"who": who, "release": "r1", "study": "s"})
    log.append(conn, Event.RELEASE_COMPLETE, {"release": "r1", "study": "s"})
    log.append(conn, Event.PSEUDONYM_REFUSED, {"who": "uk-nord", "code": "forbidden", "domain": "nord"})
    log.append(conn, Event.KEY_DESTROY, {**key, "version": 1})
    old.append(log.checkpoint(conn))
    if clock is not None:
        _delete_details(log, conn, clock)
    log.append(conn, Event.INSTANCE_STOP, {})
    return old


def _delete_details(log: AuditLog, conn: sqlite3.Connection, clock: Any) -> None:
    kind = Event.PSEUDONYM_REIDENTIFY
    log.append(conn, kind, {"who": "uk-nord", "domain": "nord", "commitment": "ab" * 32})
    log.append(conn, Event.RETENTION_SET, {"who": "anna", "detail_of": kind.value, "years": 1})
    clock.now += timedelta(days=400)
    before = (clock.now - timedelta(days=370)).date().isoformat()
    told = {"detail_of": kind.value, "years": 1, "since": "", "before": before, "entries": 1, "details": 1}
    log.append(conn, Event.DETAIL_DELETE, {"who": "anna", **told})


def issue(log: AuditLog, conn: sqlite3.Connection, first: int, count: int, version: int = 1) -> None:
    """A range of serials."""
    fields = {"who": "uk-nord", "domain": "nord", "key_version": version, "epoch": 0, "first": first, "count": count}
    log.append(conn, Event.PSEUDONYM_ISSUE, fields)


def hand_over(log: AuditLog, conn: sqlite3.Connection, key: Ed25519PrivateKey = NEXT) -> None:
    """Change the audit key."""
    public = key.public_key().public_bytes_raw()
    log.hand_over(conn, public, key.sign, {"who": "anna"} | ({"window": 2} if log.room == "comparator" else {}))
    log.use(public, key.sign)


def forged(line: bytes, **changes: Any) -> bytes:
    """An entry's line with changed words and a fitting hash."""
    leaf = {key: value for key, value in {**json.loads(line)["leaf"], **changes}.items() if value is not ...}
    return rehash(json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def rehash(leaf: bytes) -> bytes:
    """The line of a leaf."""
    return b'{"hash":"%s","leaf":%s}\n' % (hashlib.sha256(b"\0" + leaf).hexdigest().encode(), leaf)


def mutations(lines: list[bytes], flips: int) -> Iterator[tuple[str, list[bytes]]]:
    """Everything that is done to one line, one at a time: its kind, and the lines after it; so many flips a line."""
    for at, line in enumerate(lines):
        before, after = lines[:at], lines[at + 1 :]
        for spot in sorted({*range(0, len(line), max(1, len(line) // flips)), len(line) - 1}):
            yield "flip", [*before, line[:spot] + bytes([line[spot] ^ 1]) + line[spot + 1 :], *after]
        yield "flip high", [*before, line[:12] + bytes([line[12] ^ 0x80]) + line[13:], *after]
        yield "drop", [*before, *after]
        yield "duplicate", [*before, line, *lines[at:]]
        yield "truncate", [*before, line[: len(line) // 2]]
        yield "cut", [*before, line[: len(line) // 2], *after]
        yield "end here", before
        yield "blank line", [*before, b"\n", *lines[at:]]
        yield "carriage return", [*before, line[:-1] + b"\r\n", *after]
        if after:
            yield "swap", [*before, after[0], line, *after[1:]]
        if len(after) > 1:
            yield "swap far", [*before, after[-1], *after[:-1], line]
        if line.startswith(b'{"hash"'):
            for changes in ({"who": "mallory"}, {"seq": at}, {"v": 2}, {"data": {}}, {"outcome": "failed"}):
                changed = forged(line, **changes)
                if changed != line:
                    yield "forge", [*before, changed, *after]
            yield "forge", [*before, rehash(line[82:-2].replace(b'"v":1', b'"v": 1')), *after]
            yield "leave out", [*before, b'{"level":0,"omitted":"%s"}\n' % line[9:73], *after]
        if line.startswith(b'{"level"'):
            for level in (b"0", b"1", b"7", b"99"):
                changed = b'{"level":%s' % level + line[line.index(b",") :]
                if changed != line:
                    yield "level", [*before, changed, *after]
