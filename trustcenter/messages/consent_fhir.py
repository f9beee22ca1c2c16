"""FHIR R4 Consent, as the profile of the MII has it, to the items of the simple list (docs/spec/consent.md).

Strict: what could change the meaning of a permit is refused rather than passed over, and so is what names a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from trustcenter.errors import UsageError

from . import api
from .consent import SYSTEM, ConsentItemError, keepable

_DEPTH: Final = 8  # provisions within provisions
_VOID: Final = ("inactive", "rejected", "entered-in-error")
_Any = Raw | UnsetType


class _Element(msgspec.Struct, forbid_unknown_fields=True, rename="camel", frozen=True):
    id: _Any = UNSET
    extension: _Any = UNSET


class _Backbone(_Element, frozen=True):
    modifier_extension: _Any = UNSET


class _Identifier(_Element, frozen=True):
    value: str | None = None
    use: _Any = UNSET
    type: _Any = UNSET
    system: _Any = UNSET
    period: _Any = UNSET
    assigner: _Any = UNSET


class _Reference(_Element, frozen=True):
    reference: _Any = UNSET
    type: _Any = UNSET
    identifier: _Identifier | None = None
    display: _Any = UNSET


class _Coding(_Element, frozen=True):
    system: str | None = None
    version: _Any = UNSET
    code: str | None = None
    display: _Any = UNSET
    user_selected: _Any = UNSET


class _Concept(_Element, frozen=True):
    coding: list[_Coding] = []
    text: _Any = UNSET


class _Period(_Element, frozen=True):
    start: str | None = None
    end: str | None = None


class _Provision(_Backbone, frozen=True):
    type: Literal["permit", "deny"] | None = None
    period: _Period | None = None
    code: list[_Concept] = []
    provision: _Any = UNSET
    # Each of these narrows a provision: a permit with one of them is not the permit of the policy.
    actor: _Any = UNSET
    action: _Any = UNSET
    security_label: _Any = UNSET
    purpose: _Any = UNSET
    class_: _Any = msgspec.field(default=UNSET, name="class")
    data_period: _Any = UNSET
    data: _Any = UNSET

    @property
    def narrowed(self) -> bool:
        parts = (self.actor, self.action, self.security_label, self.purpose, self.class_, self.data_period, self.data)
        return any(part is not UNSET for part in parts)


class _PolicyLink(_Backbone, frozen=True):
    authority: _Any = UNSET
    uri: str | None = None


class _Verification(_Backbone, frozen=True):
    verified: _Any = UNSET
    verified_with: _Reference | None = None
    verification_date: _Any = UNSET


class _Consent(_Backbone, frozen=True):
    resource_type: str = ""
    status: Literal["draft", "proposed", "active", "rejected", "inactive", "entered-in-error"] | None = None
    date_time: str | None = None
    patient: _Reference | None = None
    policy: list[_PolicyLink] = []
    provision: _Any = UNSET
    performer: list[_Reference] = []
    organization: list[_Reference] = []
    verification: list[_Verification] = []
    meta: _Any = UNSET
    implicit_rules: _Any = UNSET
    language: _Any = UNSET
    identifier: _Any = UNSET
    scope: _Any = UNSET
    category: _Any = UNSET
    policy_rule: _Any = UNSET
    text: _Any = UNSET
    contained: _Any = UNSET
    source_attachment: _Any = UNSET
    source_reference: _Any = UNSET


class _Entry(msgspec.Struct, frozen=True):
    resource: _Any = UNSET


class _Bundle(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str = ""
    entry: list[_Entry] = []


_kind: Final = msgspec.json.Decoder(_Bundle)
_consent: Final = msgspec.json.Decoder(_Consent)
_provision: Final = msgspec.json.Decoder(_Provision)
_provisions: Final = msgspec.json.Decoder(list[Raw])


def resources(body: bytes, *, lines: bool) -> list[bytes]:
    """The resources of a Bundle, of NDJSON, or a resource alone, each still as JSON.

    Raises:
        UsageError: it is not JSON, or neither.
    """
    if lines:
        return [line for line in body.split(b"\n") if line.strip()]
    try:
        found = _kind.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError(
            "the body is not a FHIR resource in JSON",
            code="malformed_json",
            hint="send a Bundle, a Consent, or NDJSON as application/fhir+ndjson",
        ) from None
    if found.resource_type == "Bundle":
        return [b"null" if entry.resource is UNSET else bytes(entry.resource) for entry in found.entry]
    return [body]


def item(resource: bytes) -> api.ConsentItem:
    """A Consent as an item of the simple list.

    Raises:
        ConsentItemError: it cannot be taken; nothing of it is repeated.
    """
    consent = _decoded(_consent, resource)
    if consent.resource_type != "Consent":
        raise ConsentItemError("this is no Consent", code="not_a_consent", hint="send Consent resources only")
    _require_no_names(consent)
    if consent.modifier_extension is not UNSET or consent.implicit_rules is not UNSET:
        raise _conditional()
    if consent.status is None or consent.date_time is None:
        raise _malformed("status and dateTime are needed")
    if consent.status in ("draft", "proposed"):
        raise ConsentItemError("the document is not in force", code="consent_not_in_force", hint="send it when it is")
    identifier = consent.patient.identifier if consent.patient is not None else None
    if identifier is None or identifier.value is None:
        raise ConsentItemError(
            "the resource does not say whose consent it is",
            code="consent_without_patient",
            hint="patient.identifier.value is the original; `trustcenter consent send --patient reference` fills it in",
        )
    void = consent.status in _VOID
    uri = consent.policy[0].uri if consent.policy else None
    return api.ConsentItem(
        original=identifier.value,
        date=consent.date_time,
        document=uri if uri is not None and keepable(uri) else None,
        policies=list(_policies(consent.provision, None, void, 0)),
    )


def _policies(
    raw: _Any, above: Literal["permit", "deny"] | None, void: bool, depth: int
) -> Iterator[api.ConsentProvision]:
    """Every code of a provision and of those within it."""
    if raw is UNSET:
        return
    if depth > _DEPTH:
        raise _malformed("provisions are nested too deeply")
    one = _decoded(_provision, bytes(raw))
    kind = one.type or above
    if one.modifier_extension is not UNSET:
        raise _conditional()
    for concept in one.code:
        for coding in concept.coding:
            if coding.system != SYSTEM:
                continue
            if coding.code is None or kind is None:
                raise _malformed("a provision has no code or no type")
            if kind == "permit" and one.narrowed:
                raise _conditional()
            period = one.period or _Period()
            yield api.ConsentProvision(
                code=coding.code, permit=kind == "permit" and not void, **_days(period, kind == "permit" and not void)
            )
    if one.provision is not UNSET:
        for inner in _decoded(_provisions, bytes(one.provision)):
            yield from _policies(inner, kind, void, depth + 1)


def _days(period: _Period, permit: bool) -> dict[str, str | None]:
    # The period of a document that is void by now says nothing of when it became so.
    return {"first": period.start, "last": period.end} if permit else {}


def _require_no_names(consent: _Consent) -> None:
    references = [*consent.performer, *consent.organization, *([consent.patient] if consent.patient else [])]
    references += [one.verified_with for one in consent.verification if one.verified_with is not None]
    telling = (consent.text, consent.contained, consent.source_attachment, consent.source_reference)
    if any(part is not UNSET for part in telling) or any(one.display is not UNSET for one in references):
        raise ConsentItemError(
            "the resource has text, names or attachments, which the centre never takes",
            code="consent_names_person",
            hint="`trustcenter consent send` leaves them out; of others leave out text, contained, source and display",
        )


def _decoded(decoder: msgspec.json.Decoder[Any], content: bytes) -> Any:
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        # Behind "at" stands a path of field names of ours; before it there may be a value.
        path = str(error).rpartition(" - at `")[2].rstrip("`") if " - at `" in str(error) else "$"
        raise _malformed(f"at {path}" if path.startswith("$") and len(path) < 100 else "") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _malformed("it is not JSON") from None


def _malformed(hint: str) -> ConsentItemError:
    return ConsentItemError("the resource is not as FHIR R4 has it", code="malformed_consent", hint=hint)


def _conditional() -> ConsentItemError:
    return ConsentItemError(
        "the resource has conditions that this service cannot keep",
        code="consent_conditional",
        hint="a permit with actors, actions, purposes, data or modifiers is not the permit of a policy",
    )
