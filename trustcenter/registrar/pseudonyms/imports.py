"""Pairs that exist in another system: original and pseudonym, taken over as they are.

In a computed domain an imported pseudonym is a second name of its row: it is recognised and translated, while
create-or-get goes on answering the computed one. In a drawn domain it *is* the row's pseudonym.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from keys import computed
from keys.ids import Purpose
from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.messages import api
from trustcenter.registrar import policy
from trustcenter.registrar.consents import consent_gate
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.policy import COMPUTED
from trustcenter.store import Connection

from . import batches, drawn, layout, removal, rows
from .resolving import resolve
from .rows import New, Row

_TAKEN = ("pseudonym_taken", "it stands, or stood, for another original")
_OTHER = ("original_has_another", "the original has another imported or drawn pseudonym")
_COMPUTED = ("computed_pseudonym", "it is a live computed pseudonym of this domain")
_INVALID = ("invalid_pseudonym", "a pseudonym has 1 to {limit} characters and no control characters")


@dataclass
class _Plan:
    """What the transaction will do, decided pair by pair in the order of the request."""

    results: list[Literal["imported", "present"] | None]
    errors: list[api.ItemError]
    new: list[New] = field(default_factory=list)
    attach: list[tuple[tuple[int, bytes], str]] = field(default_factory=list)  # to a row that has no string yet

    def refuse(self, place: int, why: tuple[str, str]) -> None:
        self.errors.append(api.ItemError(index=place, code=why[0], hint=why[1]))


async def import_pairs(
    context: Context, caller: Principal, request: str, domain_name: str, pairs: Sequence[api.ImportPair]
) -> api.ImportAnswer:
    """Take over pairs, in order; the same pair again is "present", a contradiction is an error of its item.

    Raises:
        NotFoundError: no such domain, or not the caller's.
        ConflictError: the domain is closed, or has no active key.
        LimitError, PolicyError: as every batch.
    """
    domain = await batches.own_domain(context, caller, domain_name, len(pairs), Operation.ISSUE)
    prepared = await batches.prepare(context, domain, [pair.original for pair in pairs])
    texts = [pairs[place].pseudonym for place in prepared.good]
    limit = context.limits.original_chars
    usable = [0 < len(text) <= limit and text.isprintable() for text in texts]
    tagged, parsed = await asyncio.to_thread(
        lambda: (layout.string_tags(context, domain, texts), computed.parse(texts))
    )

    def effect(conn: Connection) -> _Plan:
        policy.require_open(conn, domain.id)
        version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version
        now = context.clock()
        batch = prepared.settled(context, conn, domain)
        string_tags = drawn.settle(context, conn, domain, texts, tagged)
        known = rows.known(context, conn, domain.id, batch.tags)
        removal.expire(
            context,
            conn,
            domain,
            [row.serial for found in known.values() for row in found if row.expired(now)],
            request,
        )
        known = {tag: [row for row in found if not row.expired(now)] for tag, found in known.items()}
        kept = []
        ours = _computed_rows(context, conn, domain, parsed)
        admitted = consent_gate.admit(context, conn, domain, batch)
        served = set(admitted.good)
        plan = _Plan([None] * len(pairs), list(admitted.errors))
        for number, place in enumerate(batch.good):
            if place not in served:
                continue
            if not usable[number]:
                plan.refuse(place, (_INVALID[0], _INVALID[1].format(limit=limit)))
            elif number in ours:
                plan.refuse(place, _COMPUTED)
            else:
                kept.append((place, batch.tags[number], batch.values[number], string_tags[number], texts[number]))
        _decide(conn, domain, kept, known, plan)
        rows.insert(context, conn, domain, version, plan.new, caller.name, request)
        drawn.store(context, conn, domain, [row for row, _ in plan.attach], [text for _, text in plan.attach])
        context.audit(
            conn,
            Event.PSEUDONYM_IMPORT,
            caller.name,
            request,
            domain=domain.name,
            count=len(plan.new) + len(plan.attach),
            present=plan.results.count("present"),
            unresolved=len(plan.errors),
        )
        return plan

    plan = await context.db.write(effect)
    return api.ImportAnswer(
        results=plan.results,
        errors=sorted(plan.errors, key=lambda error: error.index),
        imported=len(plan.new) + len(plan.attach),
    )


def _computed_rows(context: Context, conn: Connection, domain: DomainRow, parsed: computed.Parsed) -> set[int]:
    """Which texts decode as live computed pseudonyms of this domain."""
    if domain.policy.suite != COMPUTED or not bool(np.any(parsed.status == 0)):
        return set()
    found = resolve(context, conn, domain, parsed.blocks, parsed.status)
    return {number for number, row in enumerate(found.rows) if row is not None or number in found.ambiguous}


def _decide(
    conn: Connection,
    domain: DomainRow,
    items: Sequence[tuple[int, bytes, bytes, bytes, str]],
    known: dict[bytes, list[Row]],
    plan: _Plan,
) -> None:
    """Sort (place, original's tag, original, string's tag, string) into new rows, additions and refusals."""
    owners = drawn.owners(conn, domain.id, [item[3] for item in items])
    serials = [row.serial for found in known.values() for row in found]
    named = drawn.with_string(conn, domain.id, serials)
    by_string: dict[bytes, bytes] = {}  # of this request
    following = {tag: found[-1].idx + 1 for tag, found in known.items() if found}
    bare = {tag: next((row for row in found if row.serial not in named), None) for tag, found in known.items()}
    busy = {tag for tag, found in known.items() if any(row.serial in named for row in found)}
    for place, tag, value, string_tag, text in items:
        owner = owners.get(string_tag)
        # An anonymised owner has no tag any more: nobody can tell whether the pair is the same.
        mine = owner[1] == tag and owner[2] == rows.LIVE if owner is not None else by_string.get(string_tag) == tag
        if mine:
            plan.results[place] = "present"
        elif owner is not None or string_tag in by_string:
            plan.refuse(place, _TAKEN)
        elif tag in busy and not domain.policy.multi:
            plan.refuse(place, _OTHER)
        else:
            by_string[string_tag] = tag
            busy.add(tag)
            row = bare.pop(tag, None)
            if row is not None:
                plan.attach.append(((row.serial, row.nonce), text))
            else:
                index = following.get(tag, 0)
                following[tag] = index + 1
                plan.new.append(New(tag, value, index, text))
            plan.results[place] = "imported"
