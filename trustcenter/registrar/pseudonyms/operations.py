"""Create-or-get, get, several per original, validate: batches in order, a result or an error per item.

The ordinary domain's create-or-get is passed on to `issue`, which is made for speed; everything else is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec

from keys.ids import Purpose
from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.errors import ConflictError, LimitError
from trustcenter.messages import api
from trustcenter.registrar import policy
from trustcenter.registrar.consents import consent_gate
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import batches, idempotency, issue, lookup, removal, rows, singles, tagging
from .batches import Batch
from .resolving import Found
from .rows import New, Row


async def pseudonymize(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.PseudonymRequest
) -> api.PseudonymAnswer:
    """Pseudonyms of originals, created where they do not exist, or only looked up (mode "get").

    Raises:
        NotFoundError: no such domain, or not the caller's.
        PolicyError: the domain belongs to a study.
        LimitError: too many items, or the domain's format has too few strings left.
        ConflictError: the domain is closed, or has no active key.
    """
    originals = body.originals
    if body.mode == "create" and len(originals) <= singles.SMALL:
        together = await singles.of(context).issue(caller, request, domain_name, originals)
        if together is not None:
            return together
    domain = await batches.own_domain(
        context, caller, domain_name, len(originals), Operation.ISSUE if body.mode == "create" else Operation.GET
    )
    if body.mode == "create" and domain.policy.plain:
        return await issue.issue(context, caller, request, domain, originals)
    asked = await batches.prepare(context, domain, originals)

    def create(conn: Connection) -> tuple[int, int, rows.Fetched, list[bool], Batch]:
        policy.require_open(conn, domain.id)
        batch = consent_gate.admit(context, conn, domain, asked.settled(context, conn, domain))
        consent_gate.note(context, conn, domain, caller.name, request, batch.errors)
        version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version
        known = _live(context, conn, domain, batch.tags, request)
        fresh = {tag: value for tag, value in zip(batch.tags, batch.values, strict=True) if tag not in known}
        made = rows.insert(
            context, conn, domain, version, [New(t, v, 0) for t, v in fresh.items()], caller.name, request
        )
        first = {tag: (found[0].serial, found[0].nonce) for tag, found in known.items()}
        first.update(zip(fresh, made, strict=True))
        fetched = rows.fetch(conn, domain, [first[tag] for tag in batch.tags])
        return version, len(fresh), fetched, [True] * len(batch.tags), batch

    def get(conn: Connection) -> tuple[int, int, rows.Fetched, list[bool], Batch]:
        now = context.clock()
        policy.require_keys(conn, domain.id, now)
        batch = consent_gate.admit(context, conn, domain, asked.found_by(context, conn, domain))
        version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version
        under = tagging.older(context, conn, domain, batch.values)
        known = _unexpired(rows.known(context, conn, domain.id, batch.tags, under), now)
        found = [known[tag][0] for tag in batch.tags if tag in known]
        fetched = rows.fetch(conn, domain, [(row.serial, row.nonce) for row in found])
        return version, 0, fetched, [tag in known for tag in batch.tags], batch

    version, created, fetched, present, batch = await (
        context.db.write(create) if body.mode == "create" else context.db.read(get)
    )
    strings = iter(await asyncio.to_thread(rows.render, context, domain, version, fetched))
    answer: list[str | None] = [None] * len(originals)
    errors = list(batch.errors)
    for place, there in zip(batch.good, present, strict=True):
        if there:
            answer[place] = next(strings)
        else:
            errors.append(batches.unknown_original(place))
    errors.sort(key=lambda error: error.index)
    return api.PseudonymAnswer(pseudonyms=answer, errors=errors, key_version=version, created=created)


def _unexpired(known: dict[bytes, list[Row]], now: datetime) -> dict[bytes, list[Row]]:
    kept = {tag: [row for row in found if not row.expired(now)] for tag, found in known.items()}
    return {tag: found for tag, found in kept.items() if found}


def _live(
    context: Context, conn: Connection, domain: DomainRow, tags: Sequence[bytes], request: str
) -> dict[bytes, list[Row]]:
    """Live rows by tag, after erasing those of the same originals whose time has come: they make room."""
    now = context.clock()
    known = rows.known(context, conn, domain.id, tags)
    removal.expire(
        context, conn, domain, [row.serial for found in known.values() for row in found if row.expired(now)], request
    )
    return _unexpired(known, now)


async def additional(
    context: Context, caller: Principal, request: str, domain_name: str, key: str, body: api.AdditionalRequest
) -> api.AdditionalAnswer:
    """More pseudonyms of each original, in a domain that has several. Once per idempotency key.

    Raises:
        ConflictError: the key was used with another body; or the domain is closed.
        PolicyError: the domain has one pseudonym per original.
        NotFoundError, LimitError: as `pseudonymize`.
    """
    domain = await batches.own_domain(context, caller, domain_name, len(body.originals) * body.count, Operation.ISSUE)
    policy.require_multi(domain.policy)
    batch = await batches.prepare(context, domain, body.originals)
    marks = idempotency.marks(context, domain, key, msgspec.json.encode(body))

    def effect(conn: Connection) -> tuple[int, bool, list[tuple[int, bytes] | None], rows.Fetched, Batch]:
        admitted = consent_gate.admit(context, conn, domain, batch.settled(context, conn, domain))
        record = idempotency.find(conn, domain, marks)
        if record is not None:
            policy.require_keys(conn, domain.id, context.clock())
            again = idempotency.live(conn, domain, record.serials, context.clock())
            fetched = rows.fetch(conn, domain, [row for row in again if row is not None])
            return record.version, True, again, fetched, admitted
        policy.require_open(conn, domain.id)
        consent_gate.note(context, conn, domain, caller.name, request, admitted.errors)
        version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version
        known = _live(context, conn, domain, admitted.tags, request)
        following = {tag: found[-1].idx + 1 for tag, found in known.items()}
        new: list[New] = []
        for tag, value in zip(admitted.tags, admitted.values, strict=True):
            start = following.get(tag, 0)
            new.extend(New(tag, value, start + offset) for offset in range(body.count))
            following[tag] = start + body.count
            if following[tag] > rows.MAX_INDEX:
                raise LimitError("an original has as many pseudonyms as it can", code="index_exhausted")
        made = rows.insert(context, conn, domain, version, new, caller.name, request)
        # Remembered is a place for every original, refused ones too: a repetition must never shift them.
        rest, served = iter(made), set(admitted.good)
        whole = [next(rest) if place in served else None for place in batch.good for _ in range(body.count)]
        idempotency.record(context, conn, domain, marks[0], version, [row[0] if row else 0 for row in whole])
        return version, False, whole, rows.fetch(conn, domain, made), admitted

    version, repeated, found, fetched, admitted = await context.db.write(effect)
    strings = iter(await asyncio.to_thread(rows.render, context, domain, version, fetched))
    rendered = [next(strings) if row is not None else None for row in found]
    answer: list[list[str] | None] = [None] * len(body.originals)
    errors = list(batch.errors)
    refused = {error.index: error for error in admitted.errors}
    if len(rendered) != len(batch.good) * body.count:
        # A repetition, but meanwhile the parent domain forgot one of the originals.
        raise ConflictError("the first answer can no longer be given", code="answer_gone")
    for number, place in enumerate(batch.good):
        part = rendered[number * body.count : (number + 1) * body.count]
        whole = [text for text in part if text is not None]
        if len(whole) == len(part):
            answer[place] = whole
        else:
            errors.append(refused.get(place, batches.unknown_pseudonym(place)))
    errors.sort(key=lambda error: error.index)
    return api.AdditionalAnswer(pseudonyms=answer, errors=errors, key_version=version, repeated=repeated)


async def validate(
    context: Context, caller: Principal, request: str, domain_name: str, pseudonyms: Sequence[str]
) -> api.ValidateAnswer:
    """Whether each text is a live pseudonym of the domain.

    Raises:
        NotFoundError: no such domain, or not the caller's.
        LimitError, PolicyError, ConflictError: as `own_domain`.
    """
    domain = await batches.own_domain(context, caller, domain_name, len(pseudonyms), Operation.VALIDATE)
    question = await asyncio.to_thread(lookup.read, context, domain, pseudonyms)

    def effect(conn: Connection) -> Found:
        found = lookup.asked(context, conn, domain, question, caller.name, request)
        context.audit(
            conn,
            Event.PSEUDONYM_VALIDATE,
            caller.name,
            request,
            domain=domain.name,
            count=len(pseudonyms),
            unresolved=found.rows.count(None),
        )
        return found

    found = await context.db.write(effect)
    return api.ValidateAnswer(
        results=[
            "ok"
            if row is not None
            else "wrong_check_characters"
            if status == 2
            else "ambiguous"
            if index in found.ambiguous
            else "unknown_pseudonym"
            for index, (row, status) in enumerate(zip(found.rows, question.status, strict=True))
        ]
    )
