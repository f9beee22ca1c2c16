"""Consent: what sites send, and the answer whether it is there (docs/spec/consent.md)."""

from __future__ import annotations

from typing import Literal

import msgspec

from trustcenter.messages.common import Count, Hex16, Message

from .service import ItemError

ConsentState = Literal["permitted", "missing", "expired", "withdrawn"]


class ConsentProvision(Message, frozen=True, kw_only=True):
    """What a document says of one policy: OID, number or name; days as YYYY-MM-DD, or times with an offset."""

    code: str
    permit: bool = True
    first: str | None = msgspec.field(default=None, name="from")
    last: str | None = msgspec.field(default=None, name="until")


class ConsentItem(Message, frozen=True, kw_only=True):
    """One consent document of one person. `withdraw` denies everything, and goes without policies."""

    original: str
    date: str
    policies: list[ConsentProvision] = msgspec.field(default_factory=list)
    withdraw: bool = False
    document: str | None = None  # its version, never a number of its own


class ConsentRequest(Message, frozen=True, kw_only=True):
    """Consent documents, in any order. In a study `original` is the record number."""

    items: list[ConsentItem]


class ConsentAnswer(Message, frozen=True, kw_only=True):
    """Per item whether what is required is there now; null where `errors` names the index.

    `changed`: items that said something new. `withdrawn`: persons whose status became withdrawn. `removed`: rows of
    mappings that were erased for it.
    """

    results: list[ConsentState | None]
    errors: list[ItemError]
    changed: Count
    withdrawn: Count
    removed: Count


class ConsentQuery(Message, frozen=True, kw_only=True):
    """Either originals or pseudonyms. `policies`: of what is required only, or all that was told."""

    originals: list[str] | None = None
    pseudonyms: list[str] | None = None
    policies: Literal["required", "all"] = "required"


class RecordConsentQuery(Message, frozen=True, kw_only=True):
    """Either record numbers or study pseudonyms, of the caller's own records."""

    record_numbers: list[Hex16] | None = None
    pseudonyms: list[str] | None = None
    policies: Literal["required", "all"] = "required"


class PolicyStatus(Message, frozen=True, kw_only=True):
    """One policy of one person. `since` and `until` are the first and last day of the permit; `dated` is when the
    document that counts was made, `recorded` when the service was told, both in UTC.
    """

    code: str
    name: str
    status: ConsentState
    since: str | None
    until: str | None
    dated: str | None
    recorded: str | None
    document: str | None


class ConsentStatus(Message, frozen=True, kw_only=True):
    """Whether what the domain or study requires is there, and of which policies."""

    status: ConsentState
    policies: list[PolicyStatus]


class ConsentStatuses(Message, frozen=True, kw_only=True):
    """Answers in the order of the question; null where `errors` names the index."""

    results: list[ConsentStatus | None]
    errors: list[ItemError]
    day: str  # to which they refer
