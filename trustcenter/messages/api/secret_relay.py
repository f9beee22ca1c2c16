"""The relay of study secrets: cards of members, shares sealed to them, confirmations. docs/spec/secret-relay.md."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trustcenter.messages.common import Count, Hex32, Message, Name, Positive

CardText = Annotated[str, msgspec.Meta(max_length=4000)]
Sealed = Annotated[str, msgspec.Meta(max_length=16_000, pattern="^[A-Za-z0-9+/]+={0,2}$")]
Statement = Annotated[str, msgspec.Meta(min_length=1, max_length=2**20)]
Signature = Annotated[str, msgspec.Meta(min_length=86, max_length=86)]


class CardSet(Message, frozen=True, kw_only=True):
    """The caller's own card, "tc-card-1:…"."""

    card: CardText


class MemberCard(Message, frozen=True, kw_only=True):
    """A member of a study, and the card it published; none before it did.

    `sponsor` is the site that enrolled a practice and passes the secret on to it.
    """

    site: Name
    sponsor: Name | None = None
    card: CardText | None
    created: str | None


class MemberCards(Message, frozen=True, kw_only=True):
    """The cards of a study's present members, by name."""

    study: Name
    version: Count
    cards: list[MemberCard]


class Envelope(Message, frozen=True, kw_only=True):
    """The study secret, sealed to a member; base64."""

    member: Name
    sealed: Sealed


class SecretShare(Message, frozen=True, kw_only=True):
    """A study secret, sealed to members and signed by the caller."""

    statement: Statement
    signature: Signature
    envelopes: Annotated[list[Envelope], msgspec.Meta(min_length=1, max_length=5000)]


class OwnShare(Message, frozen=True, kw_only=True):
    """A share in which the caller is a member: its sealed message, and the card that its sender published."""

    sender: Name
    statement: Statement
    signature: Signature
    sealed: Sealed
    card: CardText | None


class OwnShares(Message, frozen=True, kw_only=True):
    """Shares of the study's present version for the caller, by sender."""

    study: Name
    version: Count
    shares: list[OwnShare]


class ShareState(Message, frozen=True, kw_only=True):
    """A share as all members may see it: from whom, of which secret (its fingerprint), to whom."""

    sender: Name
    issue: Positive
    secret: str
    created: str
    members: list[Name]


class Confirmation(Message, frozen=True, kw_only=True):
    """Proof that the caller holds the secret of a study version; only who holds it too can test it."""

    version: Positive
    confirmation: Hex32


class MemberConfirmation(Message, frozen=True, kw_only=True):
    """What a member sent as its proof."""

    site: Name
    confirmation: Hex32
    created: str


class SecretState(Message, frozen=True, kw_only=True):
    """How far the secret of a study's present version has come."""

    study: Name
    version: Count
    members: list[Name]
    shares: list[ShareState]
    confirmations: list[MemberConfirmation]
