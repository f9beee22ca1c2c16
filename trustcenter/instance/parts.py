"""The four parts of an instance, where they lie, and what can be learnt of them without a passphrase."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trustcenter import store
from trustcenter.audit import entries, tree
from trustcenter.config import Config
from trustcenter.errors import NotFoundError, VerificationError
from trustcenter.store import Connection
from trustcenter.store.connections import open_reader
from trustcenter.store.faults import translate

from . import places
from .places import HEAD_NAME

ROOMS: Final = ("registrar", "comparator")
PARTS: Final = ("database", "keys")
RANGE_WORDS: Final = {"domain", "epoch", "first", "count"}  # of an entry that tells of a range of serials
KEPT_LEVEL: Final = 8  # of audit_node: docs/spec/audit-log.md, section 6
_RESTORE: Final = "check the paths in config.toml, or restore it: docs/how-to/backups.md"


def database_path(config: Config, room: str) -> Path:
    """The database file of a room. Raises ConflictError where it is none."""
    return places.file(config, room)


def keys_path(config: Config, room: str) -> Path:
    """The key store of a room."""
    return config.path(config.files.registrar_keys if room == "registrar" else config.files.comparator_keys)


def head_path(config: Config) -> Path:
    """The outside head, which lies beside the registrar's key store."""
    return config.path(config.files.registrar_keys).parent / HEAD_NAME


def head_facts(path: Path) -> dict[str, Any] | None:
    """What a head says, its signature not verified; None where there is none that can be read."""
    try:
        facts = json.loads(path.read_bytes().split(b"\n")[0])
    except (OSError, ValueError):
        return None
    numbers = isinstance(facts, dict) and all(type(facts.get(name)) is int for name in ("epoch", "log_size"))
    words = numbers and all(isinstance(facts.get(name), str) for name in ("instance", "database", "log_root"))
    return facts if words else None


def room_snapshot(config: Config, room: str) -> AbstractContextManager[Connection]:
    """One state of a room's store, be it a file or a database of PostgreSQL's, beside a running service or without.

    Raises:
        NotFoundError: there is no such file.
    """
    place = places.database(config, room)
    return snapshot(place) if isinstance(place, Path) else store.snapshot(place)


def require_file(path: Path) -> None:
    """Refuse to go on without a database; SQLite takes an empty file for a new one.

    Raises:
        NotFoundError: there is no such file, or it is empty.
    """
    if not path.is_file():
        raise NotFoundError(
            "a database of this instance is missing", code="database_missing", hint=_RESTORE, where=path.name
        )
    if not path.stat().st_size:
        raise NotFoundError(
            "a database of this instance is an empty file", code="database_empty", hint=_RESTORE, where=path.name
        )


def no_instance() -> VerificationError:
    """A database has the tables of a room, and no instance in it."""
    return VerificationError("this database belongs to no instance", code="database_empty", hint=_RESTORE)


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """As `room_snapshot`, of a file.

    Raises:
        NotFoundError: there is no such file.
        StoreUnavailableError: it cannot be opened; on a full disk not even for reading, after a crash.
        StoreDamagedError: it is no database.
    """
    require_file(path)
    try:
        conn = open_reader(path)
    except sqlite3.Error as error:
        raise translate(error) from error
    try:
        conn.execute("BEGIN")
        yield conn
    finally:
        conn.close()


@dataclass(frozen=True)
class LogFacts:
    """A log as its leaves give it: number of entries, root, and the roots it had at the sizes asked for."""

    size: int
    root: str
    roots: dict[int, str]


def recompute_log(
    conn: Connection, room: str, sizes: Collection[int] = (), seen: list[entries.Entry] | None = None
) -> LogFacts:
    """Compute the tree of a log again from its leaves and compare it with everything that is stored of it.

    Args:
        conn: a snapshot of the room's database.
        room: whose log it is.
        sizes: earlier sizes whose roots are wanted; those beyond the log are left out.
        seen: gets the entries that tell of serials: ranges that were issued, lists that were forgotten.

    Raises:
        VerificationError: the first entry that is not what was logged.
    """
    frontier: list[bytes] = []
    nodes: dict[tuple[int, int], bytes] = {}
    roots = {0: tree.EMPTY_ROOT.hex()} if 0 in sizes else {}
    size = 0
    for seq, hash_, leaf in conn.execute("SELECT seq, hash, leaf FROM audit_entry ORDER BY seq"):
        if seq != size:
            raise _damaged("an entry of the log is missing", size)
        if tree.leaf_hash(leaf) != hash_:
            raise _damaged("an entry of the log does not have its hash", seq)
        try:
            entry = entries.parse(leaf, room)
        except ValueError:
            raise _damaged("an entry of the log is not valid", seq) from None
        if entry.seq != seq:
            raise _damaged("an entry of the log is out of order", seq)
        if seen is not None and (entry.data.keys() >= RANGE_WORDS or "serials" in entry.data):
            seen.append(entry)
        for level, position, node in tree.grow_many(frontier, size, [hash_], KEPT_LEVEL):
            nodes[level, position] = node
        size += 1
        if size in sizes:
            roots[size] = tree.root_of(frontier).hex()
    recorded, blob = conn.execute("SELECT size, frontier FROM audit_head").fetchone()
    if (recorded, blob) != (size, b"".join(frontier)):
        raise _damaged("the entries of the log do not give the recorded head", min(recorded, size))
    stored = {(level, position): hash_ for level, position, hash_ in conn.execute("SELECT * FROM audit_node")}
    if stored != nodes:
        raise VerificationError("a stored subtree of the log is not what its entries give", code="log_damaged")
    return LogFacts(size, tree.root_of(frontier).hex(), roots)


def _damaged(message: str, seq: int) -> VerificationError:
    return VerificationError(
        message,
        code="log_damaged",
        hint="keep the file for the auditor, restore the newest backup",
        where=f"entry {seq}",
    )
