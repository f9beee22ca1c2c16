"""Resolving pseudonyms of any live key version, and translating them to the current one.

Neither returns an original: re-identification needs two people and is another operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from keys import computed
from keys.ids import Purpose
from keys.states import KeyState, Operation, may
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.store import Connection, select_in

from . import batches, domains, issue, lookup, policy, rows
from .context import Context
from .domains import DomainRow
from .keyring import Version

_CHUNK = 20_000  # rows per step of a streamed map: about 2 MB


async def translate(
    context: Context, caller: Principal, request: str, domain_name: str, pseudonyms: Sequence[str]
) -> api.TranslateAnswer:
    """The current pseudonym for each old or current one of a domain of the caller.

    Forged, deleted and foreign pseudonyms have one answer, `unknown_pseudonym`; a mistyped one may say that its
    check characters are wrong, since that needs no look-up.

    Raises:
        NotFoundError: no such domain, or not the caller's.
        LimitError: too many items.
    """
    domain = await batches.own_domain(context, caller, domain_name, len(pseudonyms), studies=True)
    question = await asyncio.to_thread(lookup.read, context, domain, pseudonyms)

    def effect(conn: Connection) -> tuple[int, list[tuple[int, bytes] | None], rows.Fetched]:
        now = context.clock()
        policy.require_keys(conn, domain.id, now)
        active = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM)
        found = lookup.rows(context, conn, domain, question, now)
        context.audit(
            conn,
            Event.PSEUDONYM_TRANSLATE,
            caller.name,
            request,
            domain=domain.name,
            key_version=active.version,
            count=len(pseudonyms),
            unresolved=sum(row is None for row in found),
        )
        return active.version, found, rows.fetch(conn, domain, [row for row in found if row is not None])

    version, found, fetched = await context.db.write(effect)
    strings = iter(await asyncio.to_thread(rows.render, context, domain, version, fetched))
    answer = [next(strings) if row is not None else None for row in found]
    errors = [
        batches.wrong_check(index) if question.status[index] == 2 else batches.unknown_pseudonym(index)
        for index, row in enumerate(found)
        if row is None
    ]
    return api.TranslateAnswer(pseudonyms=answer, errors=errors, key_version=version)


def resolve(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    blocks: NDArray[np.uint8],
    status: NDArray[np.int8],
) -> list[tuple[int, bytes] | None]:
    """Rows (serial, nonce) behind well-formed blocks; None where there is no live row.

    Every key version that may resolve is tried, without early exit, and a block that two versions claim is
    treated as unknown: it cannot be one of ours.
    """
    count = len(status)
    hits = np.zeros(count, dtype=np.int64)
    serials = np.zeros(count, dtype=np.uint64)
    nonces = np.zeros((count, 5), dtype=np.uint8)
    for version in context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM):
        if not may(version.state, Operation.TRANSLATE_FROM):
            continue
        inner = context.keys.decipher(domain.uuid, version.version, blocks)
        opened = computed.open_inner(domain.h, domain.uuid, version.version, inner)
        ok = opened.ok & (status == 0)
        if version.high_water is not None:
            ok &= opened.serial <= np.uint64(version.high_water)
        hits += ok
        serials[ok] = opened.serial[ok]
        nonces[ok] = opened.nonce[ok]
    candidates = np.flatnonzero(hits == 1)
    live = _live_nonces(conn, domain.id, [int(serials[i]) for i in candidates], context.clock())
    found: list[tuple[int, bytes] | None] = [None] * count
    for i in candidates:
        serial, nonce = int(serials[i]), nonces[i].tobytes()
        if live.get(serial) == nonce:
            found[i] = (serial, nonce)
    return found


def _live_nonces(conn: Connection, domain: int, serials: Sequence[int], now: datetime) -> dict[int, bytes]:
    query = (
        "SELECT serial, nonce FROM entry WHERE domain = ? AND status = 0 AND serial IN {values}"
        " AND (expires IS NULL OR expires > ?)"
    )
    return dict(select_in(conn, query, (domain,), sorted(set(serials)), (int(now.timestamp()),)))


async def translation_map(
    context: Context, caller: Principal, request: str, domain_name: str, from_version: int
) -> AsyncIterator[list[tuple[str, str]]]:
    """Every pair (old, current) of a rotated domain, in serial order, in chunks; the same bytes every time.

    The map is a pure function of the rows live at the old version's high-water mark and the two keys: nothing
    is stored for it, and memory is bounded by the chunk.

    Raises:
        NotFoundError: no such domain or version, or not the caller's.
    """

    def begin(conn: Connection) -> tuple[DomainRow, Version, Version]:
        domain = domains.find(conn, domain_name, caller)
        policy.require_keys(conn, domain.id, context.clock())
        versions = context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM)
        old = next((v for v in versions if v.version == from_version), None)
        if old is None or old.high_water is None or not may(old.state, Operation.TRANSLATE_FROM):
            raise NotFoundError(
                "there is nothing to translate from this key version",
                code="unknown_key_version",
                hint="trustcenter keys list shows the versions; the current one needs no translation",
            )
        active = next(v for v in versions if v.state is KeyState.ACTIVE)
        context.audit(
            conn,
            Event.PSEUDONYM_MAP,
            caller.name,
            request,
            domain=domain.name,
            from_version=old.version,
            to_version=active.version,
        )
        return domain, old, active

    domain, old, active = await context.db.write(begin)

    now = context.clock()

    def live(conn: Connection) -> Iterator[tuple[int, bytes]]:
        yield from conn.execute(
            "SELECT serial, nonce FROM entry WHERE domain = ? AND status = 0 AND serial <= ?"
            " AND (expires IS NULL OR expires > ?) ORDER BY serial",
            (domain.id, old.high_water, int(now.timestamp())),
        )

    def render(part: list[tuple[int, bytes]]) -> list[tuple[str, str]]:
        serials, nonces = rows.columns(part)
        before = issue.format_rows(context, domain, old.version, serials, nonces)
        after = issue.format_rows(context, domain, active.version, serials, nonces)
        return list(zip(before, after, strict=True))

    async for part in context.db.stream(live, batch=_CHUNK):
        yield await asyncio.to_thread(render, part)
