"""Issue: create-or-get of pseudonyms in batches, under suite "computed" (docs/spec/pseudonym-computed.md).

One batch is one transaction: look-up of known originals, counter range, nonces, sealed originals, rows and the
audit entry commit together. A string leaves this module only after that commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keys.ids import Purpose
from keys.states import KeyState
from trustcenter.auth import Principal, quotas
from trustcenter.errors import QuotaExceededError
from trustcenter.messages import api
from trustcenter.registrar import policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import counting, layout, newrows, tagging

PART: Final = 10_000  # originals in one transaction
BESIDE_SMALL: Final = 2_000  # the same while small requests arrive


@dataclass(frozen=True)
class Issued:
    """Rows behind a batch, in its order: serial, nonce, and how many rows were new."""

    serials: NDArray[np.uint64]
    nonces: NDArray[np.uint8]  # (n, 5)
    created: int
    version: int
    strings: list[str] | None = None  # the pseudonyms, where the log needed them


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
    good, errors, values, tags = await asyncio.to_thread(_prepare, context, domain, originals)

    def effect(part: slice, conn: Connection) -> Issued:
        policy.require_open(conn, domain.id)
        return create_or_get(context, conn, domain, values[part], tags[part], caller.name, request)

    size = await _transaction(context, domain, len(tags))
    made: list[Issued] = []
    for start in range(0, len(tags) or 1, size):
        try:
            made.append(await context.db.write(partial(effect, slice(start, start + size))))
        except QuotaExceededError as error:
            if not made:
                raise
            raise QuotaExceededError(
                "the day's quota was used up meanwhile; the first part of this request was done",
                retry_after=error.retry_after,
                hint="what was done is known when the request is sent again",
            ) from None
    issued = _joined(made)
    strings = await strings_of(context, domain, issued)
    answer: list[str | None] = [None] * len(originals)
    for index, string in zip(good, strings, strict=True):
        answer[index] = string
    return api.PseudonymAnswer(pseudonyms=answer, errors=errors, key_version=issued.version, created=issued.created)


def _columns(
    rows: Mapping[bytes, tuple[int, bytes]], tags: Sequence[bytes]
) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Serials (n,) and nonces (n, 5) of the rows of tags, in their order."""
    serials = np.fromiter((rows[tag][0] for tag in tags), dtype=np.uint64, count=len(tags))
    return serials, np.frombuffer(b"".join(rows[tag][1] for tag in tags), dtype=np.uint8).reshape(len(tags), 5)


def _prepare(
    context: Context, domain: DomainRow, originals: Sequence[str]
) -> tuple[list[int], list[api.ItemError], list[bytes], list[bytes]]:
    good, errors = check_originals(originals, context.limits.original_chars)
    values = [originals[index].encode() for index in good]
    return good, errors, values, tagging.tags(context, domain, values)


async def _transaction(context: Context, domain: DomainRow, count: int) -> int:
    """How many originals of a request share a transaction.

    A large request is committed in parts, so that small ones get their turn in between. What was committed before a
    failure is known when the request is repeated. Only if the day's quota may not suffice for all of it, it is one
    transaction, because then nothing of it may be done.
    """
    size = BESIDE_SMALL if context.singles is not None and context.singles.busy() else PART
    if count <= size:
        return size
    site, limits, now = domain.site, context.limits, context.clock()
    if site is None:
        return size
    left = await context.db.read(lambda conn: quotas.left(conn, limits, now, site, quotas.Kind.PSEUDONYMS))
    return size if count <= left else count


def _joined(parts: Sequence[Issued]) -> Issued:
    """The parts of a request as one. If its key was rotated meanwhile, all strings are made under the last version."""
    if len(parts) == 1:
        return parts[0]
    version = parts[-1].version
    strings: list[str] | None = []
    for part in parts:
        strings = None if strings is None or part.strings is None or part.version != version else strings + part.strings
    return Issued(
        np.concatenate([part.serials for part in parts]),
        np.concatenate([part.nonces for part in parts]),
        sum(part.created for part in parts),
        version,
        strings,
    )


async def strings_of(context: Context, domain: DomainRow, issued: Issued) -> list[str]:
    """The pseudonyms of a committed batch."""
    if issued.strings is not None:
        return issued.strings
    return await asyncio.to_thread(layout.format_rows, context, domain, issued.version, issued.serials, issued.nonces)


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
    tags = tagging.settle(context, conn, domain, values, tags)
    found = context.tags.find(conn, domain.id, tags)
    known = found.rows
    fresh = dict(zip(tags, values, strict=True))
    for tag in known:
        del fresh[tag]
    if fresh:
        counting.count_new(context, conn, domain, len(fresh))
        made = newrows.make(context, conn, domain, version.version, [newrows.Lot(fresh, who, request)])
        context.tags.add(conn, domain.id, dict(zip(made.tags, made.serials.tolist(), strict=True)), found.taken)
        if len(fresh) == len(tags):  # all new, none twice: put back into the order of the request
            back = np.empty_like(made.order)
            back[made.order] = np.arange(len(tags))
            strings = [made.strings[place] for place in back.tolist()]
            return Issued(made.serials[back], made.nonces[back], len(tags), version.version, strings)
        known.update(made.by_tag())
    return Issued(*_columns(known, tags), len(fresh), version.version)
