"""The index from tags to rows: flat in cost however large the store grows.

A tag is random, so an index over tags is written at random places: at ten million rows every new row dirties a page
of its own, and that is what slows a pseudonym store. Two things help. The key is an integer, 63 bits of the tag, the
cheapest tree that SQLite has. And new keys first go into a small table, `tag_recent`, from which one range of keys
after the other is swept into `tag_main`: a range brings many keys to each page it touches.

Tags that agree in 63 bits (expected 10^-4 times at 50 million rows) live in `tag_clash`; the full tag stands in the
row and is always compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.store import Connection, insert, select_in

_SAMPLES: Final = 250  # tags that say where the rows of many lie


@dataclass(frozen=True)
class Found:
    """Answer of a look-up: (serial, nonce) per known tag, and keys that other tags hold."""

    rows: dict[bytes, tuple[int, bytes]]
    taken: frozenset[int]


@dataclass(frozen=True)
class Part:
    """A range of keys, and the rows of a domain that belong into it.

    Attributes:
        first: key of the range.
        last: likewise.
        rows: serial to key, in the order of keys, of all of them when somebody looked.
        doubtful: serials of rows whose tag may have changed since, which are looked at again.
    """

    first: int
    last: int
    rows: Mapping[int, int]
    doubtful: Collection[int]


@dataclass
class TagIndex:
    """Look-ups and changes inside the caller's transaction; the object itself keeps only where the sweep is.

    Attributes:
        bits: of the tag that make the key; fewer than 63 only to provoke clashes in tests.
        ranges: into how many parts the keys are cut for sweeping.
        every: new keys after which one range is swept.
        many: tags of which it is worth to look whether their rows lie side by side.
    """

    bits: int = 63
    ranges: int = 64
    every: int = 10_000
    many: int = 2_000
    _pending: int = field(default=0, init=False)
    _next: int = field(default=0, init=False)

    def key(self, tag: bytes) -> int:
        """The key of a 16-byte tag."""
        return int.from_bytes(tag[:8], "big") >> (64 - self.bits)

    def least(self, key: int) -> bytes:
        """What no tag with a smaller key reaches, and none with this key or a greater one comes before."""
        head = key << (64 - self.bits)
        return head.to_bytes(8, "big") if head < 2**64 else b"\xff" * 17

    def keys(self, tags: Sequence[bytes]) -> NDArray[np.uint64]:
        """The keys of 16-byte tags."""
        heads = np.frombuffer(b"".join(tags), ">u8")[::2]
        return heads.astype(np.uint64) >> np.uint64(64 - self.bits)

    def find(self, conn: Connection, domain: int, tags: Sequence[bytes], under: Sequence[bytes] = ()) -> Found:
        """The rows of those tags that `domain` has.

        Args:
            conn: transaction or snapshot.
            domain: row id.
            tags: that the rows bear.
            under: other tags, under whose keys such rows may stand: while a lookup key is rotated, their old ones.
        """
        places = [*tags, *under]
        keys = np.unique(self.keys(places)).tolist()
        taken: list[int] = []
        serials: list[int] = []
        for table in ("tag_main", "tag_recent"):
            query = f"SELECT key, domain, serial FROM {table} WHERE key IN {{values}}"  # noqa: S608 - constants
            for key, owner, serial in select_in(conn, query, (), keys):
                taken.append(key)
                if owner == domain:
                    serials.append(serial)
        serials.extend(self._clashes(conn, domain, places))
        if not serials:
            return Found({}, frozenset(taken))
        wanted = set(tags)
        rows = {
            tag: (serial, nonce)
            for serial, nonce, tag in select_in(
                conn,
                "SELECT serial, nonce, tag FROM entry WHERE domain = ? AND serial IN {values}",
                (domain,),
                sorted(set(serials)),
            )
            if tag in wanted
        }
        return Found(rows, frozenset(taken))

    def serials(self, conn: Connection, domain: int, tags: Sequence[bytes]) -> dict[bytes, int]:
        """Serials of the tags that have a row in a domain, and of some others.

        Rows of what comes together were mostly made together, and lie side by side: some of the tags say where. All
        rows there are read, which costs a fifth of asking the index for each; it is asked for the rest.
        """
        known: dict[bytes, int] = {}
        if len(tags) >= self.many:
            some = [row[0] for row in self.find(conn, domain, tags[:: len(tags) // _SAMPLES or 1]).rows.values()]
            if some and max(some) - min(some) < 2 * len(tags):
                reach = len(tags) // 50  # beyond the outermost of them
                query = "SELECT tag, serial FROM entry WHERE domain = ? AND serial BETWEEN ? AND ? AND tag IS NOT NULL"
                known.update(conn.execute(query, (domain, min(some) - reach, max(some) + reach)))
        rest = [tag for tag in tags if tag not in known]
        known.update((tag, row[0]) for tag, row in self.find(conn, domain, rest).rows.items())
        return known

    def add(self, conn: Connection, domain: int, new: Mapping[bytes, int], taken: frozenset[int] | None = None) -> None:
        """Enter new rows (tag to serial) that `find` does not find; `taken` is what it said, if it was asked."""
        if taken is None:
            taken = self.find(conn, domain, list(new)).taken
        keys = self.keys(list(new))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        serials = np.fromiter(new.values(), np.int64, len(new))[order]
        # Of new tags with one key the first gets it; the others, and those whose key a known tag holds, clash.
        clash = np.zeros(len(keys), np.bool_)
        clash[1:] = keys[1:] == keys[:-1]
        if taken:
            clash |= np.isin(keys, np.fromiter(taken, np.uint64, len(taken)))
        entered = keys[~clash].astype(np.int64)
        insert(conn, "tag_recent", {"key": entered, "domain": domain, "serial": serials[~clash]}, len(entered))
        if clash.any():
            tags = list(new)
            places = order[clash].tolist()
            clashes = [(domain, tags[place], new[tags[place]]) for place in places]
            conn.executemany("INSERT INTO tag_clash VALUES (?,?,?)", clashes)
        self._pending += len(new)
        while self._pending >= self.every:
            self._pending -= self.every
            self._sweep(conn)

    def forget(self, conn: Connection, domain: int, serials: Sequence[int]) -> None:
        """Drop rows from the index, before their tags are erased; a tag that clashed with one is still found."""
        query = "SELECT serial, tag FROM entry WHERE domain = ? AND tag IS NOT NULL AND serial IN {values}"
        rows = list(select_in(conn, query, (domain,), serials))
        for table in ("tag_main", "tag_recent"):
            conn.executemany(
                f"DELETE FROM {table} WHERE key = ? AND domain = ? AND serial = ?",  # noqa: S608 - constants
                [(self.key(tag), domain, serial) for serial, tag in rows],
            )
        conn.executemany(
            "DELETE FROM tag_clash WHERE domain = ? AND tag = ? AND serial = ?",
            [(domain, tag, serial) for serial, tag in rows],
        )

    def move(self, conn: Connection, domain: int, under: Sequence[bytes], rows: Mapping[bytes, int]) -> None:
        """Let rows (tag to serial) that stand under the keys of other tags be found by their own."""
        if not rows:
            return
        keys, serials = np.unique(self.keys(under)).tolist(), set(rows.values())
        for table in ("tag_main", "tag_recent"):
            query = f"SELECT key, serial FROM {table} WHERE domain = ? AND key IN {{values}}"  # noqa: S608 - constants
            gone = [(key,) for key, serial in select_in(conn, query, (domain,), keys) if serial in serials]
            conn.executemany(f"DELETE FROM {table} WHERE key = ?", gone)  # noqa: S608 - constants
        if conn.execute("SELECT 1 FROM tag_clash LIMIT 1").fetchone() is not None:
            before = {(domain, tag, serial) for tag in under for serial in self._clashes(conn, domain, [tag])}
            conn.executemany(
                "DELETE FROM tag_clash WHERE domain = ? AND tag = ? AND serial = ?",
                [clash for clash in before if clash[2] in serials],
            )
        self.add(conn, domain, rows)

    def exchange(self, conn: Connection, domain: int, mark: int, part: Part, *, drop: bool) -> None:
        """Let the rows of a domain stand where they belong in a range of keys or, afterwards, nowhere else in it.

        Enter every range before the first one is dropped: a row that has left one place must be found at the other.

        Args:
            conn: of the writing transaction.
            domain: row id.
            mark: rows with a greater serial are left as they are.
            part: the range, and what belongs into it.
            drop: whether places where rows do not belong are dropped, instead of entering those where they do.
        """
        held: dict[int, int | None] = {}  # key to serial; None: of a row that is none of ours
        mine: dict[int, str] = {}  # key to the table where a row of ours stands
        for table in ("tag_main", "tag_recent"):
            query = f"SELECT key, domain, serial FROM {table} WHERE key BETWEEN ? AND ?"  # noqa: S608 - constants
            for key, owner, serial in conn.execute(query, (part.first, part.last)):
                ours = owner == domain and serial <= mark
                held[key] = serial if ours else None
                if ours:
                    mine[key] = table
        now = {serial: key for serial, key in part.rows.items() if serial not in part.doubtful}
        some = [serial for serial in (*part.rows, *held.values()) if serial is not None and serial in part.doubtful]
        now.update((serial, self.key(tag)) for serial, tag in self._tags(conn, domain, some).items())
        if not drop:
            rows = {serial: key for serial, key in part.rows.items() if now.get(serial) == key}
            self._enter(conn, domain, held, rows)
            return
        stale = [key for key, serial in held.items() if serial is not None and now.get(serial) != key]
        for table in ("tag_main", "tag_recent"):
            gone = [(key,) for key in stale if mine[key] == table]
            conn.executemany(f"DELETE FROM {table} WHERE key = ?", gone)  # noqa: S608 - constants

    def _enter(self, conn: Connection, domain: int, held: dict[int, int | None], rows: Mapping[int, int]) -> None:
        """Enter rows (serial to key) that do not stand among `held` (key to serial) yet, in the order of keys."""
        clashing = dict(conn.execute("SELECT serial, tag FROM tag_clash WHERE domain = ?", (domain,)).fetchall())
        new: list[tuple[int, int]] = []
        for serial, key in rows.items():
            if held.get(key) == serial:
                continue
            if key in held or serial in clashing:
                (tag,) = self._tags(conn, domain, [serial]).values()
                if clashing.get(serial) == tag:
                    continue
                if key in held:
                    conn.execute("INSERT INTO tag_clash VALUES (?,?,?)", (domain, tag, serial))
                    continue
            new.append((key, serial))
            held[key] = serial
        if new:
            columns = np.array(new, np.int64)
            insert(conn, "tag_main", {"key": columns[:, 0], "domain": domain, "serial": columns[:, 1]}, len(new))

    @staticmethod
    def _tags(conn: Connection, domain: int, serials: Sequence[int]) -> dict[int, bytes]:
        """The tags that first rows have now; those without one are left out."""
        query = "SELECT serial, tag FROM entry WHERE domain = ? AND idx = 0 AND tag IS NOT NULL AND serial IN {values}"
        return dict(select_in(conn, query, (domain,), sorted(set(serials))))

    def drop_clashes(self, conn: Connection, domain: int, mark: int) -> None:
        """Drop what rows up to a serial left among the clashes under tags that they do not bear any more."""
        conn.execute(
            "DELETE FROM tag_clash WHERE domain = ? AND serial <= ? AND NOT EXISTS (SELECT 1 FROM entry e"
            " WHERE e.domain = tag_clash.domain AND e.serial = tag_clash.serial AND e.tag = tag_clash.tag)",
            (domain, mark),
        )

    def _clashes(self, conn: Connection, domain: int, tags: Sequence[bytes]) -> Iterator[int]:
        if conn.execute("SELECT 1 FROM tag_clash LIMIT 1").fetchone() is None:
            return
        query = "SELECT serial FROM tag_clash WHERE domain = ? AND tag IN {values}"
        for (serial,) in select_in(conn, query, (domain,), tags):
            yield serial

    def _sweep(self, conn: Connection) -> None:
        """Move the next range of keys into the large table. Losing the place in a crash only delays a range."""
        width = 2**self.bits // self.ranges
        low = self._next * width
        self._next = (self._next + 1) % self.ranges
        high = low + width - 1 if self._next else 2**self.bits - 1
        conn.execute(
            "INSERT INTO tag_main SELECT key, domain, serial FROM tag_recent WHERE key BETWEEN ? AND ? ORDER BY key",
            (low, high),
        )
        conn.execute("DELETE FROM tag_recent WHERE key BETWEEN ? AND ?", (low, high))
