"""Tables of many small entries, packed by the thousand: one row of the database is a page of sorted entries.

A row of its own for every entry costs some 20 µs and 500 bytes where keys are random, since nearly each falls on a page
of its own of the database's tree. Here entries that come together are sorted, cut where the first byte of the key
changes (a *part*), and each part appended as pages; numpy reads and writes them whole.

Pages of one part may overlap. A page says which keys it spans, so a look-up reads those that can hold one of the keys
asked for, and nothing depends on how entries are spread over pages. Where many small pages have gathered in a part,
`add` rewrites it, and what that costs is bounded by what is added: parts fill alike and become crowded together, so
what is too much for one transaction is left to those that follow.

A few entries would make a page in each part. They are *mixed* instead, in pages of all parts, until there are enough.

The table has the columns of `ddl`. `space` keeps apart what must not mix (a study, a pass of it): keys are looked up,
counted and dropped by space.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .connection import Connection, select_in
from .entries import Entries, near, take
from .keys import U64, Keys, halves_of, order_of

__all__ = ["KEY_BYTES", "PAGE", "PARTS", "Entries", "Keys", "Packed", "ddl", "take"]

KEY_BYTES: Final = 16
PARTS: Final = 256
MIXED: Final = PARTS  # stands for a part where a page has entries of all
FEW: Final = 16_384  # entries in mixed pages of a space; more have pages of their own part
PAGE: Final = 1024  # entries of a page
_SPARE: Final = 8  # pages of a part beyond _TIMES what it needs, before it is rewritten
_TIMES: Final = 5  # a page costs about as much to read as its fifth part in entries
_TOGETHER: Final = 64  # pages read at a time


def ddl(table: str) -> str:
    """The statements that make a table of packed entries."""
    return f"""
        CREATE TABLE {table} (
            number INTEGER PRIMARY KEY,
            space INTEGER NOT NULL,
            part INTEGER NOT NULL,        -- first byte of the keys
            first BLOB NOT NULL,          -- first 8 bytes of the smallest key, and of the greatest
            last BLOB NOT NULL,
            entries INTEGER NOT NULL,
            body BLOB NOT NULL            -- the entries, sorted by key
        ) STRICT;
        CREATE INDEX {table}_span ON {table} (space, part, first, last, entries, number);
    """


@dataclass(frozen=True)
class Packed:
    """A table of packed entries.

    Attributes:
        table: its name.
        kind: of an entry.
        key: the field of `kind`, 16 bytes, that entries are sorted and found by.
    """

    table: str
    kind: np.dtype[np.void]
    key: str

    def add(self, conn: Connection, space: int, entries: Entries) -> None:
        """Add entries in any order. Nobody looks whether a key is there already."""
        if not len(entries):
            return
        few = len(entries) < FEW
        self._insert(conn, space, entries, mixed=few)
        if few and self._count_part(conn, space, MIXED) >= FEW:
            self._rewrite(conn, space, MIXED, mixed=False)
        self._thin_out(conn, space, len(entries) + min(len(entries), PARTS) * PAGE)

    def find(self, conn: Connection, space: int, keys: Keys) -> Iterator[Entries]:
        """The entries that have one of the keys, some at a time.

        Pages are searched for the few keys that can be in them; what else they hold is passed over.
        """
        first = np.unique(keys.first) if keys.alike else keys.first
        for pages in self._holding(conn, space, keys):
            found = near(b"".join(body for _, _, body in pages), self._head(), first).view(self.kind)
            yield found[keys.among(found[self.key])]

    def remove(
        self, conn: Connection, space: int, keys: Keys, also: Callable[[Entries], NDArray[np.bool_]] | None = None
    ) -> Entries:
        """Remove the entries that have one of the keys, and return them.

        Args:
            conn: a transaction.
            space: where.
            keys: of what goes.
            also: which of some entries are meant, where the key alone does not say it.
        """
        removed = [np.empty(0, self.kind)]
        for pages in self._holding(conn, space, keys):
            entries = np.frombuffer(b"".join(body for _, _, body in pages), self.kind)
            gone = keys.among(entries[self.key])
            if also is not None:
                gone[gone] = also(entries[gone])
            if not gone.any():
                continue
            removed.append(entries[gone])
            at = 0
            for number, count, _ in pages:
                mine = slice(at, at + count)
                at += count
                if gone[mine].any():
                    self._replace(conn, number, entries[mine][~gone[mine]])
        return np.concatenate(removed)

    def read(self, conn: Connection, space: int, first: int = 0, end: int = PARTS) -> Iterator[Entries]:
        """All entries of some parts, page by page."""
        yield from self._bodies(conn, space, first, end)
        for entries in self._bodies(conn, space, MIXED, MIXED + 1):
            parts = entries[self.key][:, 0]
            yield entries[(parts >= first) & (parts < end)]

    def sorted(self, conn: Connection, space: int, part: int) -> Entries:
        """All entries of one part by ascending keys."""
        entries = np.concatenate([np.empty(0, self.kind), *self.read(conn, space, part, part + 1)])
        return take(entries, order_of(*halves_of(entries[self.key])))

    def between(self, conn: Connection, space: int, low: bytes, high: bytes | None) -> Entries:
        """The entries whose keys are above `low` and up to `high` (None: the end), sorted."""
        found = [np.empty(0, self.kind)]
        last = high if high is not None else b"\xff" * KEY_BYTES
        bounds = np.frombuffer(low.ljust(KEY_BYTES, b"\0") + last, np.uint8).reshape(2, KEY_BYTES)
        (low_high, high_high), (low_low, high_low) = halves_of(bounds)
        for part in range(low[0] if low else 0, last[0] + 1):
            entries = self.sorted(conn, space, part)
            first, second = halves_of(entries[self.key])
            chosen = (first < high_high) | ((first == high_high) & (second <= high_low))
            if low:
                chosen &= (first > low_high) | ((first == low_high) & (second > low_low))
            found.append(entries[chosen])
        return np.concatenate(found)

    def count(self, conn: Connection, space: int, end: int | None = None) -> int:
        """How many entries there are in a space, or in those from `space` to before `end`."""
        query = f"SELECT coalesce(sum(entries), 0) FROM {self.table} WHERE space >= ? AND space < ?"  # noqa: S608
        return int(conn.execute(query, (space, space + 1 if end is None else end)).fetchone()[0])

    def drop(self, conn: Connection, space: int, end: int | None = None) -> int:
        """Remove all entries of a space, or of those from `space` to before `end`; returns how many."""
        entries = self.count(conn, space, end)
        query = f"DELETE FROM {self.table} WHERE space >= ? AND space < ?"  # noqa: S608
        conn.execute(query, (space, space + 1 if end is None else end))
        return entries

    def drop_some(self, conn: Connection, space: int, pages: int, end: int | None = None) -> int:
        """As `drop`, but not more than so many pages; returns how many pages."""
        some = f"SELECT number FROM {self.table} WHERE space >= ? AND space < ? LIMIT ?"  # noqa: S608
        query = f"DELETE FROM {self.table} WHERE number IN ({some})"  # noqa: S608
        return conn.execute(query, (space, space + 1 if end is None else end, pages)).rowcount

    def spaces(self, conn: Connection) -> list[int]:
        """The spaces that have entries."""
        return [row[0] for row in conn.execute(f"SELECT DISTINCT space FROM {self.table} ORDER BY space")]  # noqa: S608

    def misfits(self, conn: Connection, space: int) -> int:
        """How many pages are not what their columns say: cut, unsorted, or of another part."""
        wrong = 0
        query = f"SELECT part, first, last, entries, body FROM {self.table} WHERE space = ?"  # noqa: S608
        for part, first, last, entries, body in conn.execute(query, (space,)):
            if len(body) != entries * self.kind.itemsize or not entries:
                wrong += 1
                continue
            keys = np.frombuffer(body, self.kind)[self.key]
            high, _ = halves_of(keys)
            spans = keys[0, :8].tobytes() == bytes(first) and keys[-1, :8].tobytes() == bytes(last)
            placed = part == MIXED or bool((keys[:, 0] == part).all())
            wrong += not (spans and placed and bool((high[:-1] <= high[1:]).all()))
        return wrong

    def _head(self) -> np.dtype[np.void]:
        """The first half of an entry's key, as `head`."""
        start = self.kind.fields[self.key][1]  # type: ignore[index]
        return np.dtype({"names": ["head"], "formats": [">u8"], "offsets": [start], "itemsize": self.kind.itemsize})

    def in_order(self, entries: Entries) -> tuple[Entries, U64]:
        """Entries by ascending first halves of their keys, and these halves; those that begin alike in any order."""
        entries = np.ascontiguousarray(entries)
        first = entries.view(self._head())["head"].astype(np.uint64)
        if bool((first[1:] >= first[:-1]).all()):
            return entries, first
        order = np.argsort(first)
        return take(entries, order), first[order]

    def _insert(self, conn: Connection, space: int, entries: Entries, *, mixed: bool) -> None:
        conn.executemany(
            f"INSERT INTO {self.table} (space, part, first, last, entries, body) VALUES (?,?,?,?,?,?)",  # noqa: S608
            self._pages(space, entries, mixed),
        )

    def _pages(self, space: int, entries: Entries, mixed: bool) -> Iterator[tuple[int, int, bytes, bytes, int, bytes]]:
        entries, first = self.in_order(entries)
        bounds = np.searchsorted(first, np.arange(PARTS, dtype=np.uint64) << np.uint64(56)).tolist()
        spans = [(0, len(first))] if mixed else itertools.pairwise([*bounds, len(first)])
        for part, (start, end) in enumerate(spans, MIXED if mixed else 0):
            for at in range(start, end, PAGE):
                stop = min(at + PAGE, end)
                low, high = (int(first[place]).to_bytes(8, "big") for place in (at, stop - 1))
                yield space, part, low, high, stop - at, entries[at:stop].tobytes()

    def _thin_out(self, conn: Connection, space: int, most: int) -> None:
        """Rewrite parts with too many pages, the most crowded first: one, and more while it is `most` entries in all.

        A part is rewritten once for at least a page more for each `PAGE` of its entries, so as many entries as the
        pages that are added could hold are enough to keep up.
        """
        crowded = conn.execute(
            f"SELECT part, sum(entries) FROM {self.table} WHERE space = ? GROUP BY part"  # noqa: S608
            f" HAVING count(*) > {_TIMES} * sum(entries) / {PAGE} + {_SPARE}"
            f" ORDER BY count(*) - {_TIMES} * sum(entries) / {PAGE} DESC, part",
            (space,),
        ).fetchall()
        done = 0
        for part, entries in crowded:
            if done and done + int(entries) > most:
                return
            self._rewrite(conn, space, part, mixed=part == MIXED)
            done += int(entries)

    def _rewrite(self, conn: Connection, space: int, part: int, *, mixed: bool) -> None:
        entries = np.concatenate(list(self._bodies(conn, space, part, part + 1)))
        conn.execute(f"DELETE FROM {self.table} WHERE space = ? AND part = ?", (space, part))  # noqa: S608
        self._insert(conn, space, entries, mixed=mixed)

    def _count_part(self, conn: Connection, space: int, part: int) -> int:
        query = f"SELECT coalesce(sum(entries), 0) FROM {self.table} WHERE space = ? AND part = ?"  # noqa: S608
        return int(conn.execute(query, (space, part)).fetchone()[0])

    def _bodies(self, conn: Connection, space: int, first: int, end: int) -> Iterator[Entries]:
        cursor = conn.execute(
            f"SELECT body FROM {self.table} WHERE space = ? AND part >= ? AND part < ? ORDER BY part, first",  # noqa: S608
            (space, first, end),
        )
        while rows := cursor.fetchmany(_TOGETHER):
            yield np.frombuffer(b"".join(row[0] for row in rows), self.kind)

    def _replace(self, conn: Connection, number: int, entries: Entries) -> None:
        if not len(entries):
            conn.execute(f"DELETE FROM {self.table} WHERE number = ?", (number,))  # noqa: S608
            return
        keys = entries[self.key]
        conn.execute(
            f"UPDATE {self.table} SET first = ?, last = ?, entries = ?, body = ? WHERE number = ?",  # noqa: S608
            (keys[0, :8].tobytes(), keys[-1, :8].tobytes(), len(entries), entries.tobytes(), number),
        )

    def _holding(self, conn: Connection, space: int, keys: Keys) -> Iterator[list[tuple[int, int, bytes]]]:
        """Pages that can hold one of the keys, some at a time: number, entries, body. In the order of their numbers."""
        # Few keys need not look at the heads of all parts.
        parts = [*np.unique(keys.first >> np.uint64(56)).tolist(), MIXED]
        query = f"SELECT number, first, last FROM {self.table} WHERE space = ? AND part IN {{values}}"  # noqa: S608
        spans: list[Any] = list(select_in(conn, query, (space,), parts))
        first, last = (np.frombuffer(b"".join(row[i] for row in spans), ">u8").astype(np.uint64) for i in (1, 2))
        holds = np.searchsorted(keys.first, last, "right") > np.searchsorted(keys.first, first, "left")
        numbers = sorted(spans[i][0] for i in np.flatnonzero(holds).tolist())
        query = f"SELECT number, entries, body FROM {self.table} WHERE number IN {{values}}"  # noqa: S608
        for at in range(0, len(numbers), _TOGETHER):
            yield list(select_in(conn, query, (), numbers[at : at + _TOGETHER]))
