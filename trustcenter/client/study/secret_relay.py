"""Whole jobs around a study secret: publish a card, compare cards, share, fetch, and see who holds it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from keys import cards, shares
from keys.cards import Card
from keys.hybrid import RecipientKey
from keys.secretfiles import StudySecret
from trustcenter.client.api import TrustCenter
from trustcenter.errors import (
    CommandLineError,
    ConflictError,
    NotFoundError,
    PolicyError,
    VerificationError,
)
from trustcenter.messages.api import secret_relay as m

from . import secret_checks
from .secret_pins import Pins


def own_name(center: TrustCenter) -> str:
    """The calling site.

    Raises:
        UsageError: a member of staff has no card.
    """
    if center.connection.site is None:
        raise CommandLineError("only a site has a card", hint="use the site's connection file")
    return center.connection.site


def plain(fingerprint: str) -> str:
    """A fingerprint as people say or type it, without what carries nothing."""
    return "".join(c for c in fingerprint if c.isalnum()).upper()


async def publish(center: TrustCenter, study: str, key: RecipientKey) -> Card:
    """Publish the own card in a study.

    Raises:
        RemoteError: the service's refusal.
    """
    card = cards.make_card(own_name(center), key)
    await center.set_card(study, card.text)
    return card


async def pin(center: TrustCenter, study: str, site: str, said: str, pins: Pins, *, replace: bool = False) -> Card:
    """Remember a member's card, if its fingerprint is the one that the member said.

    Raises:
        NotFoundError: no such member. ConflictError: it published no card, or another card was compared before.
        VerificationError: the centre's card is not the member's: somebody stands in between.
    """
    found = {card.site: card for card in (await center.member_cards(study)).cards}
    if site not in found:
        raise NotFoundError(
            "this site does not take part in the study", code="unknown_participant", hint="trustcenter study show"
        )
    text = found[site].card
    if text is None:
        raise ConflictError(
            "this member has published no card",
            code="no_card",
            hint="it does so with: trustcenter study secret card",
            where=site,
        )
    card = secret_checks.read_card(text, site)
    if plain(card.fingerprint) != plain(said):
        raise VerificationError(
            "the card at the centre is not the one that the member said",
            code="wrong_card",
            hint="ask again, by telephone; if it stays so, tell the operator, and seal nothing",
            where=site,
        )
    if pins.cards.get(site, card.fingerprint) != card.fingerprint and not replace:
        raise ConflictError(
            "another card of this member was compared before",
            code="pinned_before",
            hint="--replace, once the member has said that it made a new key",
            where=site,
        )
    pins.cards[site] = card.fingerprint
    pins.save()
    return card


async def fresh(center: TrustCenter, study: str, pins: Pins) -> StudySecret:
    """A fresh secret for the study's present version.

    Raises:
        PolicyError: another site leads. ConflictError: the version has one already.
    """
    lead = (await center.study(study)).lead
    if lead != own_name(center):
        raise PolicyError(
            "another site makes the secret of this study",
            code="not_the_lead",
            hint="trustcenter study show names the lead site; fetch the secret from it: trustcenter study secret fetch",
        )
    state = await center.secret_state(study)
    if state.shares or (study, state.version) in pins.secrets:
        raise ConflictError(
            "this version of the study has a secret already",
            code="another_secret",
            hint="name its file, or fetch it again: trustcenter study secret fetch",
        )
    return StudySecret.generate(study, state.version)


@dataclass(frozen=True)
class Shared:
    """What was shared.

    Attributes:
        state: as the centre keeps it.
        waiting: members that are not in it, because their cards were not compared or published.
    """

    state: m.ShareState
    waiting: list[str]


async def share(
    center: TrustCenter, study: str, key: RecipientKey, secret: StudySecret, pins: Pins, *, pinned_only: bool = False
) -> Shared:
    """Seal the study secret to all members whose cards were compared, and sign.

    Practices that another site sponsors are left out: they get it from that site.

    Args:
        center: as the sender.
        study: name of the study.
        key: of the sender.
        secret: of the study's present version.
        pins: of the sender.
        pinned_only: leave members out whose cards were not compared or published, instead of refusing.

    Raises:
        ConflictError: the secret is of another study or version, or the version has another one.
        PolicyError: a member's card was not compared.
        VerificationError: a member's card is not the compared one, or this site held another secret.
    """
    name = own_name(center)
    found = await center.study(study)
    if (secret.study, secret.version) != (found.name, found.version):
        raise ConflictError(
            "the study secret was made for another study or version",
            code="wrong_study_secret",
            hint="`study show` names the version; every version has a fresh secret",
        )
    pins.require_same(found.name, found.version, secret.fingerprint)
    sealed_to: list[Card] = []
    waiting: list[str] = []
    for member in (await center.member_cards(study)).cards:
        if member.site == name:
            _require_own(member.card, name, key)
        elif member.sponsor not in (None, name):
            continue  # a practice: its sponsor passes the secret on
        elif pinned_only and (member.card is None or member.site not in pins.cards):
            waiting.append(member.site)
        else:
            sealed_to.append(secret_checks.pinned_card(member.card, member.site, pins.cards))
    state = await center.secret_state(study)
    before = [one.issue for one in state.shares if one.sender == name]
    issue = max([*before, pins.issues.get((study, found.version, name), 0)], default=0) + 1
    made = shares.make_share(secret, schema=found.fingerprint, issue=issue, sender=name, key=key, cards=sealed_to)
    envelopes = [
        m.Envelope(member=to, sealed=base64.b64encode(sealed).decode()) for to, sealed in made.envelopes.items()
    ]
    body = m.SecretShare(statement=made.statement.decode(), signature=made.signature, envelopes=envelopes)
    kept = await center.share_secret(study, body)
    pins.hold(found.name, found.version, secret.fingerprint, name, issue)
    await _confirm(center, secret, name)
    return Shared(kept, waiting)


async def require_published(center: TrustCenter, study: str, key: RecipientKey) -> None:
    """Refuse a key whose card the caller has not published in the study.

    Raises:
        ConflictError: it has published none, or that of another key.
    """
    name = own_name(center)
    texts = {card.site: card.card for card in (await center.member_cards(study)).cards}
    _require_own(texts.get(name), name, key)


def _require_own(text: str | None, name: str, key: RecipientKey) -> None:
    if text != cards.make_card(name, key).text:
        raise ConflictError(
            "the card that this site published is not that of this key",
            code="no_card",
            hint="publish it: trustcenter study secret card",
            where=name,
        )


async def _confirm(center: TrustCenter, secret: StudySecret, name: str) -> None:
    body = m.Confirmation(version=secret.version, confirmation=secret.confirmation(name))
    await center.confirm_secret(secret.study, body)


async def fetch(
    center: TrustCenter,
    study: str,
    key: RecipientKey,
    pins: Pins,
    keep: Callable[[StudySecret], None],
    *,
    sender: str,
) -> StudySecret:
    """Open a member's share for this site, keep the secret, and confirm.

    Args:
        center: as the member.
        study: name of the study.
        key: of the member.
        pins: of the member.
        keep: saves the secret; called after every test and before anything is remembered or confirmed.
        sender: whose share: the lead site.

    Raises:
        NotFoundError: nothing was shared with this site.
        As `secret_checks.open_own`.
    """
    name = own_name(center)
    found = await center.study(study)
    offered = [one for one in (await center.own_secret_shares(study)).shares if one.sender == sender]
    if not offered:
        raise NotFoundError(
            "that site shared nothing with this one for the study's present version",
            code="secret_not_shared",
            hint="publish your card, say its fingerprint to the lead site, and wait until it has shared",
        )
    share_, secret = secret_checks.open_own(offered[0], study, found, sender, name, key, pins)
    keep(secret)
    pins.hold(share_.study, share_.version, secret.fingerprint, share_.sender.name, share_.issue)
    await _confirm(center, secret, name)
    return secret
