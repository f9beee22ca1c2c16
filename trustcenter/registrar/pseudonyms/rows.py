"""Rows of domains that promise more than the ordinary one: several per original, expiry, no way back, stored strings.

The ordinary domain's create-or-get is `issue`; what a row is, byte by byte, is in docs/spec/pseudonym-rows.md.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.audit import Event, merkle_root
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.head import COUNTER_BITS
from trustcenter.registrar.policy import DRAWN
from trustcenter.store import Connection, select_in

from . import counting, drawn, layout, sealing

LIVE: Final = 0
DELETED: Final = 1
EXPIRED: Final = 2
MAX_INDEX: Final = 2**31


@dataclass(frozen=True)
class Row:
    """A row of an original."""

    idx: int
    serial: int
    nonce: bytes
    expires: int | None

    def expired(self, now: datetime) -> bool:
        """Whether its time has come."""
        return self.expires is not None and self.expires <= now.timestamp()


@dataclass(frozen=True)
class New:
    """A row to be made. `text`: the pseudonym that exists already; None: one is made."""

    tag: bytes
    value: bytes
    idx: int
    text: str | None = None


def known(
    context: Context, conn: Connection, domain: int, tags: Sequence[bytes], under: Sequence[bytes] = ()
) -> dict[bytes, list[Row]]:
    """The rows of each original that has any, by index; expired ones too. `under`: see `tagging.older`."""
    found: dict[bytes, list[Row]] = {}
    first = {serial: tag for tag, (serial, _) in context.tags.find(conn, domain, tags, under).rows.items()}
    query = "SELECT serial, nonce, expires FROM entry WHERE domain = ? AND serial IN {values}"
    for serial, nonce, expires in select_in(conn, query, (domain,), sorted(first)):
        found[first[serial]] = [Row(0, serial, nonce, expires)]
    query = (
        "SELECT tag, idx, serial, nonce, expires FROM entry INDEXED BY entry_further"
        " WHERE domain = ? AND idx > 0 AND tag IN {values} ORDER BY tag, idx"
    )
    for tag, *row in select_in(conn, query, (domain,), sorted(set(tags))):
        found.setdefault(tag, []).append(Row(*row))
    return found


def insert(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    version: int,
    new: Sequence[New],
    who: str,
    request: str,
) -> list[tuple[int, bytes]]:
    """Insert rows with the audit entry of their issue; returns (serial, nonce) in the order of `new`.

    Raises:
        LimitError: no serials are left, or the format has too few free strings.
    """
    count = len(new)
    if not count:
        return []
    # In the order of tags: neighbours in the index share pages, and serials say nothing of the file's order.
    order = sorted(range(count), key=lambda i: (new[i].tag, new[i].idx))
    items = [new[i] for i in order]
    counting.count_new(context, conn, domain, count)
    first = counting.take_serials(context, conn, domain, count)
    noise = os.urandom(21 * count)  # inside the transaction, from the kernel: never from a pool
    nonces = [noise[5 * i : 5 * i + 5] for i in range(count)]
    salts = [noise[5 * count + 16 * i : 5 * count + 16 * i + 16] for i in range(count)]
    rows = [(first + i, nonces[i]) for i in range(count)]
    ids = [layout.row_id(*row) for row in rows]
    expires = _expires(context, domain)
    conn.executemany(
        "INSERT INTO entry (domain, serial, nonce, salt, idx, tag, sealed, status, expires) VALUES (?,?,?,?,?,?,?,0,?)",
        zip(
            repeat(domain.id),
            (row[0] for row in rows),
            nonces,
            salts,
            (item.idx for item in items),
            (item.tag for item in items),
            _seal(context, conn, domain, items, ids),
            repeat(expires),
        ),
    )
    new_tags = {item.tag: row[0] for item, row in zip(items, rows, strict=True) if item.idx == 0}
    context.tags.add(conn, domain.id, new_tags)
    if domain.policy.suite == DRAWN:
        strings = drawn.store(context, conn, domain, rows, [item.text for item in items])
    else:
        strings = layout.format_rows(context, domain, version, *columns(rows))
        imported = [(row, item.text) for row, item in zip(rows, items, strict=True) if item.text is not None]
        drawn.store(context, conn, domain, [row for row, _ in imported], [text for _, text in imported])
    prefix = b"issue\0" + bytes.fromhex(domain.uuid) + bytes([version])
    leaves = [
        hmac.digest(salt, prefix + ident + string.encode(), "sha256")
        for salt, ident, string in zip(salts, ids, strings, strict=True)
    ]
    context.audit(
        conn,
        Event.PSEUDONYM_ISSUE,
        who,
        request,
        domain=domain.name,
        suite=domain.policy.suite,
        key_version=version,
        epoch=context.head.epoch,
        first=first & (2**COUNTER_BITS - 1),
        count=count,
        root=merkle_root(leaves).hex(),
    )
    answer: list[tuple[int, bytes]] = [rows[0]] * count
    for place, row in zip(order, rows, strict=True):
        answer[place] = row
    return answer


def _expires(context: Context, domain: DomainRow) -> int | None:
    days = domain.policy.expiry_days
    return None if days is None else int((context.clock() + timedelta(days=days)).timestamp())


def _seal(
    context: Context, conn: Connection, domain: DomainRow, items: Sequence[New], ids: Sequence[bytes]
) -> Sequence[bytes | None]:
    if not domain.policy.reversible:
        return [None] * len(items)
    head = layout.seal_head(domain)
    aads = [head + ident + item.idx.to_bytes(4, "big") + item.tag for ident, item in zip(ids, items, strict=True)]
    return context.keys.seal(
        domain.uuid,
        sealing.version(context, conn, domain),
        [ident + b"\1" for ident in ids],
        [item.value for item in items],
        aads,
    )


def columns(rows: Sequence[tuple[int, bytes]]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Serials and nonces of rows, as the suite takes them."""
    serials = np.fromiter((row[0] for row in rows), dtype=np.uint64, count=len(rows))
    nonces = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.uint8).reshape(len(rows), 5)
    return serials, nonces


@dataclass(frozen=True)
class Fetched:
    """Live rows with all that their pseudonyms are made of, so that making them needs no database."""

    rows: Sequence[tuple[int, bytes]]
    stored: Sequence[tuple[bytes, bytes]]  # (tag, sealed string) each, suite "drawn" only


def fetch(conn: Connection, domain: DomainRow, rows: Sequence[tuple[int, bytes]]) -> Fetched:
    """Rows with their stored strings, if the domain's pseudonyms are stored."""
    stored = drawn.sealed(conn, domain, [row[0] for row in rows]) if domain.policy.suite == DRAWN else ()
    return Fetched(rows, stored)


def render(context: Context, domain: DomainRow, version: int, fetched: Fetched) -> list[str]:
    """The pseudonyms of rows, in order."""
    if domain.policy.suite == DRAWN:
        return drawn.unseal(context, domain, fetched.rows, fetched.stored)
    return layout.format_rows(context, domain, version, *columns(fetched.rows))
