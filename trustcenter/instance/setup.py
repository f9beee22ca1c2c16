"""`trustcenter init`: the files of a new instance, made once and never overwritten."""

from __future__ import annotations

import json
import os
import secrets
import socket
import uuid as uuids
from dataclasses import dataclass
from pathlib import Path

import msgspec

from keys.ids import KeyId, Purpose
from keys.states import KeyState
from keys.store import KeyStore
from trustcenter import auth, config, store
from trustcenter.audit import AuditLog, Event, fingerprint
from trustcenter.client.connection import Connection
from trustcenter.clock import stamp, utc_now
from trustcenter.errors import ConflictError, UsageError
from trustcenter.registrar.head import OutsideHead
from trustcenter.registrar.rotating.keyring import INSTANCE, KeyRing

from . import places, tls
from .opening import open_store
from .parts import keys_path
from .places import HEAD_NAME
from .room_opening import make_log

KEYS = {"registrar": (Purpose.AUDIT, Purpose.STATE), "comparator": (Purpose.AUDIT, Purpose.RECEIPT)}

_HEAD = """\
# One instance of the trust center. Every key and its default: docs/reference/config.md
{rooms}
[server]
host = {host}
port = {port}
certificate = "tls/server.pem"
key = "tls/server.key"

[files]
# These must never share one backup: docs/how-to/backups.md
{files}{passphrase}{postgres}"""
_ROOMS = """
# The other room is elsewhere: docs/how-to/separate-rooms.md
room = "{room}"
separation = "{separation}"   # process: the other room has the same operator; operator: it has another
"""
_FILES = """\
{room} = "{room}/{room}.db"
{room}_keys = "{room}-keys/{room}.keys"
"""


@dataclass(frozen=True)
class Created:
    """What `init` made and has to be written down or handed over."""

    directory: Path
    instance: str
    operator: Path  # connection file of the first operator
    fingerprints: dict[str, str]  # room -> fingerprint of its audit key
    passphrase_file: Path | None


async def create(
    directory: Path,
    passphrase: bytes | None,
    *,
    port: int = 8443,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    postgres: config.Postgres = config.Postgres(),  # noqa: B008 - frozen
    room: str = "both",
    separation: str = "process",
) -> Created:
    """Create an instance in `directory`, which must be empty or missing.

    Args:
        directory: where the instance lives.
        passphrase: of the key stores; None: a random one is made and written to a file of its own.
        port: the port the service will listen on.
        host: the address the service will listen on.
        names: further names or addresses in the server's certificate; with a wildcard as host at least one, and
            the first is how the operator's connection file names the service.
        postgres: databases in the place of files; both or none, and empty ones.
        room: which rooms it holds: both, registrar or comparator.
        separation: of a room of its own: process or operator.

    Raises:
        ConfigError: a connection string that is not safe, or the same for both rooms.
        ConflictError: there is something in the directory already.
        UsageError: it would listen on every address, and no name is given.
        KeysError: the passphrase is too short.
    """
    server = config.Server(host=host, port=port)
    if server.anywhere and not names:
        raise UsageError(
            "the service would listen on every address of this machine: by which name do clients reach it?",
            code="name_needed",
            hint="name it: --name trustcenter.example.org",
        )
    if directory.exists() and any(directory.iterdir()):
        raise ConflictError(
            "this directory is not empty: an instance is never overwritten",
            code="directory_not_empty",
            hint="name a new directory, or move the old one away",
        )
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    port = port or _free_port(host)
    line, passphrase_file = (
        '# passphrase = "..."   # a file; without it the passphrase is asked for at every start\n',
        None,
    )
    if passphrase is None:
        passphrase_file = directory / "passphrase"
        passphrase = secrets.token_urlsafe(32).encode()
        _write_private(passphrase_file, passphrase + b"\n")
        line = 'passphrase = "passphrase"\n'
    rooms = config.ROOMS if room == "both" else (room,)
    text = _HEAD.format(
        rooms="" if room == "both" else _ROOMS.format(room=room, separation=separation),
        host=json.dumps(host),
        port=port,
        files="".join(_FILES.format(room=one) for one in rooms),
        passphrase=line,
        postgres=_postgres(postgres),
    )
    _write_private(directory / "config.toml", text.encode())
    settings = config.load(directory)
    for one in rooms:
        for path in (places.default(settings, one), keys_path(settings, one)):
            path.parent.mkdir(mode=0o700)
    ca = tls.create(directory / "tls", host, names)
    if room == "registrar":
        tls.create_peer(directory / "tls")

    instance, token, fingerprints = uuids.uuid4().hex, "", {}
    for one in rooms:
        keys = KeyStore.create(keys_path(settings, one), passphrase)
        keys.add([KeyId(INSTANCE, purpose, 1) for purpose in KEYS[one]])
        log = make_log(instance, one, keys)
        if one == "registrar":
            token = await _fill_registrar(settings, instance, uuids.uuid4().hex, keys, log)
        else:
            token = await _fill_comparator(settings, instance, keys, log) or token
        fingerprints[one] = fingerprint(log.vkey)

    operator = directory / "operator.toml"
    Connection(url=settings.server.url(names[0] if server.anywhere else ""), ca=ca, token=token, staff="operator").save(
        operator
    )
    return Created(
        directory=directory,
        instance=instance,
        operator=operator,
        fingerprints=fingerprints,
        passphrase_file=passphrase_file,
    )


async def _fill_registrar(settings: config.Config, instance: str, database: str, keys: KeyStore, log: AuditLog) -> str:
    db = await open_store(settings, "registrar")
    directory, ring = auth.Directory(), KeyRing(keys, utc_now)
    try:

        def effect(conn: store.Connection) -> tuple[str, tuple[int, str]]:

            conn.execute(
                "INSERT INTO instance VALUES (1,?,?,0,?,?,?)",
                (instance, database, keys.store_id, keys.generation, stamp(utc_now())),
            )
            for purpose in KEYS["registrar"]:
                ring.add(conn, KeyId(INSTANCE, purpose, 1), KeyState.ACTIVE)
            directory.add_staff(conn, "operator", "operator", None)
            token = directory.issue_token(conn, staff="operator")
            log.append(conn, Event.INSTANCE_INITIALISE, {"who": "service", "request": "", "instance": instance})
            return token.token, log.head(conn)

        token, (size, root) = await db.write(effect)
        head = OutsideHead(
            path=settings.path(settings.files.registrar_keys).parent / HEAD_NAME,
            keys=keys,
            instance=instance,
            database=database,
            epoch=0,
        )
        head.remember(size, root)
    finally:
        await db.close()
    return token


async def _fill_comparator(settings: config.Config, instance: str, keys: KeyStore, log: AuditLog) -> str:
    """Returns the token of the first operator, where this room lets clients in."""
    db = await open_store(settings, "comparator")
    directory = auth.Directory()
    try:

        def effect(conn: store.Connection) -> str:
            conn.execute("INSERT INTO instance VALUES (1,?,?)", (instance, keys.store_id))
            token = ""
            if settings.room == "comparator":
                directory.add_staff(conn, "operator", "operator", None)
                token = directory.issue_token(conn, staff="operator").token
            log.append(conn, Event.INSTANCE_INITIALISE, {"who": "service", "window": 0, "instance": instance})
            return token

        return await db.write(effect)
    finally:
        await db.close()


def _postgres(postgres: config.Postgres) -> str:
    rooms = [(room, value) for room, value in msgspec.structs.asdict(postgres).items() if value is not None]
    if not rooms:
        return ""
    return "\n[postgres]\n" + "".join(f"{room} = {json.dumps(value)}\n" for room, value in rooms)


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
