"""Sealed values of a domain, originals and stored strings, as the jobs that rewrite them read and replace them.

A value is bound to its row and to the tag that it is found by; the associated data of both kinds end with that tag
(docs/spec/pseudonym-rows.md), which is what lets one kind of part stand for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import layout
from trustcenter.store import Connection, select_in

ORIGINALS: Final = "entry"
STRINGS: Final = "stored_string"


@dataclass(frozen=True)
class Part:
    """Columns of values of one kind. `table` says where they lie."""

    table: str
    serials: list[int] = field(default_factory=list)
    idx: list[int] = field(default_factory=list)
    nonces: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)  # of the associated data; the tag follows
    tags: list[bytes] = field(default_factory=list)
    boxes: list[bytes | None] = field(default_factory=list)  # None: the value itself is not kept

    def sealed(self) -> list[bytes]:
        """The boxes of a part that has no other values."""
        return [box for box in self.boxes if box is not None]

    def aads(self, tags: Sequence[bytes] | None = None) -> list[bytes]:
        """What the values are bound to: with the tags that they have, or with others."""
        return [head + tag for head, tag in zip(self.heads, self.tags if tags is None else tags, strict=True)]

    def pick(self, places: Sequence[int]) -> Part:
        """The values at some places."""
        return Part(
            self.table,
            [self.serials[place] for place in places],
            [self.idx[place] for place in places],
            [self.nonces[place] for place in places],
            [self.heads[place] for place in places],
            [self.tags[place] for place in places],
            [self.boxes[place] for place in places],
        )


@dataclass(frozen=True)
class Chunk:
    """The next rows of a domain: the cursor after them, how many they are, and their sealed values."""

    end: int
    rows: int
    parts: list[Part]


def read(context: Context, conn: Connection, domain: DomainRow, cursor: int, mark: int, size: int) -> Chunk:
    """Sealed values of the next `size` rows after `cursor`, none above `mark`.

    With the rows of an original that has several come all others of it: they are found by one tag, so they change it
    together.
    """
    query = (
        "SELECT serial, nonce, idx, tag, sealed FROM entry WHERE domain = ? AND serial > ? AND serial <= ?"
        " ORDER BY serial LIMIT ?"
    )
    found = conn.execute(query, (domain.id, cursor, mark, size)).fetchall()
    end, count = (found[-1][0] if len(found) == size else mark), len(found)
    if domain.policy.multi:
        there = {row[0] for row in found}
        tags = sorted({row[3] for row in found if row[3] is not None})
        found += [row for row in of_tags(context, conn, domain, tags) if row[0] not in there]
    originals = entries(domain, [row for row in found if row[4] is not None])
    strings = _strings(conn, domain, cursor, end) if domain.strings else Part(STRINGS)
    return Chunk(end, count, [part for part in (originals, strings) if part.serials])


Row = tuple[int, bytes, int, bytes, bytes | None]  # serial, nonce, idx, tag, sealed original


def of_tags(context: Context, conn: Connection, domain: DomainRow, tags: Sequence[bytes]) -> list[Row]:
    """Every row that bears one of these tags."""
    first = sorted(serial for serial, _ in context.tags.find(conn, domain.id, tags).rows.values()) if tags else []
    columns = "SELECT serial, nonce, idx, tag, sealed FROM entry"
    found: list[Row] = list(select_in(conn, columns + " WHERE domain = ? AND serial IN {values}", (domain.id,), first))
    further = " INDEXED BY entry_further WHERE domain = ? AND idx > 0 AND tag IN {values}"
    return found + list(select_in(conn, columns + further, (domain.id,), sorted(set(tags))))


def entries(domain: DomainRow, rows: Sequence[Row]) -> Part:
    """The originals of rows."""
    part, head = Part(ORIGINALS), layout.seal_head(domain)
    for serial, nonce, idx, tag, box in rows:
        ident = layout.row_id(serial, nonce)
        _add(part, serial, idx, ident + b"\1", head + ident + idx.to_bytes(4, "big"), tag, box)
    return part


def _strings(conn: Connection, domain: DomainRow, cursor: int, end: int) -> Part:
    query = (
        "SELECT s.serial, e.nonce, s.tag, s.sealed FROM stored_string s JOIN entry e"
        " ON e.domain = s.domain AND e.serial = s.serial"
        " WHERE s.domain = ? AND s.serial > ? AND s.serial <= ? AND s.sealed IS NOT NULL"
    )
    return strings(domain, conn.execute(query, (domain.id, cursor, end)).fetchall())


def strings_of_tags(conn: Connection, domain: DomainRow, tags: Sequence[bytes]) -> Part:
    """The stored strings that bear one of these tags, those of deleted rows too."""
    query = (
        "SELECT s.serial, e.nonce, s.tag, s.sealed FROM stored_string s JOIN entry e"
        " ON e.domain = s.domain AND e.serial = s.serial WHERE s.domain = ? AND s.tag IN {values}"
    )
    return strings(domain, list(select_in(conn, query, (domain.id,), sorted(set(tags)))))


def strings(domain: DomainRow, rows: Sequence[tuple[int, bytes, bytes, bytes | None]]) -> Part:
    """Stored strings of rows (serial, nonce, tag, sealed)."""
    part = Part(STRINGS)
    for serial, nonce, tag, box in rows:
        ident = layout.row_id(serial, nonce)
        _add(part, serial, 0, ident + b"\2", layout.string_aads(domain, [ident], [b""])[0], tag, box)
    return part


def _add(part: Part, serial: int, idx: int, nonce: bytes, head: bytes, tag: bytes, box: bytes | None) -> None:
    part.serials.append(serial)
    part.idx.append(idx)
    part.nonces.append(nonce)
    part.heads.append(head)
    part.tags.append(tag)
    part.boxes.append(box)
