"""Examples in the interface's description: made from the types of the messages, so that none can go stale.

A field gets the word that stands for its name below, or else the least that its type allows; what may be left out of a
request is left out. tests/docs/test_openapi.py decodes every example into its type.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import inspect

_PSEUDONYM: Final = "7DKLPHW5FV25H6RLDXVRM8Z6P7M4"
_ID: Final = "4c3fadbbbb4d4680b945f3eb79ea445d"
_DAY: Final = "2026-11-24"
_MOMENT: Final = "2026-11-24T09:30:00.000000Z"
_DIGEST: Final = "b7b1c666a0c6548d60c9fe2ba0d70c04f90552ae15ae0d315fb2a5b1b5b95dfc"

# By name of the field, wherever it is a string; in a list, by the name of the list.
_WORDS: Final[dict[str, str]] = {
    **dict.fromkeys(("originals", "original"), "4711"),
    **dict.fromkeys(("pseudonyms", "pseudonym", "successor", "left_with"), _PSEUDONYM),
    **dict.fromkeys(("site", "sites", "sender", "sponsor", "lead", "member"), "uk-nord"),
    **dict.fromkeys(("domain", "domains", "name"), "uk-nord"),
    **dict.fromkeys(("created", "started", "finished", "ended", "used", "revoked", "time", "until"), _MOMENT),
    **dict.fromkeys(("approved", "acknowledged", "answered", "dated", "closes", "purged", "since"), _MOMENT),
    **dict.fromkeys(("expires", "due", "in_use_until", "in_force", "deleted_before", "deadline"), _MOMENT),
    **dict.fromkeys(("date", "day", "from", "valid_from", "valid_until", "retain_until"), _DAY),
    **dict.fromkeys(("postponed", "linkable_until"), _DAY),
    **dict.fromkeys(("root", "leaf_hash", "sha256", "duplicates_sha256", "parameters_hash", "hashes"), _DIGEST),
    **dict.fromkeys(("approvals", "approvers", "approved_by", "acknowledged_by", "denied_by"), "anna"),
    **dict.fromkeys(("who", "proposed_by", "started_by", "staff"), "anna"),
    **dict.fromkeys(("uuid", "run", "release", "rotation", "task", "disclosure", "proposal", "upload"), _ID),
    **dict.fromkeys(("reidentification", "token_id", "enrolment", "instance", "ident"), _ID),
    "recipient": "dms",
    "study": "herz-1",
    "schema": "de-person/1",
    "suite": "computed",
    "purpose": "Heart failure in hospital and practice",
    "permit": "EK 2026-17",
    "reason": "incidental finding, ethics vote 7/26",
    "denial": "no vote",
    "title": "Universitätsklinikum Nord, DIZ",
    "consent": "IDAT_speichern_verarbeiten",
    "document": "urn:oid:2.16.840.1.113883.3.1937.777.24.2.1790",
    "operations": "issue",
    "event": "site:pseudonym:issue",
    "party": "site:uk-nord",
    "parties": "site:uk-nord",
    "token": "tc1_" + "A" * 43,
    "separation": "none",
    "mode": "window",
    "public_key": "tc-person-1:jgw4-_JamCdQfpcGnBN4mb7OBq3grgrE_zm72PjdUNA:KGKUEY5P",
    "certificate": "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n",
    "fingerprint": "98da-c08d-457c-63bf-3f32-684f-701f-1033",
    "key_fingerprint": "P1QW-CTYP-XL7H-854W-7ULJ",
    "statement": "trustcenter/release/1\n…\n",
    "hint": "",
    "where": "",
}
# Where a field of that name means something else in one message.
_OF: Final[dict[tuple[str, str], Any]] = {
    ("Health", "status"): "ok",
    ("Version", "version"): "0.1.0",
    ("Version", "product"): "trustcenter",
    ("Version", "room"): "both",
    ("Version", "api"): ["v1"],
    **{(one, "purpose"): "pseudonym" for one in ("KeyVersion", "KeyDue", "RotationPlan", "Rotation", "KeyProposal")},
    ("CompromiseReport", "purpose"): "pseudonym",
    **{(one, "state"): "active" for one in ("KeyVersion", "CompromiseReport")},
    **{(one, "public_key"): "tc-recipient-1:…" for one in ("Recipient", "SiteKey", "SiteKeySet")},
    ("Recipient", "name"): "dms",
    ("Study", "name"): "herz-1",
    ("StudyCreate", "name"): "herz-1",
    **{(one, "name"): "anna" for one in ("Staff", "StaffCreate")},
    ("ItemError", "code"): "unknown_original",
    ("Domain", "kind"): "site",
    ("Domain", "state"): "open",
    ("Site", "kind"): "diz",
    ("EnrolmentCode", "code"): "tce1-" + "a" * 26,
    ("EnrolmentRedeem", "code"): "tce1-" + "a" * 26,
    ("ClearingPostpone", "until"): _DAY,
    ("Study", "state"): "open",
    ("Run", "state"): "applied",
    ("Release", "state"): "proposed",
    ("Reidentification", "state"): "requested",
    ("ValidateAnswer", "results"): ["ok"],
    ("ConsentProvision", "code"): "IDAT_speichern_verarbeiten",
    ("ConsentAnswer", "results"): ["permitted"],
    ("Problem", "type"): "urn:trustcenter:problem:unknown_domain",
    ("Problem", "title"): "Not found",
    ("Problem", "status"): 404,
    ("Problem", "code"): "unknown_domain",
    ("Problem", "detail"): "there is no such domain, or it is not yours",
    ("Problem", "hint"): "trustcenter domain list shows the domains that you may use",
    ("Problem", "request_id"): "5ce284b591a2e6ca",
}
# What may be left out, and yet is what the request is about.
_SHOWN: Final = frozenset(
    {
        ("Selection", "originals"),
        ("ConsentQuery", "originals"),
        ("RecordConsentQuery", "record_numbers"),
        ("ConsentItem", "policies"),
        ("RotateRequest", "expected_version"),
    }
)


def example(kind: type[msgspec.Struct], *, request: bool) -> Any:
    """A message of this type as JSON would have it.

    Args:
        kind: type of the message.
        request: whether a client sends it: then fields that may be left out are.
    """
    return _value(inspect.type_info(kind), "", request)


def _value(kind: Any, name: str, request: bool) -> Any:
    match kind:
        case inspect.Metadata():
            return _value(kind.type, name, request)
        case inspect.StructType():
            return _fields(kind, request)
        case inspect.UnionType():
            return None if not request and _told(kind) != list(kind.types) else _value(_told(kind)[0], name, request)
        case inspect.ListType() | inspect.VarTupleType():
            if name == "errors":
                return []  # as it should be
            # null stands only where an error is
            item = _told(kind.item_type)[0] if isinstance(kind.item_type, inspect.UnionType) else kind.item_type
            return [_value(item, name, request)] * max(1, kind.min_length or 0)
        case inspect.TupleType():
            return [_value(one, name, request) for one in kind.item_types]
        case inspect.DictType():
            return {_value(kind.key_type, "domain", request): _value(kind.value_type, name, request)}
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case inspect.BoolType():
            return False
        case inspect.IntType() | inspect.FloatType():
            return max(1, kind.ge or 1) if isinstance(kind, inspect.IntType) else 0.5
        case inspect.BytesType():
            return "AAAA"
        case inspect.StrType():
            return _text(kind, name)
    raise TypeError(kind)  # a type that messages did not have before


def _told(kind: inspect.UnionType) -> list[Any]:
    return [one for one in kind.types if not isinstance(one, inspect.NoneType)]


def _fields(kind: inspect.StructType, request: bool) -> dict[str, Any]:
    message, made = kind.cls.__name__, {}
    for field in kind.fields:
        place = (message, field.encode_name)
        if field.required or not request or place in _SHOWN:
            made[field.encode_name] = _OF[place] if place in _OF else _value(field.type, field.encode_name, request)
    return made


def _text(kind: inspect.StrType, name: str) -> str:
    """The word of the name if the type takes it, else an id, a digest or nothing in particular."""
    for word in (_WORDS.get(name), "text", _ID, _DIGEST, "1"):
        if (
            word is not None
            and (kind.pattern is None or re.search(kind.pattern, word))
            and (kind.min_length or 0) <= len(word) <= (kind.max_length or len(word))
        ):
            return word
    return "x" * (kind.min_length or 1)
