"""Limits of sites, certificates of clients, tokens of staff."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from trustcenter.messages.common import Count, Hex32, Message, Name, Positive

Rate = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]


class Operation(StrEnum):
    """What is granted: a site holds all of them on its own domains, and those it was given on others'."""

    ISSUE = "issue"  # create-or-get, additional, import
    GET = "get"  # look up only
    TRANSLATE = "translate"  # old to current, and into another domain
    VALIDATE = "validate"
    REMOVE = "remove"  # anonymise, delete
    REIDENTIFY = "reidentify"  # request and fetch originals; the approval of another person is needed besides
    CONSENT = "consent"
    STUDY = "study"  # everything in studies


class GrantSet(Message, frozen=True, kw_only=True):
    """All operations on a domain that were granted to a site which does not own it."""

    site: Name
    operations: list[Operation]


class Grants(Message, frozen=True, kw_only=True):
    """Everybody who was granted something on a domain."""

    grants: list[GrantSet]


class SiteLimits(Message, frozen=True, kw_only=True):
    """Limits that hold for one site. Null: the limit of the configuration."""

    requests_per_second: Rate | None = None
    new_per_day: Positive | None = None
    records_per_day: Positive | None = None


class SiteUsage(Message, frozen=True, kw_only=True):
    """The limits that hold for a site now, which of them are its own, and what it has used today (UTC)."""

    requests_per_second: float
    new_per_day: Count
    records_per_day: Count
    own: SiteLimits
    new_today: Count
    records_today: Count


class CertificateBind(Message, frozen=True, kw_only=True):
    """A client's certificate as PEM text: exactly one, without its key."""

    certificate: Annotated[str, msgspec.Meta(max_length=16_384)]


class Certificate(Message, frozen=True, kw_only=True):
    """A bound certificate, named by the SHA-256 fingerprint of its DER bytes."""

    fingerprint: Hex32
    created: str
    expires: str
    revoked: str | None


class Certificates(Message, frozen=True, kw_only=True):
    """The certificates of a site or person."""

    certificates: list[Certificate]
