"""Consent: what sites send, as a simple list or as FHIR, and the answer whether it is there."""

from __future__ import annotations

import asyncio

from trustcenter.http.calls import SITE, STEWARD, Answer, Call, Route
from trustcenter.messages import api, consent_fhir
from trustcenter.messages.consent import ConsentItemError
from trustcenter.registrar.consents import consent, consent_answer


async def send(call: Call) -> Answer:
    return await consent.record(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body.items
    )


async def send_fhir(call: Call) -> Answer:
    return await consent.record(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), await _items(call)
    )


async def query(call: Call) -> Answer:
    return await consent_answer.query(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
    )


async def send_study(call: Call) -> Answer:
    return await call.linking.take_consents(call.principal, call.request_id, call.segment("study"), call.body.items)


async def send_study_fhir(call: Call) -> Answer:
    return await call.linking.take_consents(call.principal, call.request_id, call.segment("study"), await _items(call))


async def query_study(call: Call) -> Answer:
    return await consent_answer.query_study(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def _items(call: Call) -> list[consent.Item]:
    """The resources of a body. One that cannot be read is an error of its own item."""
    kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def read() -> list[consent.Item]:
        items: list[consent.Item] = []
        for resource in consent_fhir.resources(call.body, lines=kind.endswith("ndjson")):
            try:
                items.append(consent_fhir.item(resource))
            except ConsentItemError as error:
                items.append(error)
        return items

    return await asyncio.to_thread(read)


_DOMAIN = "/v1/domains/{domain}/consents"
_STUDY = "/v1/studies/{study}/consents"
ROUTES = (
    Route(
        "POST", _DOMAIN, "sendConsents", SITE, "Consent documents of persons, in any order",
        send, api.ConsentRequest, api.ConsentAnswer,
    ),
    Route(
        "POST", _DOMAIN + "/fhir", "sendConsentsFhir", SITE, "The same as FHIR R4 Consent: a Bundle, or NDJSON",
        send_fhir, "fhir", api.ConsentAnswer,
    ),
    Route(
        "POST", _DOMAIN + "/query", "queryConsents", SITE | STEWARD, "Whether consent is there, for what, since when",
        query, api.ConsentQuery, api.ConsentStatuses, kind="translate",
    ),
    Route(
        "POST", _STUDY, "sendRecordConsents", SITE, "Consent documents of own records of a study, by record number",
        send_study, api.ConsentRequest, api.ConsentAnswer,
    ),
    Route(
        "POST", _STUDY + "/fhir", "sendRecordConsentsFhir", SITE, "The same as FHIR R4 Consent",
        send_study_fhir, "fhir", api.ConsentAnswer,
    ),
    Route(
        "POST", _STUDY + "/query", "queryRecordConsents", SITE, "Whether consent is there for own records",
        query_study, api.RecordConsentQuery, api.ConsentStatuses, kind="translate",
    ),
)  # fmt: skip
