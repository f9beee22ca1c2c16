"""Calls of the client about consent, and FHIR Consent as an item of the simple list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from trustcenter.client.answers import as_long, quoted
from trustcenter.client.calls import Calls
from trustcenter.messages import api as m
from trustcenter.messages import consent_fhir
from trustcenter.messages.consent import ConsentItemError

_PATIENT: Final = re.compile(r"(?:.*/)?Patient/([A-Za-z0-9.-]{1,64})(?:/_history/.*)?")
# What the centre refuses to be sent, and what it has no use for.
_DROPPED: Final = (
    "text", "contained", "sourceAttachment", "sourceReference", "performer", "organization", "verification",
    "extension", "identifier", "meta", "category", "scope", "id",
)  # fmt: skip


class ConsentOperations(Calls):
    """Part of `TrustCenter`: consent documents of persons, in any order and as often as one likes."""

    async def send_consents(self, domain: str, items: Sequence[m.ConsentItem]) -> m.ConsentAnswer:
        """Tell what persons of a domain have permitted; a withdrawal removes their mapping."""
        return await self._send(f"/v1/domains/{quoted(domain)}/consents", items)

    async def send_record_consents(self, study: str, items: Sequence[m.ConsentItem]) -> m.ConsentAnswer:
        """The same for own records of a study: `original` is the record number."""
        return await self._send(f"/v1/studies/{quoted(study)}/consents", items)

    async def consents(
        self,
        domain: str,
        *,
        originals: Sequence[str] | None = None,
        pseudonyms: Sequence[str] | None = None,
        policies: Literal["required", "all"] = "required",
    ) -> m.ConsentStatuses:
        """Whether consent is there, for what and since when, by original or by pseudonym."""
        body = m.ConsentQuery(originals=_list(originals), pseudonyms=_list(pseudonyms), policies=policies)
        path = f"/v1/domains/{quoted(domain)}/consents/query"
        answer = await self._post(path, body, m.ConsentStatuses, repeatable=True)
        return as_long(answer, answer.results, (originals if originals is not None else pseudonyms) or ())

    async def record_consents(
        self,
        study: str,
        *,
        record_numbers: Sequence[str] | None = None,
        pseudonyms: Sequence[str] | None = None,
        policies: Literal["required", "all"] = "required",
    ) -> m.ConsentStatuses:
        """The same for own records of a study, by record number or study pseudonym."""
        body = m.RecordConsentQuery(
            record_numbers=_list(record_numbers), pseudonyms=_list(pseudonyms), policies=policies
        )
        path = f"/v1/studies/{quoted(study)}/consents/query"
        answer = await self._post(path, body, m.ConsentStatuses, repeatable=True)
        return as_long(answer, answer.results, (record_numbers if record_numbers is not None else pseudonyms) or ())

    async def _send(self, path: str, items: Sequence[m.ConsentItem]) -> m.ConsentAnswer:
        answer = await self._post(path, m.ConsentRequest(items=list(items)), m.ConsentAnswer, repeatable=True)
        return as_long(answer, answer.results, items)


def _list(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


def from_fhir(resource: bytes, patient: Literal["identifier", "reference"] = "identifier") -> m.ConsentItem:
    """A FHIR R4 Consent as an item: nothing of the resource but this leaves the site.

    Args:
        resource: as JSON.
        patient: where the original stands: `patient.identifier.value`, or the id in `patient.reference`.

    Raises:
        ConsentItemError: it cannot be taken; nothing of it is repeated.
    """
    try:
        found: Any = msgspec.json.decode(resource)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConsentItemError("the resource is not JSON", code="malformed_consent") from None
    if not isinstance(found, dict) or found.get("resourceType") != "Consent":
        raise ConsentItemError("this is no Consent", code="not_a_consent", hint="send Consent resources only")
    reduced = {key: value for key, value in found.items() if key not in _DROPPED}
    reduced["patient"] = {"identifier": {"value": _original(found.get("patient"), patient)}}
    return consent_fhir.item(msgspec.json.encode(reduced))


def _original(patient: object, where: str) -> str | None:
    if not isinstance(patient, dict):
        return None
    if where == "identifier":
        identifier = patient.get("identifier")
        value = identifier.get("value") if isinstance(identifier, dict) else None
        return value if isinstance(value, str) else None
    reference = patient.get("reference")
    match = _PATIENT.fullmatch(reference) if isinstance(reference, str) else None
    return match.group(1) if match else None
