"""What `trustcenter doctor` looks at. Every check reads only, and none shows a value that anybody sent."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlite_utils
from cryptography import x509

from keys.errors import WrongPassphraseError
from keys.store import KeyStore
from linkage.wording import counted
from trustcenter.clock import utc_now
from trustcenter.config import Config, require_safe_address
from trustcenter.instance import places
from trustcenter.instance.between import cards
from trustcenter.instance.parts import head_path, keys_path, require_file, room_snapshot
from trustcenter.instance.places import HEAD_NAME
from trustcenter.instance.room_opening import make_log
from trustcenter.instance.rotating import audit_key
from trustcenter.registrar.head import OutsideHead
from trustcenter.registrar.rotating.keyring import KeyRing
from trustcenter.store import Postgres, snapshot
from trustcenter.store.faults import translate

from . import age, checks_keys
from . import checks_operate as more
from .finding import Finding

_PEER_DAYS = 30


def run(config: Config, passphrase: Callable[[], bytes]) -> list[Finding]:
    """Run every check. A check that cannot run is a finding, not an exception."""
    findings: list[Finding] = []
    checks = {
        "address": _address,
        "certificate": more.certificates,
        "permissions": _permissions,
        "key_files": _key_files,
        "separation": _separation,
        "disk space": more.disks,
        "clock": more.clock,
        "backups": more.backups,
        "continuous backup": more.continuous,
    }
    for name, check in checks.items():
        findings.extend(_guarded(name, lambda check=check: check(config)))  # type: ignore[misc]
    for room in config.rooms:
        findings.extend(_guarded(f"{room} database", lambda room=room: _database(config, room)))  # type: ignore[misc]
    ages: list[Finding] = []
    for room in config.rooms:
        ages.extend(_guarded(f"{room} schema", lambda room=room: age.schema(config, room)))  # type: ignore[misc]
    findings += ages
    try:
        secret = passphrase()
        stores = {room: KeyStore.open(keys_path(config, room), secret) for room in config.rooms}
    except Exception as error:
        hint = getattr(error, "hint", "")
        if isinstance(error, WrongPassphraseError):
            hint += "; after an interrupted `trustcenter keys rekey`, repeat it: it ends what was begun"
        findings.append(Finding("key stores", "fail", _say(error), hint))
        return findings
    findings.append(Finding("key stores", "ok", f"{' and '.join(stores)}: open with the passphrase"))
    if any(found.state != "ok" for found in ages):
        return findings  # what follows reads tables that may not be there
    if "registrar" in stores:
        findings.extend(_guarded("key states", lambda: _keys(config, stores["registrar"])))
    findings.extend(_guarded("key schedule", lambda: checks_keys.schedules(config, stores)))
    findings.extend(_guarded("receipt keys", lambda: checks_keys.receipts(config, stores)))
    findings.extend(_guarded("key rotations", lambda: checks_keys.rotations(config, stores)))
    findings.extend(_guarded("key leaks", lambda: checks_keys.leaks(config, stores)))
    for room, keys in stores.items():
        findings.extend(_guarded(f"{room} log", lambda room=room, keys=keys: _log(config, room, keys)))  # type: ignore[misc]
    return findings


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as raised:
        error = translate(raised)
        return [Finding(name, "fail", _say(error), getattr(error, "hint", ""))]


def _say(error: BaseException) -> str:
    return str(error) if hasattr(error, "hint") else f"the check itself failed ({type(error).__name__})"


def _address(config: Config) -> Iterator[Finding]:
    require_safe_address(config.server)
    tls = "TLS" if config.server.certificate else "no TLS, loopback only"
    yield Finding("address", "ok", f"{config.server.host}, port {config.server.port}, {tls}")


def _permissions(config: Config) -> Iterator[Finding]:
    private = [
        config.path(path)
        for path in (
            config.files.passphrase,
            config.server.key,
            config.files.peer_key if config.room == "registrar" else None,
        )
        if path is not None
    ]
    private += [keys_path(config, room) for room in config.rooms]
    may_lack = (config.files.room_key, "tls/ca.key", "operator.toml")  # made later, or given away
    private += [path for path in map(config.path, may_lack) if path.exists()]
    private += [place for room in config.rooms if isinstance(place := places.database(config, room), Path)]
    open_ones = [path.name for path in private if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    missing = [path.name for path in private if not path.exists()]
    if missing:
        yield Finding("files", "fail", f"missing: {', '.join(missing)}", "check config.toml, or restore from backup")
    if open_ones:
        yield Finding("permissions", "fail", f"others can read: {', '.join(open_ones)}", "chmod 600 these files")
    if not open_ones and not missing:
        yield Finding("permissions", "ok", "only the owner can read keys and stores")
    if config.files.passphrase and config.path(config.files.passphrase).parent == Path(config.base):
        yield Finding(
            "passphrase",
            "warn",
            "lies in the instance's directory",
            "for trying out only: move it to a credential store",
        )


def _key_files(config: Config) -> Iterator[Finding]:
    """Key stores and head: a file of ours each, mode 0600 exactly, in a directory of ours alone."""
    stores = [keys_path(config, room) for room in config.rooms]
    wrong = []
    for path in (*stores, *([head_path(config)] if "registrar" in config.rooms else [])):
        status, folder = path.lstat(), path.parent.stat()
        owned = status.st_uid == os.geteuid() or os.geteuid() == 0
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) != 0o600 or not owned:
            wrong.append(path.name)
        elif stat.S_IMODE(folder.st_mode) & 0o077:
            wrong.append(f"{path.parent.name}/")
    if wrong:
        hint = "chmod 600 the files, 700 the directories, owned by the service's user"
        yield Finding("key store files", "fail", f"wrong mode or owner: {', '.join(dict.fromkeys(wrong))}", hint)
    else:
        yield Finding("key store files", "ok", "mode 0600, in directories that only the owner enters")


def _separation(config: Config) -> Iterator[Finding]:
    if config.room == "both":
        yield Finding("separation", "ok", "none: both rooms in one process (docs/security/threat-model.md)")
        return
    card = cards.peer(config)
    if card is None:
        text = f"{config.separation} declared, {config.room} only, not paired with the other room yet"
        yield Finding(
            "separation", "warn", text, "trustcenter rooms card and rooms pair: docs/how-to/separate-rooms.md"
        )
        return
    ends = x509.load_pem_x509_certificate(card.certificate.encode()).not_valid_after_utc
    days = (ends - utc_now()).days
    text = f"{config.separation} declared, {config.room} only; paired with a {card.room} ({card.fingerprint[:16]})"
    if card.room == "comparator" and not card.url:
        text += ", to which files are carried by hand"
    if days < _PEER_DAYS:
        hint = "renew it at the other room, then exchange cards again: trustcenter rooms pair"
        yield Finding("separation", "warn", f"{text}, whose certificate ends in {days} days", hint)
    else:
        yield Finding("separation", "ok", text)


def _database(config: Config, room: str) -> Iterator[Finding]:
    place = places.database(config, room)
    if isinstance(place, Postgres):
        yield from _postgres(place, room)
        return
    require_file(place)
    conn = sqlite3.connect(f"{place.resolve().as_uri()}?mode=ro", uri=True)
    try:
        db = sqlite_utils.Database(conn)
        state = next(iter(db.query("PRAGMA quick_check")))["quick_check"]
        tables: dict[str, int] = {
            name: db.table(name).count for name in ("entry", "record", "upload") if name in db.table_names()
        }
        if "upload" in tables and "held" in db.table("upload").columns_dict:  # an older store has rows one by one
            tables["row"] = next(iter(db.query("SELECT coalesce(sum(held), 0) AS rows FROM upload")))["rows"]
        mode = next(iter(db.query("PRAGMA journal_mode")))["journal_mode"]
    finally:
        conn.close()
    if state != "ok":
        yield Finding(f"{room} database", "fail", "damaged", "restore it from the newest backup")
        return
    text = ", ".join(counted(count, name) for name, count in tables.items())
    # A restored file is in another mode until the service opens it, which sets it.
    yield Finding(f"{room} database", "ok", text if mode == "wal" else f"{text}; not served since it was put in place")


def _postgres(place: Postgres, room: str) -> Iterator[Finding]:
    with snapshot(place) as conn:
        name = "entry" if room == "registrar" else "upload"
        (count,) = conn.execute(f"SELECT count(*) FROM {name}").fetchone()  # noqa: S608 - constants
        (version,) = conn.execute("SELECT current_setting('server_version')").fetchone()
    yield Finding(f"{room} database", "ok", f"PostgreSQL {version}, {counted(count, name)}")


def _keys(config: Config, keys: KeyStore) -> Iterator[Finding]:
    with room_snapshot(config, "registrar") as conn:
        ring = KeyRing(keys, utc_now)
        ring.check_material(conn)
        count = len(ring.versions(conn))
        instance, database, epoch = conn.execute("SELECT instance, database, epoch FROM instance").fetchone()
        log = make_log(instance, "registrar", keys, epoch)
        head = OutsideHead.load(config.path(config.files.registrar_keys).parent / HEAD_NAME, keys)
        size, _ = log.head(conn)
        head.check(
            instance=instance,
            database=database,
            epoch=epoch,
            log_size=size,
            root_at=lambda at: log.root_at(conn, at),
        )
    yield Finding("key states", "ok", f"{count} key versions, all with their material and an intact state")
    yield Finding("outside head", "ok", "the database is not older than the last state known outside it")


def _log(config: Config, room: str, keys: KeyStore) -> Iterator[Finding]:
    with room_snapshot(config, room) as conn:
        instance = conn.execute("SELECT instance FROM instance").fetchone()[0]
        log = make_log(instance, room, keys)
        size, root = log.head(conn)
        if log.root_at(conn, size) != root:
            yield Finding(f"{room} log", "fail", "entries do not give the recorded root", "trustcenter audit export")
            return
        audit_key.current(keys, conn)  # which signs it, is there
    yield Finding(f"{room} log", "ok", f"{counted(size, 'entry')}, root as recorded")
