"""Repeating a request that is not repeatable by itself: rule 11 of the suite.

What was issued is remembered as serials and key version, with keyed MACs of the caller's key and body: no
original, and nothing that could be compared with one. A repetition is answered from the rows, under the version
of the first answer, even after a rotation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, UsageError
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection, select_in

_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True)
class Marks:
    """Keyed MACs of the caller's key and of the body."""

    key: bytes
    body: bytes


@dataclass(frozen=True)
class Record:
    """What was answered."""

    version: int
    serials: list[int]


def marks(context: Context, domain: DomainRow, key: str, body: bytes) -> list[Marks]:
    """MACs under the instance's state key: under every version of it that is there, newest first.

    Raises:
        UsageError: there is no usable key.
    """
    if not _KEY.fullmatch(key):
        raise UsageError(
            "this request needs an idempotency key, or a repetition would make more pseudonyms",
            code="idempotency_key_needed",
            hint="send Idempotency-Key: 1 to 200 visible ASCII characters, another one for each new request",
            where="Idempotency-Key",
        )
    head = b"trustcenter/idempotency/1\0" + bytes.fromhex(domain.uuid)

    keys, bodies = context.ring.macs(head + b"key\0" + key.encode()), context.ring.macs(head + b"body\0" + body)
    return [Marks(*pair) for pair in zip(keys, bodies, strict=True)]


def find(conn: Connection, domain: DomainRow, wanted: Sequence[Marks]) -> Record | None:
    """The record of an earlier request with this key, made before or after a rotation of the state key.

    Raises:
        ConflictError: that request had another body.
    """
    query = "SELECT body, version, serials FROM idempotency WHERE domain = ? AND key = ?"
    for one in wanted:
        row = conn.execute(query, (domain.id, one.key)).fetchone()
        if row is not None:
            return _record(row, one)
    return None


def _record(row: tuple[bytes, int, bytes], wanted: Marks) -> Record:
    body, version, packed = row
    if body != wanted.body:
        raise ConflictError(
            "this idempotency key was used for another request",
            code="idempotency_key_reused",
            hint="take a new key for each new request",
            where="Idempotency-Key",
        )
    return Record(version, [int.from_bytes(packed[at : at + 6], "big") for at in range(0, len(packed), 6)])


def record(
    context: Context, conn: Connection, domain: DomainRow, made: Marks, version: int, serials: Sequence[int]
) -> None:
    """Remember what was issued, in the transaction that issued it."""
    packed = b"".join(serial.to_bytes(6, "big") for serial in serials)
    conn.execute(
        "INSERT INTO idempotency (domain, key, body, version, serials, created) VALUES (?,?,?,?,?,?)",
        (domain.id, made.key, made.body, version, packed, stamp(context.clock())),
    )


def live(conn: Connection, domain: DomainRow, serials: Sequence[int], now: datetime) -> list[tuple[int, bytes] | None]:
    """The rows (serial, nonce) that still live, in order; None for the others."""
    query = (
        "SELECT serial, nonce FROM entry WHERE domain = ? AND serial IN {values} AND status = 0"
        " AND (expires IS NULL OR expires > ?)"
    )
    found: dict[int, bytes] = dict(select_in(conn, query, (domain.id,), sorted(set(serials)), (int(now.timestamp()),)))
    return [(serial, found[serial]) if serial in found else None for serial in serials]
