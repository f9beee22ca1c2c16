"""Sites, staff, tokens, domains and keys."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from trustcenter.messages.common import Count, DomainName, Hex16, Message, Name, Policies, Text

from .access import Operation
from .operations import DrawnFormat, Suite


class SiteKind(StrEnum):
    """What sort of institution a site is."""

    DIZ = "diz"
    HOSPITAL = "hospital"
    PRACTICE = "practice"
    RESCUE = "rescue"
    CARE = "care"
    REHAB = "rehab"
    INSURER = "insurer"
    REGISTRY = "registry"


class StaffRole(StrEnum):
    """What a person at the trust center may do."""

    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    STEWARD = "steward"


class SiteCreate(Message, frozen=True, kw_only=True):
    """A participating institution to be admitted."""

    name: Name
    kind: SiteKind
    title: Text


class Site(Message, frozen=True, kw_only=True):
    """A participating institution."""

    name: Name
    kind: SiteKind
    title: Text
    created: str


class Sites(Message, frozen=True, kw_only=True):
    """All sites."""

    sites: list[Site]


class TokenCreate(Message, frozen=True, kw_only=True):
    """A request for an access token."""

    expires_days: Annotated[int, msgspec.Meta(ge=1, le=730)] = 365
    domains: list[DomainName] | None = None  # of a site: the token serves for these only
    operations: list[Operation] | None = None  # of a site: the token serves for these only


class Token(Message, frozen=True, kw_only=True):
    """A fresh access token. This is the only time that it is shown."""

    token_id: Hex16
    token: str
    expires: str


class TokenInfo(Message, frozen=True, kw_only=True):
    """What is known of a token; the token itself is stored as a hash only."""

    token_id: Hex16
    created: str
    expires: str
    revoked: str | None
    domains: list[str] | None = None  # that it serves for; null: all of its owner's
    operations: list[Operation] | None = None  # likewise


class Tokens(Message, frozen=True, kw_only=True):
    """The tokens of a site."""

    tokens: list[TokenInfo]


class StaffCreate(Message, frozen=True, kw_only=True):
    """A person at the trust center; approvers need the public half of a personal key."""

    name: Name
    role: StaffRole
    public_key: str | None = None


class Staff(Message, frozen=True, kw_only=True):
    """A person at the trust center."""

    name: Name
    role: StaffRole
    public_key: str | None
    created: str


class StaffAdded(Message, frozen=True, kw_only=True):
    """A new staff member with the access token, shown once."""

    staff: Staff
    token: Token


class StaffList(Message, frozen=True, kw_only=True):
    """All staff."""

    staff: list[Staff]


class DomainCreate(Message, frozen=True, kw_only=True):
    """A pseudonym domain of a site. What it promises is chosen here once; the defaults are the ordinary domain."""

    name: Name
    site: Name
    suite: Suite = Suite.COMPUTED
    format: DrawnFormat | None = None
    multi: bool = False
    deletable: bool = False
    reversible: bool = True
    expiry_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] | None = None
    parent: Name | None = None
    consent: Policies = msgspec.field(default_factory=list)  # required policies: OID, number or name


class Domain(Message, frozen=True, kw_only=True):
    """A namespace in which pseudonyms are unique and unlinkable to every other."""

    name: DomainName
    uuid: Hex16
    kind: str
    site: Name | None
    study: Name | None
    recipient: Name | None
    suite: str
    key_version: int
    pseudonyms: Count
    created: str
    format: DrawnFormat | None = None
    multi: bool = False
    deletable: bool = False
    reversible: bool = True
    expiry_days: int | None = None
    parent: DomainName | None = None
    state: str = "open"
    closes: str | None = None
    consent: list[str] = msgspec.field(default_factory=list)  # OIDs of the required policies


class Domains(Message, frozen=True, kw_only=True):
    """The domains that the caller may see."""

    domains: list[Domain]
