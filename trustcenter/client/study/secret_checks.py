"""What a member tests before it believes the centre: docs/spec/secret-relay.md, section 3, in its order."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from keys import cards, shares
from keys.cards import Card
from keys.errors import KeysError, SignatureError
from keys.hybrid import RecipientKey
from keys.secretfiles import StudySecret
from keys.shares import Share
from trustcenter.errors import ConflictError, PolicyError, VerificationError
from trustcenter.messages.api import Study
from trustcenter.messages.api import secret_relay as m

from .secret_pins import Pins


def pinned_card(text: str | None, name: str, compared: Mapping[str, str]) -> Card:
    """A member's card as the centre hands it out, if it is the one that people compared.

    Raises:
        PolicyError: nobody compared the card of this member.
        ConflictError: it has published none.
        VerificationError: it is another card than the compared one.
    """
    known = compared.get(name)
    if known is None:
        raise PolicyError(
            "the card of this member was not compared yet",
            code="member_not_pinned",
            hint="let it say its fingerprint over the telephone, then: trustcenter study secret pin",
            where=name,
        )
    if text is None:
        raise ConflictError(
            "this member has published no card",
            code="no_card",
            hint="it does so with: trustcenter study secret card",
            where=name,
        )
    card = read_card(text, name)
    if card.fingerprint != known:
        raise _exchanged(name)
    return card


def read_card(text: str, name: str) -> Card:
    """A card that signs itself and bears the name under which the centre hands it out.

    Raises:
        VerificationError: it does not.
    """
    try:
        card = cards.parse_card(text)
    except KeysError:
        raise _exchanged(name) from None
    if card.name != name:
        raise _exchanged(name)
    return card


def _exchanged(name: str) -> VerificationError:
    return VerificationError(
        "the centre hands out another card than the one that was compared",
        code="card_exchanged",
        hint="ask the member over the telephone whether it made a new key: if so, compare it and `study secret pin"
        " --replace`; if not, somebody stands between you: tell the operator and the other sites",
        where=name,
    )


def open_own(
    own: m.OwnShare, asked: str, study: Study, sender: str, name: str, key: RecipientKey, pins: Pins
) -> tuple[Share, StudySecret]:
    """The study secret of a share, after every test.

    Args:
        own: as the centre handed it out.
        asked: the study that the secret is wanted for, as the caller knows it.
        study: as the centre describes it.
        sender: whose share this site asked for.
        name: of this member.
        key: of this member.
        pins: of this member.

    Raises:
        PolicyError: the sender was not compared.
        VerificationError, KeysError: a test failed; each has its own code.
        ConflictError: it was sealed to an earlier key of this member, or for another version than the study has.
    """
    statement = own.statement.encode()
    share = shares.parse_share(statement)
    if {share.study, study.name} != {asked}:
        raise VerificationError(
            "the centre hands out a share of another study",
            code="secret_of_another_study",
            hint="tell the lead site and the operator; nothing was kept",
        )
    mine = cards.make_card(name, key).fingerprint
    card = _sender(own, share, sender, {**pins.cards, name: mine})
    try:
        shares.verify_share(statement, own.signature, card)
    except SignatureError:
        raise VerificationError(
            "the share is not signed by the member that it names as its sender",
            code="share_not_from_sender",
            hint="somebody at the centre or on the way made or changed it; tell the sender; nothing was kept",
            where=share.sender.name,
        ) from None
    _version(share, study, pins)
    party = share.member(name)
    if party is None or party.card != mine:
        raise ConflictError(
            "the share is sealed to another card of this site than that of this key",
            code="sealed_to_another_card",
            hint="name the other key file; or publish your card, let the lead site compare it, and share again",
        )
    secret = shares.open_share(share, name, key, base64.b64decode(own.sealed))
    pins.require_same(share.study, share.version, secret.fingerprint)
    return share, secret


def _sender(own: m.OwnShare, share: Share, name: str, compared: Mapping[str, str]) -> Card:
    if name not in compared:
        raise PolicyError(
            "the card of the sender was not compared, so nothing it seals is believed",
            code="sender_not_pinned",
            hint="let it say its fingerprint over the telephone, then: trustcenter study secret pin",
            where=name,
        )
    card = pinned_card(own.card, name, compared)
    if (share.sender.name, share.sender.card) != (name, card.fingerprint):
        raise VerificationError(
            "the share was made with another key than the one that was compared with its sender",
            code="card_exchanged",
            hint="let the sender share again with its present key",
            where=name,
        )
    return card


def _version(share: Share, study: Study, pins: Pins) -> None:
    if share.version < pins.newest(share.study):
        raise VerificationError(
            "this is the secret of an older version than this site has already",
            code="secret_version_over",
            hint="somebody hands out an old share again; tell the lead site; nothing was kept",
        )
    if share.version != study.version:
        raise VerificationError(
            "the share is for another version than the study has",
            code="secret_of_another_version",
            hint="the secret of an earlier version does not open for a new one; the lead site shares a new secret",
        )
    if share.schema != study.fingerprint:
        raise VerificationError(
            "the share was made for another schema than the study has",
            code="secret_for_another_schema",
            hint="compare the schema's fingerprint in `study show` with the lead site",
        )
    if share.issue < pins.issues.get((share.study, share.version, share.sender.name), 0):
        raise VerificationError(
            "the centre hands out an older share than this site has seen",
            code="share_replayed",
            hint="somebody hands out an old share again; tell the lead site; nothing was kept",
        )
