"""Reading a log from its database: head, leaves, roots over ranges, moments. Everything in the caller's snapshot."""

from __future__ import annotations

from typing import Final

from trustcenter.errors import InternalError
from trustcenter.store import Connection

from . import entries, tree

KEPT_LEVEL: Final = 8  # roots of subtrees of 2^8 leaves and more are stored


def head(conn: Connection) -> tuple[int, bytes, int]:
    """Number of entries, frontier, and microseconds since 1970 of the last entry (0 at the comparator).

    Raises:
        InternalError: they do not fit each other.
    """
    row = conn.execute("SELECT size, frontier, micros FROM audit_head").fetchone()
    if row is None or len(row[1]) != 32 * row[0].bit_count():
        raise InternalError("the head of the audit log is damaged", hint="restore the newest backup")
    found: tuple[int, bytes, int] = row
    return found


def root(frontier: bytes) -> bytes:
    """The root of a stored frontier."""
    return tree.root_of(split(frontier))


def split(frontier: bytes) -> list[bytes]:
    """A stored frontier as hashes."""
    return [frontier[at : at + 32] for at in range(0, len(frontier), 32)]


def subtree(conn: Connection) -> tree.Subtree:
    """Roots over ranges of leaves: complete large subtrees are looked up, the rest is hashed."""

    def found(start: int, end: int) -> bytes:
        count = end - start
        level = count.bit_length() - 1
        if level >= KEPT_LEVEL and count == 1 << level:
            hash_: bytes = conn.execute(
                "SELECT hash FROM audit_node WHERE level = ? AND position = ?", (level, start >> level)
            ).fetchone()[0]
            return hash_
        if count > 1 << KEPT_LEVEL:
            middle = start + tree.split_point(count)
            return tree.node_hash(found(start, middle), found(middle, end))
        frontier: list[bytes] = []
        hashes = conn.execute("SELECT hash FROM audit_entry WHERE seq >= ? AND seq < ? ORDER BY seq", (start, end))
        for size, (hash_,) in enumerate(hashes):
            tree.grow(frontier, size, hash_)
        return tree.root_of(frontier)

    return found


def leaf(conn: Connection, index: int) -> bytes:
    """The canonical bytes of an entry.

    Raises:
        ValueError: there is none.
    """
    row = conn.execute("SELECT leaf FROM audit_entry WHERE seq = ?", (index,)).fetchone()
    if row is None:
        raise ValueError("the log is not that large")
    return bytes(row[0])


def first_from(conn: Connection, room: str, moment: str, size: int) -> int:
    """Index of the first entry whose time is not before `moment`; times never go back, so halving finds it."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if str(entries.parse(leaf(conn, middle), room).time) < moment:
            low = middle + 1
        else:
            high = middle
    return low
