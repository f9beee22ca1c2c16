"""Issue: create-or-get of pseudonyms in batches, under suite "computed" (docs/spec/pseudonym-computed.md).

One batch is one transaction: look-up of known originals, counter range, nonces, sealed originals, rows and the
audit entry commit together. A string leaves this module only after that commit.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from keys import computed
from keys.ids import Purpose
from keys.states import KeyState
from trustcenter.audit import Event, merkle_root
from trustcenter.auth import Principal, quotas
from trustcenter.errors import LimitError
from trustcenter.messages import api
from trustcenter.store import Connection

from . import domains, policy
from .context import Context
from .domains import DomainRow
from .head import COUNTER_BITS

LOOKUP_VERSION = 1
DATA_VERSION = 1
_INDEX_0 = bytes(4)  # index of the row among several pseudonyms of one original


@dataclass(frozen=True)
class Issued:
    """Rows behind a batch, in its order: serial, nonce, and how many rows were new."""

    serials: NDArray[np.uint64]
    nonces: NDArray[np.uint8]  # (n, 5)
    created: int
    version: int


def check_originals(originals: Sequence[str], limit_chars: int) -> tuple[list[int], list[api.ItemError]]:
    """Positions that can be served, and an error for each that cannot."""
    good, errors = [], []
    for index, original in enumerate(originals):
        if 0 < len(original) <= limit_chars and original.isprintable():
            good.append(index)
        else:
            errors.append(
                api.ItemError(
                    index=index,
                    code="invalid_original",
                    hint=f"an original has 1 to {limit_chars} characters and no control characters",
                )
            )
    return good, errors


async def issue(
    context: Context, caller: Principal, request: str, domain: DomainRow, originals: Sequence[str]
) -> api.PseudonymAnswer:
    """Pseudonyms of `originals` in an ordinary domain of the caller, created where they do not exist.

    `operations.pseudonymize` is in front of it: it has found the domain and counted the batch.

    Raises:
        ConflictError: the domain is closed, or has no active key.
    """
    good, errors = check_originals(originals, context.limits.original_chars)
    values = [originals[index].encode() for index in good]
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, LOOKUP_VERSION, values)

    def effect(conn: Connection) -> Issued:
        policy.require_open(conn, domain.id)
        return create_or_get(context, conn, domain, values, tags, caller.name, request)

    issued = await context.db.write(effect)
    strings = await asyncio.to_thread(format_rows, context, domain, issued.version, issued.serials, issued.nonces)
    answer: list[str | None] = [None] * len(originals)
    for index, string in zip(good, strings, strict=True):
        answer[index] = string
    return api.PseudonymAnswer(pseudonyms=answer, errors=errors, key_version=issued.version, created=issued.created)


def format_rows(
    context: Context, domain: DomainRow, version: int, serials: NDArray[np.uint64], nonces: NDArray[np.uint8]
) -> list[str]:
    """The pseudonyms of rows under a key version: a pure function of the rows and the two keys."""
    if len(serials) == 0:
        return []
    blocks = computed.inner_blocks(domain.h, domain.uuid, version, serials, nonces)
    return computed.format_blocks(context.keys.encipher(domain.uuid, version, blocks))


def create_or_get(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    values: Sequence[bytes],
    tags: Sequence[bytes],
    who: str,
    request: str,
) -> Issued:
    """The rows of a batch, inserting those that are missing, with the audit entry. Runs on the writer thread."""
    version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM)
    assert version.state is KeyState.ACTIVE
    found = context.tags.find(conn, domain.id, tags)
    known = found.rows
    fresh: dict[bytes, bytes] = {}
    for tag, value in zip(tags, values, strict=True):
        if tag not in known:
            fresh.setdefault(tag, value)
    if fresh:
        # In the order of tags: neighbours in the index share pages, and serials say nothing of the file's order.
        fresh = dict(sorted(fresh.items()))
        count_new(context, conn, domain, len(fresh))
        made = _insert(context, conn, domain, version.version, fresh, who, request)
        context.tags.add(conn, domain.id, {tag: row[0] for tag, row in made.items()}, found.taken)
        known.update(made)
    serials = np.fromiter((known[tag][0] for tag in tags), dtype=np.uint64, count=len(tags))
    nonces = np.frombuffer(b"".join(known[tag][1] for tag in tags), dtype=np.uint8).reshape(len(tags), 5)
    return Issued(serials, nonces, len(fresh), version.version)


def count_new(context: Context, conn: Connection, domain: DomainRow, count: int) -> None:
    """Count new rows of a site's domain against its quota of the day, in the transaction that makes them.

    Raises:
        QuotaExceededError: they do not fit; the whole batch is refused.
    """
    if domain.site is not None:
        kind = quotas.Kind.PSEUDONYMS if domain.kind == "site" else quotas.Kind.RECORDS
        quotas.take(conn, context.limits, context.clock(), domain.site, kind, count)


def take_serials(context: Context, conn: Connection, domain: DomainRow, count: int) -> int:
    """Reserve `count` consecutive serials inside the caller's transaction; returns the first.

    Raises:
        LimitError: the counter of 36 bits is used up.
    """
    epoch = context.head.epoch
    row = conn.execute("SELECT next FROM counter WHERE domain = ? AND epoch = ?", (domain.id, epoch)).fetchone()
    first = row[0] if row else 1
    end = first + count
    if end >= 2**COUNTER_BITS:
        raise LimitError("this domain has issued as many pseudonyms as it can", code="counter_exhausted")
    context.head.reserve(domain.uuid, end, lambda: context.db.read_sync(context.log.head))
    conn.execute(
        "INSERT INTO counter VALUES (?,?,?) ON CONFLICT (domain, epoch) DO UPDATE SET next = excluded.next",
        (domain.id, epoch, end),
    )
    return (epoch << COUNTER_BITS) | first


def _insert(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    version: int,
    fresh: dict[bytes, bytes],
    who: str,
    request: str,
) -> dict[bytes, tuple[int, bytes]]:
    count = len(fresh)
    first = take_serials(context, conn, domain, count)
    noise = os.urandom(21 * count)  # inside the transaction, from the kernel: never from a pool (rule 7)
    nonces = [noise[5 * i : 5 * i + 5] for i in range(count)]
    salts = [noise[5 * count + 16 * i : 5 * count + 16 * i + 16] for i in range(count)]
    serials = np.arange(first, first + count, dtype=np.uint64)
    strings = format_rows(
        context, domain, version, serials, np.frombuffer(b"".join(nonces), dtype=np.uint8).reshape(count, 5)
    )
    rows = [row_id(first + i, nonces[i]) for i in range(count)]
    head = seal_head(domain)
    aads = [head + row + _INDEX_0 + tag for row, tag in zip(rows, fresh, strict=True)]
    sealed = context.keys.seal(domain.uuid, DATA_VERSION, [row + b"\1" for row in rows], list(fresh.values()), aads)
    conn.executemany(
        "INSERT INTO entry (domain, serial, nonce, salt, idx, tag, sealed, status) VALUES (?,?,?,?,0,?,?,0)",
        zip(repeat(domain.id), range(first, first + count), nonces, salts, fresh, sealed),
    )
    prefix = b"issue\0" + bytes.fromhex(domain.uuid) + bytes([version])
    leaves = [
        hmac.digest(salt, prefix + row + string.encode(), "sha256")
        for salt, row, string in zip(salts, rows, strings, strict=True)
    ]
    context.audit(
        conn,
        Event.PSEUDONYM_ISSUE,
        who,
        request,
        domain=domain.name,
        suite=domains.SUITE,
        key_version=version,
        epoch=context.head.epoch,
        first=first & (2**COUNTER_BITS - 1),
        count=count,
        root=merkle_root(leaves).hex(),
    )
    return {tag: (first + i, nonces[i]) for i, tag in enumerate(fresh)}


def row_id(serial: int, nonce: bytes) -> bytes:
    """Serial and nonce of a row, 11 bytes: unique for ever, so it also serves as the nonce of the seal."""
    return serial.to_bytes(6, "big") + nonce


def seal_head(domain: DomainRow) -> bytes:
    """Start of the associated data of sealed originals: they open only in the row they were written for."""
    return b"trustcenter/original/1\0" + bytes.fromhex(domain.uuid)


def unseal_rows(context: Context, domain: DomainRow, rows: Sequence[tuple[int, bytes, bytes, bytes]]) -> list[bytes]:
    """Originals of rows (serial, nonce, tag, sealed) of one domain.

    Raises:
        SealError: a row was changed outside the service.
    """
    head = seal_head(domain)
    ids = [row_id(serial, nonce) for serial, nonce, _, _ in rows]
    aads = [head + ident + _INDEX_0 + row[2] for ident, row in zip(ids, rows, strict=True)]
    return context.keys.unseal(
        domain.uuid, DATA_VERSION, [ident + b"\1" for ident in ids], [row[3] for row in rows], aads
    )
