"""`trustcenter migrate`: an instance moves from SQLite files to PostgreSQL databases (docs/how-to/postgresql.md).

Rows are copied verbatim, every one is compared, every pseudonym is computed from both sides. Then, in this order:
the new registrar gets its identity under a new epoch, in one transaction with the first entry of its log; the files
are fenced; the outside head and the configuration follow. The command takes up where a crash ended it.
"""

from __future__ import annotations

import json
import uuid as uuids
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from keys.store import KeyStore
from trustcenter.audit import Event, fingerprint
from trustcenter.client.files import replacing
from trustcenter.clock import Clock, utc_now
from trustcenter.config import Config
from trustcenter.config import Postgres as Names
from trustcenter.errors import ConflictError, LimitError
from trustcenter.instance import places
from trustcenter.instance.opening import COMPARATOR_MIGRATIONS, REGISTRAR_MIGRATIONS, open_instance
from trustcenter.instance.parts import head_path, keys_path
from trustcenter.instance.room_opening import log_origin, make_log
from trustcenter.instance.rotating import audit_key
from trustcenter.registrar.head import OutsideHead
from trustcenter.store import Connection, Database, Postgres, snapshot

from . import copying, fence

EPOCH_MAX: Final = 2**12 - 1
# `instance` comes last and in a transaction of its own: a database without it opens for nobody.
_LEFT_OUT: Final = ("schema_migration", "instance", "fence")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Moved:
    """What was done: rows and pseudonyms compared, the new epoch, and the fingerprint of the registrar's log."""

    rows: int
    pseudonyms: int
    epoch: int
    fingerprint: str


@dataclass(frozen=True)
class _Identity:
    instance: str
    database: str
    epoch: int
    size: int
    root: str


async def migrate(
    config: Config, passphrase: bytes, names: Names, *, clock: Clock = utc_now, progress: Progress | None = None
) -> Moved:
    """Move both stores of a stopped instance into two empty PostgreSQL databases.

    Args:
        config: of the instance, whose stores are files.
        passphrase: of the key stores.
        names: connection strings of the two databases.
        clock: for log and fence.
        progress: called with stage, rows done, rows in all.

    Raises:
        AlreadyRunningError: the service runs, or the databases are in use.
        ConflictError: a store is no file, or a database belongs to another instance or a later state.
        VerificationError: a row or pseudonym differs; nothing was switched.
    """
    tell = progress or (lambda stage, done, total: None)
    files = {room: places.file(config, room) for room in ("registrar", "comparator")}
    assert names.registrar is not None
    assert names.comparator is not None
    targets = {"registrar": Postgres(names.registrar), "comparator": Postgres(names.comparator)}
    with snapshot(files["registrar"]) as conn:
        fenced = conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'fence'").fetchone() and fence.target(conn)
    if not fenced:
        async with open_instance(config, passphrase, clock):
            pass  # everything is checked, what a crash left is made good, and nothing waits in a WAL
    with ExitStack() as stack:
        keys = KeyStore.open(keys_path(config, "registrar"), passphrase)
        old, new = {}, {}
        for room, migrations in (("registrar", REGISTRAR_MIGRATIONS), ("comparator", COMPARATOR_MIGRATIONS)):
            old[room] = Database.open_sync(files[room], migrations, application=room)
            stack.callback(old[room].close_sync)
            new[room] = Database.open_sync(targets[room], migrations, application=room, exclusive=True)
            stack.callback(new[room].close_sync)
        before = old["registrar"].read_sync(lambda conn: _identity(conn, keys))
        after = new["registrar"].read_sync(_found)
        rows = pseudonyms = 0
        if after is None:
            if fenced:
                raise _foreign("these databases are empty, and the files were moved to others")
            new["comparator"].write_sync(lambda conn: _clear(conn, before))
            rows, pseudonyms = _copy(old, new, targets, keys, tell)
            after = _name(new, old, before, keys)
        elif not new["registrar"].read_sync(lambda conn: _continues(conn, before, after, keys)):
            raise _foreign("the registrar's new database belongs to another instance, or to another state of this one")
        if fenced not in (None, after[1]):
            raise _foreign("the files were moved to other databases than these")
        for room in ("comparator", "registrar"):
            old[room].write_sync(lambda conn: fence.put(conn, after[1], clock))
        signs = new["registrar"].read_sync(lambda conn: audit_key.current(keys, conn))
        log = make_log(before.instance, "registrar", keys, after[2], signs)
        size, root = new["registrar"].read_sync(log.head)
    OutsideHead(head_path(config), keys, before.instance, after[1], after[2]).remember(size, root)
    _switch(config, names)
    return Moved(rows, pseudonyms, after[2], fingerprint(log.vkey))


def _identity(conn: Connection, keys: KeyStore) -> _Identity:
    instance, database, epoch = conn.execute("SELECT instance, database, epoch FROM instance").fetchone()
    size, root = make_log(instance, "registrar", keys, epoch).head(conn)
    if epoch + 1 > EPOCH_MAX:
        raise LimitError("an epoch is at most 4095", code="epoch_exhausted")
    return _Identity(instance, database, epoch, size, root)


