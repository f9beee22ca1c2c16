"""Resolving pseudonyms of any live key version, and translating them to the current one.

Neither returns an original: re-identification needs two people and is another operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from keys import states
from keys.ids import Purpose
from keys.states import may
from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.registrar import domains, policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.rotating import rotation_map, rotation_record
from trustcenter.registrar.rotating.keyring import Version
from trustcenter.store import Connection

from . import batches, lookup, rows
from .resolving import Found

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
    domain = await batches.own_domain(context, caller, domain_name, len(pseudonyms), Operation.TRANSLATE, studies=True)
    question = await asyncio.to_thread(lookup.read, context, domain, pseudonyms)

    def effect(conn: Connection) -> tuple[int, Found, rows.Fetched]:
        found = lookup.asked(context, conn, domain, question, caller.name, request)
        active = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM)
        context.audit(
            conn,
            Event.PSEUDONYM_TRANSLATE,
            caller.name,
            request,
            domain=domain.name,
            key_version=active.version,
            count=len(pseudonyms),
            unresolved=found.rows.count(None),
        )
        return active.version, found, rows.fetch(conn, domain, [row for row in found.rows if row is not None])

    version, found, fetched = await context.db.write(effect)
    strings = iter(await asyncio.to_thread(rows.render, context, domain, version, fetched))
    answer = [next(strings) if row is not None else None for row in found.rows]
    errors = [batches.unresolved(index, question, found) for index, row in enumerate(found.rows) if row is None]
    return api.TranslateAnswer(pseudonyms=answer, errors=errors, key_version=version)


async def translation_map(
    context: Context, caller: Principal, request: str, domain_name: str, from_version: int, after: int = 0
) -> AsyncIterator[list[tuple[str, str]]]:
    """Every pair (old, current) of a rotated domain, in serial order, in chunks; the same bytes every time.

    The map is a pure function of the rows live at the old version's high-water mark and the two keys: nothing
    is stored for it, and memory is bounded by the chunk. Whoever lost the connection goes on after the pairs that it
    has; they are made once more, and left out, so that the whole map counts as delivered in the end.

    Args:
        context: the registrar.
        caller: the owner.
        request: id of the request.
        domain_name: of the domain.
        from_version: the old version.
        after: pairs that are left out at the beginning.

    Raises:
        NotFoundError: no such domain or version, or not the caller's.
    """

    def begin(conn: Connection) -> tuple[DomainRow, Version, Version]:
        domain = domains.find(conn, domain_name, caller, Operation.TRANSLATE)
        policy.require_keys(conn, domain.id, context.clock())
        versions = context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM)
        old = next((v for v in versions if v.version == from_version), None)
        if old is None or old.high_water is None or not may(old.state, states.Operation.TRANSLATE_FROM):
            raise NotFoundError(
                "there is nothing to translate from this key version",
                code="unknown_key_version",
                hint="trustcenter keys list shows the versions; the current one needs no translation",
            )
        active = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM)
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
    seen = rotation_map.Pairs()

    def live(conn: Connection) -> Iterator[tuple[int, bytes]]:
        yield from conn.execute(
            "SELECT serial, nonce FROM entry WHERE domain = ? AND status = 0 AND serial <= ?"
            " AND (expires IS NULL OR expires > ?) ORDER BY serial",
            (domain.id, old.high_water, int(now.timestamp())),
        )

    def render(part: list[tuple[int, bytes]]) -> list[tuple[str, str]]:
        serials, nonces = rows.columns(part)
        piece = seen.add(
            rotation_map.texts(context, domain, old.version, serials, nonces),
            rotation_map.texts(context, domain, active.version, serials, nonces),
        )
        return [(line[:28], line[29:]) for line in piece.decode("ascii").splitlines()]

    async for part in context.db.stream(live, batch=_CHUNK):
        pairs = await asyncio.to_thread(render, part)
        if seen.count > after:
            yield pairs[max(0, after - (seen.count - len(pairs))) :]

    def note(conn: Connection) -> None:
        """To its end: the site can acknowledge it, if this is the map of a rotation."""
        found = rotation_record.between(conn, domain.scope, Purpose.PSEUDONYM, old.version, active.version)
        if found is not None and caller.is_site:
            party = f"site:{caller.name}"
            rotation_map.delivered(context, conn, caller.name, request, domain, found, party, seen)

    await context.db.write(note)
