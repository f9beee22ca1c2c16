"""Consent documents of a domain's persons: taken in batches, decided, and acted upon; and the answer what is there.

Of a person nothing is kept but provisions under the domain's lookup tag. A withdrawal, its tombstone, the removal of
the mapping and the entries of the log are one transaction.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.errors import PolicyError
from trustcenter.messages import api
from trustcenter.messages.consent import ConsentItemError, code_system
from trustcenter.registrar import policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import batches, layout, removal, rows, tagging
from trustcenter.registrar.pseudonyms.batches import Batch
from trustcenter.registrar.release import release_changes
from trustcenter.registrar.study import studies
from trustcenter.store import Connection

from . import consent_gate, consent_study
from . import consent_store as store
from .consent_decision import EVERYTHING, Provision, Provisions, Status, add, decide
from .consent_reading import Reader, documents

_CHUNK: Final = 2000  # persons of one transaction: a large batch does not keep others waiting
_SERIALS_PER_ENTRY: Final = 3000  # an entry of the log has at most 64 KiB
_NUMBER: Final = re.compile("[0-9a-f]{32}")
_UNASKED: Final = "required policies are chosen when it is made: --consent"
COMMITMENT: Final = b"consent/withdraw/1\0"

Item = api.ConsentItem | ConsentItemError


@dataclass
class _Outcome:
    """What a request has done so far."""

    results: list[Status | None]
    errors: list[api.ItemError]
    changed: int = 0
    withdrawn: int = 0
    removed: int = 0
    retired: int = 0


@dataclass
class _Change:
    """What one transaction did."""

    after: dict[bytes, Status] = field(default_factory=dict)
    results: list[tuple[int, Status]] = field(default_factory=list)  # place in the request, and what holds there
    unasked: list[int] = field(default_factory=list)  # places of what nobody requires, and withdraws nothing
    changed: int = 0
    withdrawn: list[bytes] = field(default_factory=list)
    removed: int = 0
    refs: int = 0
    maps: int = 0


async def record(
    context: Context, caller: Principal, request: str, domain_name: str, items: Sequence[Item]
) -> api.ConsentAnswer:
    """Take consent documents of persons of a site's own domain.

    Raises:
        NotFoundError: no such domain, or not the caller's.
        PolicyError: the domain requires no consent, or belongs to a study.
        LimitError, ConflictError: too many items or documents; the domain is gone.
    """
    domain = require_consent(await batches.own_domain(context, caller, domain_name, len(items), Operation.CONSENT))
    return await _record(context, caller, request, domain, items)


async def record_study(
    context: Context, caller: Principal, request: str, study: str, items: Sequence[Item]
) -> api.ConsentAnswer:
    """Take consent documents of the caller's records of a study, by record number; also when its period is over.

    In a study that requires no consent a person can be withdrawn all the same, and comes back with a later document;
    of whom nothing was withdrawn nothing is stored.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        LimitError, ConflictError: as `record`.
    """
    name = await context.db.read(
        lambda conn: studies.participation(conn, studies.find(conn, study, caller), caller).name
    )
    domain = await batches.own_domain(context, caller, name, len(items), Operation.STUDY, studies=True)
    return await _record(context, caller, request, domain, items)


def require_consent(domain: DomainRow) -> DomainRow:
    """The domain asks for consent: where it is not asked for, nothing of it is stored either.

    Raises:
        PolicyError: it does not.
    """
    if not domain.policy.consent:
        raise PolicyError(
            "this domain or study requires no consent, so none is stored", code="consent_not_required", hint=_UNASKED
        )
    return domain


async def _record(
    context: Context, caller: Principal, request: str, domain: DomainRow, items: Sequence[Item]
) -> api.ConsentAnswer:
    outcome = _Outcome([None] * len(items), [])
    batch = await _people(context, domain, items, outcome)
    values = dict(zip(batch.tags, batch.values, strict=True))
    known = await _documents(context, domain, [item for item in items if isinstance(item, api.ConsentItem)])
    now = context.clock()
    reader = Reader(code_system(), consent_gate.today(context), int(now.timestamp()), known)
    statements = await asyncio.to_thread(_read, reader, items, batch, outcome)
    for start in range(0, len(statements), _CHUNK):
        part = statements[start : start + _CHUNK]

        def effect(conn: Connection, part: list[tuple[int, bytes, list[Provision]]] = part) -> _Change:
            policy.require_keys(conn, domain.id, now)
            tags = tagging.settle(context, conn, domain, [values[tag] for _, tag, _ in part], [s[1] for s in part])
            settled = [(place, tag, said) for (place, _, said), tag in zip(part, tags, strict=True)]
            return _apply(context, conn, domain, settled, caller.name, request, now)

        change = await context.db.write(effect)
        for place, status in change.results:
            outcome.results[place] = status
        unasked = (api.ItemError(index=at, code="consent_not_required", hint=_UNASKED) for at in change.unasked)
        outcome.errors.extend(unasked)
        outcome.changed += change.changed
        outcome.withdrawn += len(change.withdrawn)
        outcome.removed += change.removed
    return api.ConsentAnswer(
        results=[None if status is None else status.value for status in outcome.results],
        errors=sorted(outcome.errors, key=lambda error: error.index),
        changed=outcome.changed,
        withdrawn=outcome.withdrawn,
        removed=outcome.removed,
    )


async def _people(context: Context, domain: DomainRow, items: Sequence[Item], outcome: _Outcome) -> Batch:
    """Whose documents these are; items that could not even be read are left out."""
    readable = [place for place, item in enumerate(items) if isinstance(item, api.ConsentItem)]
    for place, item in enumerate(items):
        if isinstance(item, ConsentItemError):
            outcome.errors.append(api.ItemError(index=place, code=item.code, hint=item.hint or item.message))
    texts = [item.original for item in items if isinstance(item, api.ConsentItem)]
    batch = await tagged(context, domain, texts)
    outcome.errors.extend(
        api.ItemError(index=readable[error.index], code=error.code, hint=error.hint) for error in batch.errors
    )
    return Batch([readable[at] for at in batch.good], batch.values, batch.tags, [])


async def tagged(context: Context, domain: DomainRow, texts: Sequence[str]) -> Batch:
    """Originals of a site's domain, or record numbers of a study, with their tags."""
    if domain.study is None:
        return await batches.prepare(context, domain, texts)
    good = [at for at, text in enumerate(texts) if _NUMBER.fullmatch(text)]
    values = [bytes.fromhex(texts[at]) for at in good]
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, layout.LOOKUP_VERSION, values)
    bad = sorted(set(range(len(texts))) - set(good))
    return Batch(
        good,
        values,
        tags,
        [
            api.ItemError(index=at, code="invalid_original", hint="in a study a person is named by the record number")
            for at in bad
        ],
    )


