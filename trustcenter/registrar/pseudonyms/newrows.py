"""Making the rows of an ordinary domain, many at once: nonces, seals, commitments, the insert and its audit entry.

This is the inner loop of the service, so it works on columns: what can be laid out for all rows together is, and the
database gets each column as one value that it cuts up itself. What is stored, byte by byte, is in
docs/spec/pseudonym-rows.md; `rows.insert` does the same for domains that promise more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.audit import Event, merkle_root
from trustcenter.registrar import policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.head import COUNTER_BITS
from trustcenter.store import Column, Connection, beside, insert

from . import counting, layout, sealing
from .commitments import cut, leaves

_MANY: Final = 1_000  # rows; fewer are inserted before a thread has begun


@dataclass(frozen=True)
class Lot:
    """New originals of one request, by tag: they get consecutive serials and an entry of their own in the log."""

    fresh: Mapping[bytes, bytes]
    who: str
    request: str


@dataclass(frozen=True)
class Made:
    """New rows, by serial; `order` says which of the given originals each is of."""

    order: NDArray[np.intp]
    serials: NDArray[np.uint64]
    nonces: NDArray[np.uint8]  # (n, 5)
    tags: list[bytes]
    strings: list[str]

    def by_tag(self) -> dict[bytes, tuple[int, bytes]]:
        """Serial and nonce of each row."""
        return dict(zip(self.tags, zip(self.serials.tolist(), cut(self.nonces), strict=True), strict=True))


def make(context: Context, conn: Connection, domain: DomainRow, version: int, lots: Sequence[Lot]) -> Made:
    """Insert a row for each original and append the audit entries, in the caller's transaction.

    Args:
        context: the registrar.
        conn: of the writing transaction.
        domain: an ordinary one.
        version: the active version of its pseudonym key.
        lots: at least one original each, none known, none in two lots.

    Raises:
        LimitError: no serials are left.
    """
    count = sum(len(lot.fresh) for lot in lots)
    first = counting.take_serials(context, conn, domain, count)
    tags, values, order = _ordered(lots)
    # Inside the transaction, from the kernel: never from a pool (rule 7).
    noise = np.frombuffer(os.urandom(21 * count), np.uint8)
    nonces = noise[: 5 * count].reshape(count, 5)
    salts = noise[5 * count :].reshape(count, 16)
    serials = np.arange(first, first + count, dtype=np.uint64)
    ids = layout.row_ids(serials, nonces)
    tag_rows = np.frombuffer(b"".join(tags), np.uint8).reshape(count, 16)
    sealed = context.keys.seal(
        domain.uuid,
        sealing.version(context, conn, domain),
        cut(_columns(ids, b"\1")),
        values,
        cut(_columns(layout.seal_head(domain), ids, bytes(4), tag_rows)),
    )
    # The database works on the rows while the strings and their commitments are made.
    with beside(lambda: _insert(conn, domain.id, first, nonces, salts, tag_rows, sealed), count >= _MANY):
        strings = layout.format_rows(context, domain, version, serials, nonces)
        commitments = commit(domain, version, ids, salts, strings)
    entries, start = [], 0
    for lot in lots:
        end = start + len(lot.fresh)
        entry: dict[str, Any] = {
            "who": lot.who,
            "request": lot.request,
            "domain": domain.name,
            "suite": policy.COMPUTED,
            "key_version": version,
            "epoch": context.head.epoch,
            "first": (first + start) & (2**COUNTER_BITS - 1),
            "count": end - start,
            "root": merkle_root(commitments[start:end]).hex(),
        }
        entries.append((Event.PSEUDONYM_ISSUE, entry))
        start = end
    context.log.append_many(conn, entries)
    return Made(order, serials, nonces, tags, strings)


def commit(
    domain: DomainRow, version: int, ids: NDArray[np.uint8], salts: NDArray[np.uint8], strings: Sequence[str]
) -> list[bytes]:
    """The commitments of rows with pseudonyms of equal length, for the log."""
    text = np.frombuffer("".join(strings).encode(), np.uint8).reshape(len(strings), -1)
    return leaves(salts, _columns(b"issue\0" + bytes.fromhex(domain.uuid) + bytes([version]), ids, text))


def _ordered(lots: Sequence[Lot]) -> tuple[list[bytes], list[bytes], NDArray[np.intp]]:
    """Tags and originals in the order of their serials: lot by lot, in each by length, then by tag.

    Seals of one length then stand together, and serials say nothing of the order of a file; lengths can be seen in
    the rows anyway.
    """
    tags = [tag for lot in lots for tag in lot.fresh]
    values = [value for lot in lots for value in lot.fresh.values()]
    if len(tags) == len(lots):
        return tags, values, np.arange(len(tags))
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    heads = np.frombuffer(b"".join(tags), ">u8")[::2]
    lot_of = np.repeat(np.arange(len(lots)), [len(lot.fresh) for lot in lots])
    order = np.lexsort((heads, lengths, lot_of))
    places = order.tolist()
    return [tags[i] for i in places], [values[i] for i in places], order


def _columns(*parts: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Columns side by side; constants are repeated."""
    count = next(len(part) for part in parts if not isinstance(part, bytes))
    widths = [len(part) if isinstance(part, bytes) else part.shape[1] for part in parts]
    matrix = np.empty((count, sum(widths)), np.uint8)
    at = 0
    for part, width in zip(parts, widths, strict=True):
        matrix[:, at : at + width] = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
        at += width
    return matrix


def _insert(
    conn: Connection,
    domain: int,
    first: int,
    nonces: NDArray[np.uint8],
    salts: NDArray[np.uint8],
    tags: NDArray[np.uint8],
    sealed: Sequence[bytes],
) -> None:
    """Insert rows, those whose seals have one length together."""
    start = 0
    for width, group in groupby(map(len, sealed)):
        end = start + sum(1 for _ in group)
        part = slice(start, end)
        seals = np.frombuffer(b"".join(sealed[part]), np.uint8).reshape(end - start, width)
        columns: dict[str, Column] = {
            "domain": domain,
            "serial": range(first + start, first + end),
            "nonce": nonces[part],
            "salt": salts[part],
            "idx": 0,
            "tag": tags[part],
            "sealed": seals,
            "status": 0,
        }
        insert(conn, "entry", columns, end - start)
        start = end
