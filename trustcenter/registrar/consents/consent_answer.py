"""The answer whether consent is there, for what, and since when: by original, record number or pseudonym."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.clock import stamp
from trustcenter.errors import BatchTooLargeError, PolicyError, UsageError
from trustcenter.messages import api
from trustcenter.messages.consent import CodeSystem, code_system
from trustcenter.registrar import policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import batches, lookup
from trustcenter.registrar.study import studies
from trustcenter.store import Connection, select_in

from . import consent, consent_gate
from . import consent_store as store
from .consent_decision import EVERYTHING, Provisions, decide, decide_one, deny_that_counts, relevant

ALL_ITEMS: Final = 10_000  # items of a question about all policies: its answer is some kilobytes for each


async def query(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.ConsentQuery
) -> api.ConsentStatuses:
    """The consent of persons of a domain, by original or pseudonym; in a domain of a study by pseudonym only.

    Raises:
        NotFoundError: no such domain, or not the caller's.
        PolicyError: the domain requires no consent, or is a study's and was asked by original.
        UsageError: not exactly one of originals and pseudonyms.
        LimitError, ConflictError: too many items; the domain is gone.
    """
    asked = _one(body.originals, body.pseudonyms, body.policies)
    domain = await batches.own_domain(context, caller, domain_name, len(asked), Operation.CONSENT, studies=True)
    if domain.study is not None and body.originals is not None:
        raise PolicyError(
            "records of a study are asked for by record number", code="study_domain", hint="at /v1/studies"
        )
    return await _query(context, caller, request, domain, body.originals, body.pseudonyms, body.policies)


async def query_study(
    context: Context, caller: Principal, request: str, study: str, body: api.RecordConsentQuery
) -> api.ConsentStatuses:
    """The consent of the caller's records of a study, by record number or study pseudonym.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError, UsageError, LimitError, ConflictError: as `query`.
    """
    asked = _one(body.record_numbers, body.pseudonyms, body.policies)
    name = await context.db.read(
        lambda conn: studies.participation(conn, studies.find(conn, study, caller), caller).name
    )
    domain = await batches.own_domain(context, caller, name, len(asked), Operation.STUDY, studies=True)
    return await _query(context, caller, request, domain, body.record_numbers, body.pseudonyms, body.policies)


def _one(originals: Sequence[str] | None, pseudonyms: Sequence[str] | None, policies: str) -> Sequence[str]:
    if (originals is None) == (pseudonyms is None):
        raise UsageError("name either pseudonyms or originals", code="one_selection", where="$")
    asked = originals if originals is not None else pseudonyms or []
    if policies == "all" and len(asked) > ALL_ITEMS:
        raise BatchTooLargeError(
            "too many items in one question about all policies",
            hint=f"ask for at most {ALL_ITEMS} at a time, or for the required policies",
        )
    return asked


async def _query(
    context: Context,
    caller: Principal,
    request: str,
    domain: DomainRow,
    originals: Sequence[str] | None,
    pseudonyms: Sequence[str] | None,
    policies: str,
) -> api.ConsentStatuses:
    consent.require_consent(domain)
    errors: list[api.ItemError] = []
    if originals is not None:
        batch = await consent.tagged(context, domain, originals)
        errors = list(batch.errors)
    else:
        question = await asyncio.to_thread(lookup.read, context, domain, pseudonyms or [])
    system, required = code_system(), domain.policy.consent
    only = relevant(system, required) if policies == "required" else None

    def effect(conn: Connection) -> tuple[list[bytes | None], dict[bytes, Provisions], dict[int, str]]:
        now = context.clock()
        policy.require_keys(conn, domain.id, now)
        if originals is None:
            found = _tags_of(conn, domain, lookup.rows(context, conn, domain, question, now))
        else:
            settled = dict(zip(batch.good, batch.settled(context, conn, domain).tags, strict=True))
            found = [settled.get(at) for at in range(len(originals))]
        held = store.load(conn, domain.id, [tag for tag in found if tag is not None], only)
        names = {number: name for name, number in store.documents(conn, domain.id).items()}
        context.audit(
            conn,
            Event.CONSENT_QUERY if caller.is_site else Event.CONSENT_ASK,
            caller.name,
            request,
            domain=domain.name,
            count=len(found),
            unresolved=sum(tag is None for tag in found),
            policies=policies,
        )
        return found, held, names

    found, held, names = await context.db.write(effect)
    day = consent_gate.today(context)
    if pseudonyms is not None:
        errors = [
            batches.wrong_check(at) if question.status[at] == 2 else batches.unknown_pseudonym(at)
            for at, tag in enumerate(found)
            if tag is None
        ]

    def describe() -> list[api.ConsentStatus | None]:
        return [
            None if tag is None else _status(system, held.get(tag, {}), required, day, names, whole=only is None)
            for tag in found
        ]

    return api.ConsentStatuses(results=await asyncio.to_thread(describe), errors=errors, day=day.isoformat())


def _tags_of(conn: Connection, domain: DomainRow, found: Sequence[tuple[int, bytes] | None]) -> list[bytes | None]:
    """Tags of rows. One that was anonymised has none: its pseudonym leads to nobody's consent."""
    serials = sorted({row[0] for row in found if row is not None})
    query = "SELECT serial, tag FROM entry WHERE domain = ? AND serial IN {values}"
    tags = dict(select_in(conn, query, (domain.id,), serials))
    return [None if row is None else tags.get(row[0]) for row in found]


def _status(
    system: CodeSystem,
    held: Provisions,
    required: Sequence[int],
    day: date,
    documents: dict[int, str],
    *,
    whole: bool,
) -> api.ConsentStatus:
    shown = sorted({*required, *(held.keys() - {EVERYTHING} if whole else ())})
    return api.ConsentStatus(
        status=decide(system, held, required, day).value,
        policies=[_policy(system, held, number, day, documents) for number in shown if number in system.policies],
    )


def _policy(
    system: CodeSystem, held: Provisions, number: int, day: date, documents: dict[int, str]
) -> api.PolicyStatus:
    status = decide_one(system, held, number, day)
    own = held.get(number)
    permit = own if own is not None and own.permit else None
    counts = deny_that_counts(system, held, number) if status == "withdrawn" else permit
    policy = system.policies[number]
    return api.PolicyStatus(
        code=policy.code,
        name=policy.name,
        status=status.value,
        since=permit.first.isoformat() if permit is not None and permit.first is not None else None,
        until=permit.last.isoformat() if permit is not None and permit.last is not None else None,
        dated=_moment(counts.dated) if counts is not None else None,
        recorded=_moment(counts.recorded) if counts is not None else None,
        document=documents.get(counts.document) if counts is not None else None,
    )


def _moment(seconds: int) -> str:
    return stamp(datetime.fromtimestamp(seconds, UTC))[:19] + "Z"
