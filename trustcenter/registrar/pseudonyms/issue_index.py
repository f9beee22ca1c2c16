"""Where in the log a serial was issued: per block of entries and domain, the range of serials that were issued there.

The log of a centre has millions of entries, and a report on one pseudonym must not read them all. The index is sparse
and is brought up to date by whoever asks: it repeats what the log says and can be thrown away at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from trustcenter.audit import Event
from trustcenter.store import Connection, Database, Migration

BLOCK: Final = 4_096  # entries
_STEP: Final = 32  # blocks that are read at once
MIGRATIONS: Final = (
    Migration(
        number=454,
        name="where serials were issued",
        sql="""
        CREATE TABLE issue_block (
            domain TEXT NOT NULL,         -- its name, as in entries
            epoch INTEGER NOT NULL,
            block INTEGER NOT NULL,       -- entries from block * 4096 on
            first INTEGER NOT NULL,       -- the least counter issued in the block
            past INTEGER NOT NULL,        -- the greatest one, plus 1
            PRIMARY KEY (domain, epoch, block)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE issue_indexed (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            blocks INTEGER NOT NULL       -- how many are in the index
        ) STRICT;
        INSERT INTO issue_indexed VALUES (1, 0);
        """,
    ),
)
_ISSUED: Final = Event.PSEUDONYM_ISSUE.value
_MARK: Final = f'"event":"{_ISSUED}"'.encode()


class _Issue(msgspec.Struct):
    domain: str = ""
    epoch: int = -1
    first: int = 0
    count: int = 0


class _Brief(msgspec.Struct):
    event: str
    data: _Issue


_decoder: Final = msgspec.json.Decoder(_Brief)
_Range = tuple[str, int, int, int, int]


async def refresh(db: Database) -> None:
    """Bring the index up to the last complete block of entries; other work goes on meanwhile."""
    while True:
        start, found, blocks = await db.read(_scan)
        if not blocks:
            return

        def keep(conn: Connection, start: int = start, found: list[_Range] = found, blocks: int = blocks) -> None:
            moved = conn.execute(
                "UPDATE issue_indexed SET blocks = ? WHERE blocks = ?", (start + blocks, start)
            ).rowcount
            if moved:  # else somebody else was faster
                conn.executemany("INSERT INTO issue_block VALUES (?,?,?,?,?)", found)

        await db.write(keep)


def find(conn: Connection, domain: str, epoch: int, counter: int) -> tuple[int, bytes] | None:
    """Leaf index and leaf of the entry that tells of a serial; None if no entry does.

    Args:
        conn: a snapshot; what the index lacks is read from the log.
        domain: name.
        epoch: of the serial.
        counter: of the serial.
    """
    (blocks,) = conn.execute("SELECT blocks FROM issue_indexed").fetchone()
    (size,) = conn.execute("SELECT size FROM audit_head").fetchone()
    spans = [(blocks * BLOCK, size)]
    candidates = conn.execute(
        "SELECT block FROM issue_block WHERE domain = ? AND epoch = ? AND first <= ? AND past > ? ORDER BY block DESC",
        (domain, epoch, counter, counter),
    ).fetchall()
    spans += [(block * BLOCK, (block + 1) * BLOCK) for (block,) in candidates]
    for start, end in spans:  # the latest: a domain of this name may have been closed and made anew
        found = _last(_leaves(conn, start, end), domain, epoch, counter)
        if found is not None:
            return found
    return None


def _leaves(conn: Connection, start: int, end: int) -> Iterable[Any]:
    return conn.execute("SELECT seq, leaf FROM audit_entry WHERE seq >= ? AND seq < ? ORDER BY seq", (start, end))


def _last(rows: Iterable[Any], domain: str, epoch: int, counter: int) -> tuple[int, bytes] | None:
    found = None
    for seq, leaf in rows:
        issue = _issue(bytes(leaf))
        if issue is None or (issue.domain, issue.epoch) != (domain, epoch):
            continue
        if issue.first <= counter < issue.first + issue.count:
            found = seq, bytes(leaf)
    return found


def _issue(leaf: bytes) -> _Issue | None:
    if _MARK not in leaf:
        return None
    entry = _decoder.decode(leaf)
    return entry.data if entry.event == _ISSUED else None


def _scan(conn: Connection) -> tuple[int, list[_Range], int]:
    """The first block that is not in the index, the ranges of some blocks from there on, and how many were read."""
    (start,) = conn.execute("SELECT blocks FROM issue_indexed").fetchone()
    (size,) = conn.execute("SELECT size FROM audit_head").fetchone()
    end = min(size // BLOCK, start + _STEP)
    ranges: dict[tuple[str, int, int], tuple[int, int]] = {}
    for block in range(start, end):
        for _, leaf in _leaves(conn, block * BLOCK, (block + 1) * BLOCK):
            issue = _issue(bytes(leaf))
            if issue is None or not issue.count:
                continue
            place = issue.domain, issue.epoch, block
            first, past = ranges.get(place, (issue.first, 0))
            ranges[place] = min(first, issue.first), max(past, issue.first + issue.count)
    return start, [(*place, *span) for place, span in ranges.items()], end - start
