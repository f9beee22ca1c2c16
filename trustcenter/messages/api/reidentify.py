"""Re-identification under dual control: requests, signatures, tickets, originals."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trustcenter.messages.common import Count, DomainName, Hex16, Message, Name, Text

from .service import ItemError


class ReidentifyRequest(Message, frozen=True, kw_only=True):
    """Pseudonyms of the caller's own domain whose originals are needed, and why.

    The reason is read by the approvers: it names the case, never a person.
    """

    pseudonyms: Annotated[list[str], msgspec.Meta(min_length=1)]
    reason: Text
    valid_hours: Annotated[int, msgspec.Meta(ge=1, le=168, description="life of the ticket")] = 24


class Reidentification(Message, frozen=True, kw_only=True):
    """A request and what became of it: requested, approved, used-up, expired or denied.

    `statement` is what approvers sign. `expires` is the end of the time for signing, and once approved that of
    the ticket. `salt` opens the statement's digest; only the requesting site gets it.
    """

    reidentification: Hex16
    domain: DomainName
    site: Name
    reason: str
    pseudonyms: Count
    statement: str
    approvals: list[Name]
    required: int
    state: str
    expires: str
    fetches_left: Count
    denied_by: Name | None
    denial: str | None
    created: str
    salt: Hex16 | None = None


class Reidentifications(Message, frozen=True, kw_only=True):
    """Requests, newest first: all for operators and approvers, its own for a site."""

    reidentifications: list[Reidentification]


class Denial(Message, frozen=True, kw_only=True):
    """Why a request is denied, or an approved ticket taken back."""

    reason: Text


class OriginalsRequest(Message, frozen=True, kw_only=True):
    """Pseudonyms of an approved ticket."""

    pseudonyms: Annotated[list[str], msgspec.Meta(min_length=1)]


class OriginalsAnswer(Message, frozen=True, kw_only=True):
    """Originals in the order of the pseudonyms; null where `errors` names the index."""

    originals: list[str | None]
    errors: list[ItemError]
    fetches_left: Count
    state: str
