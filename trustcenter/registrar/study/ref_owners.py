"""Which record of a domain a ref belongs to, and which refs no record has.

    ref_owner   ref → serial, packed by ref, one space a domain
    ref_heads   bytes 1 to 4 of the same refs, by their first byte, sorted

A map brings refs that nobody has, nearly always all of them. Refs are spread evenly, so pages of `ref_owner` that were
written together span everything between them: to find that a ref is in none of them, all of them would be read, for
each map. Of five bytes of a ref hardly one in a hundred thousand is somebody else's; only those are looked for.

Both tables change together. A part, the refs with one first byte, of which there are no heads yet is not known: there
any ref is looked for (stores of before this table). The first refs that come to it bring the heads of all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.store import Connection, Migration
from trustcenter.store.keys import U64
from trustcenter.store.packed import PARTS, Keys, Packed

U32 = NDArray[np.uint32]

OWNER = np.dtype([("ref", "u1", 16), ("serial", "<i8")])
OWNERS: Final = Packed("ref_owner", OWNER, "ref")  # the table is of migration 611, in `refs`
HEADS: Final = 16_384  # of one row: with so many it is full, and the next one is begun
_SEARCHED: Final = 2**18  # bytes of heads that are searched at a time
_READ: Final = 16  # parts whose refs are read at a time

MIGRATIONS: Final = (
    Migration(
        number=690,
        name="beginnings of refs",
        sql="""
        CREATE TABLE ref_heads (
            id INTEGER PRIMARY KEY,
            domain INTEGER NOT NULL,
            part INTEGER NOT NULL,        -- first byte of the refs
            number INTEGER NOT NULL,      -- all rows of a part are full, but for the last
            heads BLOB NOT NULL           -- bytes 1 to 4 of each as a number of 4 bytes, low one first; ascending
        ) STRICT;
        CREATE UNIQUE INDEX ref_heads_place ON ref_heads (domain, part, number);
        """,
    ),
)


def add(conn: Connection, domain: int, entries: NDArray[np.void]) -> None:
    """Enter (n,) OWNER in any order, sorted is fastest. Nobody looks whether one is there already."""
    entries, first = OWNERS.in_order(entries)
    OWNERS.add(conn, domain, entries)
    heads, bounds = _by_part(first)
    query = "SELECT part, id, number, length(heads) FROM ref_heads WHERE domain = ? ORDER BY part, number"
    last = {part: (row, number, size) for part, row, number, size in conn.execute(query, (domain,))}
    begun = set()
    for part, (start, end) in enumerate(itertools.pairwise(bounds)):
        if start == end:
            continue
        if part not in last:
            begun.add(part)
            continue
        row, number, size = last[part]
        if size >= HEADS * heads.itemsize:
            _insert(conn, domain, part, number + 1, heads[start:end])
        else:
            (held,) = conn.execute("SELECT heads FROM ref_heads WHERE id = ?", (row,)).fetchone()
            _update(conn, row, np.sort(np.concatenate((_read(held), heads[start:end]))))
    for part, whole in _whole(conn, domain, begun):
        for number, at in enumerate(range(0, len(whole), HEADS)):
            _insert(conn, domain, part, number, whole[at : at + HEADS])


def remove(conn: Connection, domain: int, keys: Keys) -> NDArray[np.void]:
    """Forget the owners of refs, as far as there are any; returns them, (n,) OWNER."""
    gone = OWNERS.remove(conn, domain, keys)
    heads, bounds = _by_part(OWNERS.in_order(gone)[1])
    for part, (start, end) in enumerate(itertools.pairwise(bounds)):
        if start < end:
            _forget(conn, domain, part, heads[start:end])
    return gone


def near(conn: Connection, domain: int, keys: Keys) -> NDArray[np.bool_]:
    """Which of some refs a record of the domain may have: all that one has, and hardly any others."""
    asked = keys.first >> np.uint64(24)  # part and head
    found, known = np.zeros(len(asked), np.bool_), np.zeros(PARTS, np.bool_)
    for parts, held in _runs(conn, domain):
        known[parts] = True
        bounds = np.array([parts[0], parts[-1] + 1], np.uint64) << np.uint64(32)
        start, end = np.searchsorted(asked, bounds).tolist()
        if len(held) and start < end:
            _mark(asked[start:end], held, found[start:end])
    again = np.flatnonzero(asked[1:] == asked[:-1]) + 1
    if len(again):  # which begin like the one before
        first = np.arange(len(asked))
        first[again] = 0
        found = found[np.maximum.accumulate(first)]
    return found | ~known[(asked >> np.uint64(32)).astype(np.intp)]


def drop(conn: Connection, domain: int) -> int:
    """Forget all of a domain; returns how many refs."""
    conn.execute("DELETE FROM ref_heads WHERE domain = ?", (domain,))
    return OWNERS.drop(conn, domain)


def drop_some(conn: Connection, domain: int, rows: int) -> int:
    """As `drop`, but not more than so many rows of each table; returns how many."""
    some = "SELECT id FROM ref_heads WHERE domain = ? LIMIT ?"
    heads = conn.execute(f"DELETE FROM ref_heads WHERE id IN ({some})", (domain, rows)).rowcount  # noqa: S608
    return heads + OWNERS.drop_some(conn, domain, rows)


def agree(conn: Connection, domain: int) -> bool:
    """Whether the heads are those of the refs, wherever there are any."""
    held: dict[int, list[U32]] = {}
    for part, packed in conn.execute("SELECT part, heads FROM ref_heads WHERE domain = ? ORDER BY id", (domain,)):
        held.setdefault(part, []).append(_read(packed))
    found = _whole(conn, domain, set(held))
    return all(np.array_equal(np.sort(np.concatenate(held[part])), whole) for part, whole in found)


def _runs(conn: Connection, domain: int) -> Iterator[tuple[list[int], U64]]:
    """The heads of a domain behind their parts, ascending: rows of different parts together while they are short."""
    parts: list[int] = []
    rows: list[bytes] = []
    query = "SELECT part, heads FROM ref_heads WHERE domain = ? ORDER BY part, number"
    for part, heads in conn.execute(query, (domain,)):
        if parts and (part == parts[-1] or sum(map(len, rows)) >= _SEARCHED):
            yield parts, _behind(parts, rows)
            parts, rows = [], []
        parts.append(part)
        rows.append(heads)
    if parts:
        yield parts, _behind(parts, rows)


def _mark(asked: U64, held: U64, found: NDArray[np.bool_]) -> None:
    """Note what of `asked` is in `held`, both ascending; of some that are alike at least the first.

    The fewer are looked for among the more: a source that chose all its refs to begin with one byte has many rows in
    one part, and each is compared with all that it asks about.
    """
    if len(held) < len(asked):
        at = np.minimum(asked.searchsorted(held), len(asked) - 1)
        found[at[asked[at] == held]] = True
    else:
        found |= held[np.minimum(held.searchsorted(asked), len(held) - 1)] == asked


def _behind(parts: list[int], rows: list[bytes]) -> U64:
    heads = _read(b"".join(rows))
    found: U64 = np.repeat(np.array(parts, np.uint64) << np.uint64(32), [len(row) // 4 for row in rows]) | heads
    return found


def _whole(conn: Connection, domain: int, parts: set[int]) -> Iterator[tuple[int, U32]]:
    """The heads of parts by the refs themselves, sorted."""
    for first in range(0, PARTS, _READ):
        mine = sorted(parts.intersection(range(first, first + _READ)))
        if mine:
            entries = np.concatenate([np.empty(0, OWNER), *OWNERS.read(conn, domain, first, first + _READ)])
            heads, bounds = _by_part(OWNERS.in_order(entries)[1])
            yield from ((part, heads[bounds[part] : bounds[part + 1]]) for part in mine)


def _forget(conn: Connection, domain: int, part: int, gone: U32) -> None:
    """Take heads out, each as often as it is gone."""
    query = "SELECT id, heads FROM ref_heads WHERE domain = ? AND part = ? ORDER BY number"
    for row, packed in conn.execute(query, (domain, part)).fetchall():
        held = _read(packed)
        # Of two refs that begin alike the second needs a head of its own.
        at = np.searchsorted(held, gone) + np.arange(len(gone)) - np.searchsorted(gone, gone)
        there = at < len(held)
        there[there] = held[at[there]] == gone[there]
        if there.any():
            _update(conn, row, np.delete(held, at[there]))
            gone = gone[~there]


def _by_part(first: U64) -> tuple[U32, list[int]]:
    """Ascending first halves of refs → their heads, and where each part begins among them, and the last ends."""
    bounds = np.searchsorted(first, np.arange(PARTS, dtype=np.uint64) << np.uint64(56)).tolist()
    return (first >> np.uint64(24)).astype(np.uint32), [*bounds, len(first)]


def _read(packed: bytes) -> U32:
    return np.frombuffer(packed, "<u4").astype(np.uint32, copy=False)


def _insert(conn: Connection, domain: int, part: int, number: int, heads: U32) -> None:
    query = "INSERT INTO ref_heads (domain, part, number, heads) VALUES (?,?,?,?)"
    conn.execute(query, (domain, part, number, heads.astype("<u4").tobytes()))


def _update(conn: Connection, row: int, heads: U32) -> None:
    conn.execute("UPDATE ref_heads SET heads = ? WHERE id = ?", (heads.astype("<u4").tobytes(), row))