async def _documents(context: Context, domain: DomainRow, items: Sequence[api.ConsentItem]) -> dict[str, int]:
    names = documents(items)
    known = await context.db.read(lambda conn: store.documents(conn, domain.id))
    if names - known.keys():
        known = await context.db.write(lambda conn: store.learn_documents(conn, domain.id, names))
    return known


def _read(
    reader: Reader, items: Sequence[Item], batch: Batch, outcome: _Outcome
) -> list[tuple[int, bytes, list[Provision]]]:
    statements = []
    for place, tag in zip(batch.good, batch.tags, strict=True):
        item = items[place]
        assert isinstance(item, api.ConsentItem)
        try:
            statements.append((place, tag, reader.read(item)))
        except ConsentItemError as error:
            outcome.errors.append(api.ItemError(index=place, code=error.code, hint=error.hint or error.message))
    return statements


def _apply(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    part: Sequence[tuple[int, bytes, list[Provision]]],
    who: str,
    request: str,
    now: datetime,
) -> _Change:
    system, required, day = code_system(), domain.policy.consent, consent_gate.today(context)
    held = store.load(conn, domain.id, [tag for _, tag, _ in part])
    before = {tag: held.get(tag, {}) for _, tag, _ in part}
    after: dict[bytes, Provisions] = dict(before)
    change = _Change()
    for place, tag, provisions in part:
        if not required and not after[tag] and not any(said.policy == EVERYTHING for said in provisions):
            change.unasked.append(place)
            continue
        merged = add(after[tag], provisions)
        change.changed += merged != after[tag]
        after[tag] = merged
    store.save(conn, domain.id, {tag: value for tag, value in after.items() if value != before[tag]})
    change.after = {tag: decide(system, value, required, day) for tag, value in after.items()}
    change.results = [(place, change.after[tag]) for place, tag, _ in part if place not in change.unasked]
    blocked = sorted(tag for tag, status in change.after.items() if status is Status.WITHDRAWN)
    change.withdrawn = [tag for tag in blocked if decide(system, before[tag], required, day) is not Status.WITHDRAWN]
    _withdraw(context, conn, domain, blocked, change, who, request)
    counts = Counter(status.value for status in change.after.values())
    context.audit(
        conn,
        Event.CONSENT_RECORD,
        who,
        request,
        domain=domain.name,
        count=len(part),
        changed=change.changed,
        permitted=counts["permitted"],
        missing=counts["missing"],
        expired=counts["expired"],
        withdrawn=counts["withdrawn"],
        removed=change.removed,
        retired=change.refs,
        maps_erased=change.maps,
    )
    return change


def _withdraw(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    blocked: Sequence[bytes],
    change: _Change,
    who: str,
    request: str,
) -> None:
    """Erase the mappings of all who are blocked, and tell the log of each who was not before."""
    known = rows.known(context, conn, domain.id, blocked)
    serials = sorted(row.serial for found in known.values() for row in found)
    if serials:
        if domain.study is not None:
            release_changes.withdraw(context, conn, domain.study, domain.id, serials)
        removal.erase(context, conn, domain.id, serials, rows.DELETED)
        change.removed = len(serials)
        if domain.study is not None:
            change.refs, change.maps = consent_study.forget(context, conn, domain, serials)
    for start in range(0, len(serials), _SERIALS_PER_ENTRY):
        part = serials[start : start + _SERIALS_PER_ENTRY]
        context.audit(conn, Event.PSEUDONYM_DELETE, who, request, domain=domain.name, count=len(part), serials=part)
    if change.withdrawn:
        salts = store.new_salts(len(change.withdrawn))
        common = {"who": who, "request": request, "domain": domain.name}
        first = context.log.append_many(
            conn,
            [
                (Event.CONSENT_WITHDRAW, {**common, "commitment": commitment(salt, domain.uuid, tag)})
                for salt, tag in zip(salts, change.withdrawn, strict=True)
            ],
        )
        store.keep_salts(conn, domain.id, change.withdrawn, first, salts)


def commitment(salt: bytes, domain_uuid: str, tag: bytes) -> str:
    """What the log says of one withdrawal, 64 hexadecimal digits (docs/spec/consent.md)."""
    return hmac.new(salt, COMMITMENT + bytes.fromhex(domain_uuid) + tag, "sha256").hexdigest()