def _found(conn: Connection) -> tuple[str, str, int] | None:
    row = conn.execute("SELECT instance, database, epoch FROM instance").fetchone()
    return None if row is None else (row[0], row[1], row[2])


def _continues(conn: Connection, before: _Identity, after: tuple[str, str, int], keys: KeyStore) -> bool:
    """Whether the new store is this one's copy, and no entry was added to the old one since."""
    log = make_log(before.instance, "registrar", keys, after[2])
    size, _ = log.head(conn)
    return (
        (after[0], after[2]) == (before.instance, before.epoch + 1)
        and size == before.size + 1
        and log.root_at(conn, before.size) == before.root
    )


def _foreign(message: str) -> ConflictError:
    return ConflictError(message, code="target_in_use", hint="name two empty databases, made for this move")


def _clear(comparator: Connection, before: _Identity) -> None:
    """Without the registrar's identity whatever is there was left by an interrupted move: it is copied again."""
    row = comparator.execute("SELECT instance FROM instance").fetchone()
    if row is not None and row[0] != before.instance:
        raise _foreign("the comparator's new database belongs to another instance")
    comparator.execute("DELETE FROM instance")


def _copy(
    old: dict[str, Database],
    new: dict[str, Database],
    targets: dict[str, Postgres],
    keys: KeyStore,
    tell: Progress,
) -> tuple[int, int]:
    sizes = {room: old[room].read_sync(lambda conn: _size(conn)) for room in old}
    total = sum(sizes.values())

    def ticker(stage: str) -> Callable[[int], None]:
        done = 0

        def tick(rows: int) -> None:
            nonlocal done
            done += rows
            tell(stage, done, total)

        return tick

    copied = ticker("copying")
    for room in old:
        old[room].read_sync(
            lambda source, room=room: new[room].write_sync(  # type: ignore[misc]
                lambda target: copying.fill(source, target, copying.tables(source, _LEFT_OUT), copied)
            )
        )
    compared = ticker("comparing")
    rows = sum(
        old[room].read_sync(
            lambda source, room=room: copying.compare(  # type: ignore[misc]
                source, targets[room], copying.tables(source, _LEFT_OUT), compared
            )
        )
        for room in old
    )
    pseudonyms = old["registrar"].read_sync(
        lambda source: copying.compare_pseudonyms(source, targets["registrar"], keys)
    )
    return rows, pseudonyms


def _size(conn: Connection) -> int:
    return copying.count(conn, copying.tables(conn, _LEFT_OUT))


def _name(
    new: dict[str, Database], old: dict[str, Database], before: _Identity, keys: KeyStore
) -> tuple[str, str, int]:
    """Give the new stores their identity: from here on they are the instance."""
    database, epoch = uuids.uuid4().hex, before.epoch + 1
    row = old["comparator"].read_sync(lambda conn: conn.execute("SELECT * FROM instance").fetchone())
    new["comparator"].write_sync(
        lambda conn: conn.execute(f"INSERT INTO instance VALUES ({','.join('?' * len(row))})", row).rowcount  # noqa: S608
    )
    kept = old["registrar"].read_sync(lambda conn: conn.execute("SELECT * FROM instance").fetchone())
    log = make_log(before.instance, "registrar", keys, epoch)

    def effect(conn: Connection) -> None:
        _number(conn)
        conn.execute(f"INSERT INTO instance VALUES ({','.join('?' * len(kept))})", kept)  # noqa: S608
        conn.execute("UPDATE instance SET database = ?, epoch = ?", (database, epoch))
        log.append(
            conn,
            Event.INSTANCE_MOVE,
            {
                "who": "service",
                "request": "",
                "origin_before": log_origin(before.instance, "registrar", before.epoch),
                "from_epoch": before.epoch,
                "to_epoch": epoch,
                "kept_size": before.size,
                "kept_root": before.root,
                "database": database,
            },
        )

    new["comparator"].write_sync(_number)
    new["registrar"].write_sync(effect)
    return before.instance, database, epoch


def _number(conn: Connection) -> None:
    """Let identity columns go on after the rows that were copied."""
    for table, column in conn.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE is_identity = 'YES' AND table_schema = current_schema()"
    ).fetchall():
        conn.execute(
            f"SELECT setval(pg_get_serial_sequence(?, ?), coalesce(max({column}), 0) + 1, false) FROM {table}",  # noqa: S608
            (table, column),
        )


def _switch(config: Config, names: Names) -> None:
    """Add the databases to config.toml; twice is harmless."""
    path = Path(config.base) / "config.toml"
    text = path.read_text(encoding="utf-8")
    if "\n[postgres]" in text:
        return
    lines = "".join(f"{room} = {json.dumps(value)}\n" for room, value in msgspec.structs.asdict(names).items())
    with replacing(path, force=True) as stream:
        stream.write(f"{text.rstrip()}\n\n[postgres]\n{lines}".encode())
