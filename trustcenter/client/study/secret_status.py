"""Who has a card, whose was compared, to whom a study secret was sealed, and who holds it."""

from __future__ import annotations

from dataclasses import dataclass

from keys.secretfiles import StudySecret
from trustcenter.client.api import TrustCenter
from trustcenter.errors import ConflictError, PolicyError, VerificationError

from . import secret_checks
from .secret_pins import Pins


@dataclass(frozen=True)
class MemberStatus:
    """One member of a study, as this site sees it.

    Attributes:
        site: name.
        card: fingerprint of its card as the centre hands it out, or None.
        compared: "yes", "no", or "exchanged": the centre hands out another one than the compared.
        sealed_by: whose shares have a sealed message for it.
        holds: "yes", "no", "another" (its confirmation is not of this secret), or "said" (not tested: no secret here).
    """

    site: str
    card: str | None
    compared: str
    sealed_by: list[str]
    holds: str


@dataclass(frozen=True)
class Status:
    """How far a study secret has come."""

    study: str
    version: int
    fingerprints: list[str]
    members: list[MemberStatus]
    former: list[str]


async def status(center: TrustCenter, study: str, pins: Pins, secret: StudySecret | None) -> Status:
    """Who has a card, whose card was compared, to whom was sealed, and who holds the secret.

    Args:
        center: as a member, or an operator.
        study: name of the study.
        pins: of the caller.
        secret: with it, confirmations are tested.

    Raises:
        ConflictError: the secret is of another study or version.
    """
    state = await center.secret_state(study)
    if secret is not None and (secret.study, secret.version) != (study, state.version):
        raise ConflictError(
            "the study secret was made for another study or version",
            code="wrong_study_secret",
            hint="the secret of an earlier version confirms nothing; share or fetch that of the present one",
        )
    texts = {card.site: card.card for card in (await center.member_cards(study)).cards}
    said = {one.site: one.confirmation for one in state.confirmations}
    own = center.connection.site
    members = [
        MemberStatus(
            site=site,
            card=_fingerprint(texts.get(site), site),
            compared="own" if site == own else _compared(texts.get(site), site, pins),
            sealed_by=[share_.sender for share_ in state.shares if site in share_.members],
            holds=_holds(said.get(site), secret, site),
        )
        for site in state.members
    ]
    given = {site for share_ in state.shares for site in share_.members}
    return Status(
        study=study,
        version=state.version,
        fingerprints=sorted({share_.secret for share_ in state.shares}),
        members=members,
        former=sorted(given - set(state.members)),
    )


def _fingerprint(text: str | None, site: str) -> str | None:
    return None if text is None else secret_checks.read_card(text, site).fingerprint


def _compared(text: str | None, site: str, pins: Pins) -> str:
    if site not in pins.cards:
        return "no"
    try:
        secret_checks.pinned_card(text, site, pins.cards)
    except (VerificationError, ConflictError, PolicyError):
        return "exchanged"
    return "yes"


def _holds(said: str | None, secret: StudySecret | None, site: str) -> str:
    if said is None:
        return "no"
    if secret is None:
        return "said"
    return "yes" if said == secret.confirmation(site) else "another"
