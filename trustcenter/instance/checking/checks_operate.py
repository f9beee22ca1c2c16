"""What `doctor` looks at beyond the instance itself: backups, certificates, disks and the clock."""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from trustcenter.config import Config
from trustcenter.instance import places, tls
from trustcenter.instance.backups import chain as chains
from trustcenter.instance.backups import chain_notes
from trustcenter.instance.backups.continuous import KEYS_NAME, targets
from trustcenter.instance.parts import keys_path, room_snapshot

from .finding import Finding

_RENEW_DAYS: Final = 30
_BEHIND_SECONDS: Final = 60
_FREE_WARN: Final = 2 * 2**30
_FREE_FAIL: Final = 256 * 2**20
_SKEW_SECONDS: Final = 5


def certificates(config: Config) -> Iterator[Finding]:
    """Days left of the server's certificate and of the authorities that sign clients', and whether its key fits."""
    for name, path in (("certificate", config.server.certificate), ("client authority", config.server.client_ca)):
        if path is None:
            continue
        try:  # The first is the server's own; of authorities each one counts.
            found = x509.load_pem_x509_certificates(config.path(path).read_bytes())
        except (OSError, ValueError) as error:
            text = "the file is missing" if isinstance(error, FileNotFoundError) else "the file cannot be read"
            yield Finding(name, "fail", text, "docs/how-to/certificates.md: lost or expired")
            continue
        now = datetime.now(UTC)
        days = min((one.not_valid_after_utc - now).days for one in found)
        begun = all(one.not_valid_before_utc <= now for one in found)
        state = "fail" if days < 0 or not begun else "ok" if days > _RENEW_DAYS else "warn"
        text = (
            "expired" if days < 0 else f"valid for {days} more days" if begun else "not valid yet: is the clock right?"
        )
        yield Finding(name, state, text, "" if state == "ok" else "docs/how-to/certificates.md")
    try:
        tls.load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), config)
    except (OSError, ValueError):
        hint = "put the key of this certificate in place, without a passphrase: docs/how-to/certificates.md"
        yield Finding("certificate key", "fail", "certificate and key cannot be used: the service will not start", hint)


def continuous(config: Config) -> Iterator[Finding]:
    """Whether the continuous backups keep up with the databases."""
    directories = targets(config)
    if not directories:
        return
    behind, told = [], []
    for room in config.rooms:
        location = places.database(config, room)
        if room in directories and isinstance(location, Path):
            problem, text = _followed(location, directories[room])
            behind += [f"{room}: {problem}"] if problem else []
            told += [f"{room} as of {text}"] if text else []
        keys = directories.get(f"{room}_keys")
        if keys is not None and _changed(keys_path(config, room)) > _changed(keys / KEYS_NAME) + _BEHIND_SECONDS:
            behind.append(f"{room}'s keys: the copy is older than the key store")
    if behind:
        hint = "is the directory mounted, writable and not full? the service's log says more"
        yield Finding("continuous backup", "fail", "; ".join(behind), hint)
    else:
        yield Finding("continuous backup", "ok", ", ".join(told) or "the key stores' copies are up to date")
    shared = [
        part
        for part, directory in directories.items()
        if directory.exists() and directory.stat().st_dev == Path(config.base).stat().st_dev
    ]
    if shared:
        hint = "name directories on other disks, or on a mounted share"
        yield Finding("backup disk", "warn", f"on the disk of the instance, lost with it: {', '.join(shared)}", hint)
    if {"registrar", "registrar_keys"} <= directories.keys() and directories["registrar"].parent == directories[
        "registrar_keys"
    ].parent:
        hint = "whoever copies that directory has database and key store"
        yield Finding("backup paths", "warn", "the registrar's database and keys are backed up side by side", hint)


def _followed(database: Path, target: Path) -> tuple[str, str]:
    """What is wrong, and up to which moment the backup goes."""
    alive = chain_notes.alive(target) if target.is_dir() else None
    if alive is None or not any(one.numbers(".base") for one in chains.chains(target)):
        return "no complete backup yet", ""
    until = datetime.fromisoformat(alive.time)
    changed = max(_changed(database.with_name(database.name + "-wal")), _changed(database))
    seconds = changed - until.timestamp()
    problem = f"{seconds:,.0f} seconds behind" if seconds > _BEHIND_SECONDS else ""
    return problem, alive.time[:19] + "Z"


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def backups(config: Config) -> Iterator[Finding]:
    """Age of the newest backup of each part, if manifests are collected; whether anything tells of backups at all."""
    if config.backups.manifests is None:
        trying_out = config.files.passphrase and config.path(config.files.passphrase).parent == Path(config.base)
        if not targets(config) and not trying_out:
            hint = "set backups.manifests or [backups.continuous] in config.toml: docs/how-to/backups.md"
            yield Finding("backups", "warn", "nothing in config.toml tells whether backups are made", hint)
        return
    now, late = datetime.now(UTC), []
    for room in config.rooms:
        # Of a database of PostgreSQL's, only the server knows when it was backed up.
        here = isinstance(places.database(config, room), Path)
        for part in ("database", "keys") if here else ("keys",):
            path = config.path(config.backups.manifests) / f"{room}-{part}.json"
            try:
                taken = datetime.fromisoformat(json.loads(path.read_bytes())["time"])
            except (OSError, ValueError, KeyError, TypeError):
                late.append(f"{room} {part} (none)")
                continue
            hours = (now - taken).total_seconds() / 3600
            if hours > config.backups.max_age_hours:
                late.append(f"{room} {part} ({hours:,.0f} hours)")
    if late:
        yield Finding("backups", "warn", f"missing or old: {', '.join(late)}", "trustcenter backup DIR --help")
    else:
        yield Finding("backups", "ok", f"all are younger than {config.backups.max_age_hours:g} hours")


def disks(config: Config) -> Iterator[Finding]:
    """Free space wherever the service writes."""
    seen: dict[int, tuple[str, int]] = {}
    folders = [("instance", Path(config.base))]
    for room in config.rooms:
        location = places.database(config, room)
        folders += [(room, location.parent)] if isinstance(location, Path) else []
        folders.append((f"{room}'s keys", keys_path(config, room).parent))
    folders += [(f"backup of {part}", directory) for part, directory in targets(config).items()]
    for name, folder in folders:
        if folder.is_dir():
            seen.setdefault(folder.stat().st_dev, (name, shutil.disk_usage(folder).free))
    name, free = min(seen.values(), key=lambda one: one[1])
    state = "fail" if free < _FREE_FAIL else "warn" if free < _FREE_WARN else "ok"
    hint = "" if state == "ok" else "free space before it is used up: a full disk refuses every operation"
    yield Finding("disk space", state, f"{free / 2**30:,.1f} GiB free where there is least ({name})", hint)


def clock(config: Config) -> Iterator[Finding]:
    """The clock is not behind what was logged, and so not behind expiry dates."""
    if "registrar" not in config.rooms:
        return  # the comparator's log knows no time
    with room_snapshot(config, "registrar") as conn:
        (micros,) = conn.execute("SELECT micros FROM audit_head").fetchone()
    last = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    behind = (last - datetime.now(UTC)).total_seconds()
    if behind > _SKEW_SECONDS:
        hint = "set the clock (timedatectl, chronyc): tokens, tickets and expiry depend on it"
        yield Finding("clock", "fail", f"{behind:,.0f} seconds behind the last entry of the log", hint)
    else:
        yield Finding("clock", "ok", "not behind the last entry of the log")
