"""`trustcenter fsck`: whether everything that is stored fits together. Reads only, beside a running service too.

Each check compares two things that are written apart: rows and counters, rows and log, states and key material,
what one room holds and what the other knows of it. The first finding that fails is the one to look at.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from keys.ids import KeyId
from keys.states import KeyState
from keys.store import KeyStore
from linkage.wording import counted
from trustcenter.audit.entries import Entry
from trustcenter.clock import utc_now
from trustcenter.comparator import receipt_keys
from trustcenter.config import Config
from trustcenter.errors import VerificationError
from trustcenter.instance.opening import require_complete
from trustcenter.instance.parts import RANGE_WORDS, head_path, keys_path, recompute_log, room_snapshot
from trustcenter.instance.rotating import room_key_record
from trustcenter.registrar.head import OutsideHead
from trustcenter.registrar.rotating.keyring import KeyRing
from trustcenter.store import Connection
from trustcenter.store.faults import translate

from . import age
from .finding import Finding
from .fsck_entries import blobs, forgotten, idempotency, strings, tag_index
from .fsck_rows import comparator_rows, records, rooms
from .fsck_serials import counters, domain_rows, ranges

Check = Callable[[], Iterator[Finding]]


def run(config: Config, passphrase: bytes) -> list[Finding]:
    """Run every check; what cannot be checked is a finding.

    Raises:
        KeysError: a key store does not open, without which nothing can be verified.
        VerificationError: no head, or a forged one.
        NotFoundError, ConflictError: a database is missing or older than this program, or a restore was interrupted.
    """
    require_complete(config)
    age.require_current(config)
    findings: list[Finding] = []
    with ExitStack() as stack:
        conns = {room: stack.enter_context(room_snapshot(config, room)) for room in config.rooms}
        checks: list[tuple[str, Check]] = []
        if "registrar" in conns:
            checks += _registrar(config, conns["registrar"], passphrase)
        if "comparator" in conns:
            comparator_keys = KeyStore.open(keys_path(config, "comparator"), passphrase)
            checks += _comparator_checks(conns["comparator"], conns.get("registrar"), comparator_keys)
        for name, check in checks:
            findings.extend(_guarded(name, check))
    return findings


def _registrar(config: Config, conn: Connection, passphrase: bytes) -> list[tuple[str, Check]]:
    keys = KeyStore.open(keys_path(config, "registrar"), passphrase)
    before = OutsideHead.load(head_path(config), keys)
    # The snapshot begins here: after one look at the head, before the next.
    conn.execute("SELECT 1 FROM instance").fetchone()
    after = OutsideHead.load(head_path(config), keys)
    keys = KeyStore.open(keys_path(config, "registrar"), passphrase)
    told: list[Entry] = []
    return [
        ("registrar file", lambda: _file(conn)),
        ("registrar log", lambda: _log(conn, "registrar", before, told)),
        ("head", lambda: _head(conn, before)),
        ("key states", lambda: _keys(conn, keys)),
        ("counters", lambda: counters(conn, after)),
        ("issue ranges", lambda: ranges(_issued(told))),
        ("rows and log", lambda: domain_rows(conn, _issued(told))),
        ("rows", lambda: blobs(conn)),
        ("forgotten rows", lambda: forgotten(conn, [entry for entry in told if "serials" in entry.data])),
        ("tag index", lambda: tag_index(conn)),
        ("stored strings", lambda: strings(conn)),
        ("idempotency", lambda: idempotency(conn)),
        ("records", lambda: records(conn)),
    ]


def _comparator_checks(other: Connection, registrar: Connection | None, keys: KeyStore) -> list[tuple[str, Check]]:
    other.execute("SELECT 1 FROM instance").fetchone()
    checks: list[tuple[str, Check]] = [
        ("comparator file", lambda: _file(other)),
        ("comparator log", lambda: _log(other, "comparator", None, None)),
        ("comparator instance", lambda: _comparator(registrar or other, other, keys)),
        ("receipt keys", lambda: _receipt_keys(other, keys)),
        ("uploads", lambda: comparator_rows(other)),
    ]
    if registrar is not None:
        checks.append(("rooms", lambda: rooms(registrar, other)))
    return checks


def require_clean(findings: list[Finding]) -> None:
    """Raise for the first finding that fails.

    Raises:
        VerificationError: named by the check.
    """
    for finding in findings:
        if finding.state == "fail":
            raise VerificationError(
                finding.text, code="fsck_failed", hint=finding.hint or "docs/how-to/failures.md", where=finding.name
            )


def _guarded(name: str, check: Check) -> list[Finding]:
    try:
        found = list(check())
    except Exception as raised:
        error = translate(raised)
        if not isinstance(getattr(error, "message", None), str):
            return [Finding(name, "fail", f"the check itself failed ({type(error).__name__})")]
        place = f" ({error.where})" if getattr(error, "where", "") else ""  # type: ignore[attr-defined]
        return [Finding(name, "fail", f"{error}{place}", getattr(error, "hint", ""))]
    return [Finding(name, f.state, f.text, f.hint) for f in found] or [Finding(name, "ok", "nothing to find")]


def _issued(told: list[Entry]) -> list[Entry]:
    return [entry for entry in told if entry.data.keys() >= RANGE_WORDS]


def _file(conn: Connection) -> Iterator[Finding]:
    if not isinstance(conn, sqlite3.Connection):
        yield Finding("", "ok", "PostgreSQL looks after its pages itself (pg_amcheck)")
        return
    problems = conn.execute("PRAGMA integrity_check(1)").fetchone()[0]
    orphans = conn.execute("PRAGMA foreign_key_check").fetchone()
    if problems != "ok":
        yield Finding("", "fail", "SQLite's integrity check fails", "restore the newest backup")
    elif orphans is not None:
        yield Finding("", "fail", f"a row of {orphans[0]} points to a row that is not there")
    else:
        yield Finding("", "ok", "SQLite's integrity check passes")


def _log(conn: Connection, room: str, head: OutsideHead | None, told: list[Entry] | None) -> Iterator[Finding]:
    log = recompute_log(conn, room, (head.log_size,) if head else (), told)
    if head is not None and head.log_root and log.roots.get(head.log_size) != head.log_root:
        yield Finding("", "fail", "the log does not extend the head kept outside", "trustcenter reopen DIR --propose")
    yield Finding("", "ok", f"{counted(log.size, 'entry')}, root as recorded")


def _head(conn: Connection, head: OutsideHead) -> Iterator[Finding]:
    found = conn.execute("SELECT instance, database, epoch FROM instance").fetchone()
    if found != (head.instance, head.database, head.epoch):
        yield Finding(
            "", "fail", "the database is of another instance or epoch than the head", "docs/how-to/backups.md"
        )
    else:
        yield Finding("", "ok", f"epoch {head.epoch}")


def _keys(conn: Connection, keys: KeyStore) -> Iterator[Finding]:
    ring = KeyRing(keys, utc_now)
    ring.check_material(conn)
    named: dict[KeyId, KeyState] = {version.key_id(): version.state for version in ring.versions(conn)}
    undead = sum(state is KeyState.DESTROYED and keys.has(key) for key, state in named.items())
    if undead:
        yield Finding("", "fail", f"{undead} destroyed keys still have their material", "restart the service")
    orphans = sum(entry.id not in named and entry.destroyed is None for entry in keys.entries())
    if orphans:
        yield Finding("", "warn", f"{orphans} keys in the store that no state names: left by a crash or a restore")
    yield Finding("", "ok", f"{len(named)} versions have intact states and their material")


def _receipt_keys(conn: Connection, keys: KeyStore) -> Iterator[Finding]:
    count = receipt_keys.verify(keys, conn) if room_key_record.there(conn) else 0
    yield Finding("", "ok", f"{counted(count, 'handover')} to the key in use")


def _comparator(conn: Connection, other: Connection, keys: KeyStore) -> Iterator[Finding]:
    instance = conn.execute("SELECT instance FROM instance").fetchone()[0]
    if other.execute("SELECT instance, keystore FROM instance").fetchone() != (instance, keys.store_id):
        yield Finding("", "fail", "the comparator's database, its keys and the registrar are of different instances")
    else:
        yield Finding("", "ok", "both rooms belong to the same instance")
