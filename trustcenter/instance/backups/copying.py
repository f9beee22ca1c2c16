"""Copying the tables of a SQLite store into a PostgreSQL store, and comparing the two: every row, every pseudonym."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import numpy as np

from keys import computed
from keys.ids import Purpose
from keys.states import KeyState
from keys.store import KeyStore
from trustcenter.clock import utc_now
from trustcenter.errors import VerificationError
from trustcenter.registrar.rotating.keyring import KeyRing, domain_scope
from trustcenter.store import Connection, Location, snapshot

Tick = Callable[[str, int, int], None]  # stage, rows done, rows in all
_PART: Final = 20_000  # rows in memory at one time
_STRINGS: Final = 50_000  # pseudonyms in memory at one time, from each side


def tables(source: Connection, without: Collection[str]) -> list[str]:
    """Names of the tables of a SQLite store, parents before children."""
    names = [
        row[0]
        for row in source.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        ).fetchall()
    ]
    parents = {
        name: {row[2] for row in source.execute(f"PRAGMA foreign_key_list({name})").fetchall()} - {name}
        for name in names
    }
    ordered: list[str] = []
    while parents:
        ready = sorted(name for name, above in parents.items() if above <= set(ordered))
        if not ready:
            raise VerificationError("tables of this store refer to each other in a circle", code="schema_unknown")
        ordered += ready
        for name in ready:
            del parents[name]
    return [name for name in ordered if name not in without]


def count(conn: Connection, names: Collection[str]) -> int:
    """Rows of all tables together."""
    return sum(conn.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names)  # noqa: S608


def fill(source: Connection, target: Connection, names: list[str], tick: Callable[[int], None]) -> None:
    """Copy every row of the tables. What the target holds, of its migrations or an interrupted copy, is dropped."""
    target.execute(f"TRUNCATE {', '.join(names)}")
    for name in names:
        columns = _columns(source, name)
        listed = ", ".join(columns)
        insert = f"INSERT INTO {name} ({listed}) VALUES ({','.join('?' * len(columns))})"  # noqa: S608
        order = _key(source, name)
        found = source.execute(f"SELECT {listed} FROM {name} ORDER BY {order}")  # noqa: S608
        for part in _parts(iter(found)):
            target.executemany(insert, part)
            tick(len(part))


def compare(source: Connection, place: Location, names: list[str], tick: Callable[[int], None]) -> int:
    """Compare every row of the tables with its copy; returns how many there are.

    Raises:
        VerificationError: named by table and position, never by value.
    """
    total = 0
    for name in names:
        query = f"SELECT {', '.join(_columns(source, name))} FROM {name} ORDER BY {_key(source, name)}"  # noqa: S608
        with snapshot(place) as copy:
            pairs = itertools.zip_longest(source.execute(query), copy.execute(query))
            for position, (left, right) in enumerate(pairs, 1):
                if left is None or right is None or tuple(left) != tuple(right):
                    raise VerificationError(
                        "the copy differs from the original",
                        code="copy_differs",
                        hint="nothing was switched; empty the new databases and move again",
                        where=f"{name}, row {position}",
                    )
                if position % _PART == 0:
                    tick(_PART)
                total += 1
            tick(total % _PART)
    return total


def _columns(source: Connection, name: str) -> list[str]:
    return [row[1] for row in source.execute(f"PRAGMA table_info({name})").fetchall()]


def _key(source: Connection, name: str) -> str:
    """The columns of the primary key, which order rows alike in both stores."""
    found = source.execute(f"PRAGMA table_info({name})").fetchall()
    keys = [row[1] for row in sorted(found, key=lambda row: row[5]) if row[5]]
    return ", ".join(keys or [row[1] for row in found])


def _parts(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(itertools.islice(rows, _PART)):
        yield part


def compare_pseudonyms(source: Connection, place: Location, keys: KeyStore) -> int:
    """Compute every pseudonym of suite "computed" from both stores and compare them; stored ones were compared as rows.

    Raises:
        VerificationError: two differ.
    """
    total = 0
    ring = KeyRing(keys, utc_now)
    for row_id, uuid in source.execute("SELECT id, uuid FROM domain WHERE suite = 'computed' ORDER BY id").fetchall():
        active = [
            version.version
            for version in ring.versions(source, domain_scope(uuid), Purpose.PSEUDONYM)
            if version.state is KeyState.ACTIVE
        ]
        if not active:
            continue
        query = "SELECT serial, nonce FROM entry WHERE domain = ? AND status = 0 ORDER BY serial"
        with snapshot(place) as copy:
            inner = [
                conn.execute("SELECT h FROM domain WHERE id = ?", (row_id,)).fetchone()[0] for conn in (source, copy)
            ]
            left, right = (iter(conn.execute(query, (row_id,))) for conn in (source, copy))
            while True:
                a, b = (_strings(keys, h, uuid, active[0], rows) for h, rows in zip(inner, (left, right), strict=True))
                if a != b:
                    raise VerificationError(
                        "a pseudonym of the copy differs from the original's", code="copy_differs", where="pseudonyms"
                    )
                if not a:
                    break
                total += len(a)
    return total


def _strings(keys: KeyStore, h: bytes, uuid: str, version: int, rows: object) -> list[str]:
    part = list(itertools.islice(rows, _STRINGS))  # type: ignore[call-overload]
    if not part:
        return []
    serials = np.fromiter((row[0] for row in part), dtype=np.uint64, count=len(part))
    nonces = np.frombuffer(b"".join(row[1] for row in part), dtype=np.uint8).reshape(len(part), 5)
    blocks = computed.inner_blocks(h, uuid, version, serials, nonces)
    return computed.format_blocks(keys.encipher(uuid, version, blocks))
