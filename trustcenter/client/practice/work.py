"""Whole jobs of a practice and of its sponsor: invite, enrol, admit, send, results.

The study secret comes from the sponsor as it goes between sites: docs/spec/secret-relay.md.
The study secret is on the practice's computer only inside `send`, in memory. Nothing about a patient is written.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from keys.cards import make_card
from keys.hybrid import RecipientKey
from keys.secretfiles import SiteKey, StudySecret
from trustcenter.client import site as sites
from trustcenter.client.api import TrustCenter
from trustcenter.client.connection import Connection, RowsConnection
from trustcenter.client.study import secret_relay, study_results
from trustcenter.client.study.secret_pins import Pins, beside
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.messages.api import enrolment as m

from .home import Home, Invitation, Membership

if TYPE_CHECKING:
    from linkage.tables import Table


async def invite(center: TrustCenter, study: str, body: m.EnrolmentCreate, key: RecipientKey, pins: Pins) -> Invitation:
    """Make the invitation of a practice (sponsor). It says how the practice knows what the sponsor signs.

    A card of the practice that was compared before is forgotten: it may come in with a new key.

    Raises:
        ConflictError: the sponsor has not published the card of this key.
        RemoteError: the service's refusal.
    """
    name = secret_relay.own_name(center)
    await secret_relay.require_published(center, study, key)
    made = await center.create_enrolment(study, body)
    rows = {}
    if (apart := center.connection.comparator) is not None:
        code = (await center.create_rows_enrolment(study, body)).code
        rows = {"rows_url": apart.url, "rows_ca": apart.ca, "rows_code": code}
    if pins.cards.pop(made.site, None) is not None:
        pins.save()
    own = center.connection
    return Invitation(
        url=own.url,
        ca=own.ca,
        study=study,
        site=made.site,
        sponsor=name,
        code=made.code,
        sponsor_card=make_card(name, key).fingerprint,
        **rows,
    )


async def enrol(invitation: Invitation, home: Home) -> str:
    """Redeem an invitation: keys are made, the token is kept; returns the fingerprint of the practice's card.

    Keys that are there already stay: with a second invitation the practice keeps its record numbers. Where the rooms
    are apart there are two codes; given up between them, the same invitation is redeemed again.

    Raises:
        RemoteError: the code is not valid.
        KeysError: a key file is damaged.
    """
    home.folder.mkdir(mode=0o700, exist_ok=True)
    if not home.key.exists():
        RecipientKey.generate().save(home.key)
    if not home.site_key.exists():
        SiteKey.generate().save(home.site_key)
    card = make_card(invitation.site, RecipientKey.load(home.key))
    pins = Pins.load(beside(home.key))
    pins.cards[invitation.sponsor] = invitation.sponsor_card
    pins.save()
    digest = hashlib.sha256(invitation.code.encode()).hexdigest()
    if home.redeemed() != digest:
        async with TrustCenter(_asking(invitation.url, invitation.ca, invitation.site)) as center:
            got = await center.redeem_enrolment(m.EnrolmentRedeem(code=invitation.code, card=card.text))
        home.save(
            Connection(url=invitation.url, ca=invitation.ca, site=got.site, token=got.token),
            Membership(study=got.study, site=got.site, sponsor=invitation.sponsor, redeemed=digest),
        )
    if invitation.rows_code:
        # After the registrar's: what that tells the comparator of an earlier access ends no new one.
        async with TrustCenter(_asking(invitation.rows_url, invitation.rows_ca, invitation.site)) as center:
            rows = await center.redeem_rows_enrolment(m.RowsRedeem(code=invitation.rows_code))
        there = RowsConnection(url=invitation.rows_url, ca=invitation.rows_ca, site=rows.site, token=rows.token)
        whole = msgspec.structs.replace(Connection.load(home.connection), comparator=there)
        whole.save(home.connection, force=True)
    return card.fingerprint


def _asking(url: str, ca: str, site: str) -> Connection:
    """The route takes no credential; a connection cannot be without one."""
    return Connection(url=url, ca=ca, site=site, token="enrolling")  # noqa: S106


async def find(center: TrustCenter, study: str, site: str) -> list[m.Enrolment]:
    """The enrolments of a practice that are not revoked, oldest first: at least one.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    found = [e for e in await center.enrolments(study) if e.site == site and e.state != "revoked"]
    if not found:
        raise NotFoundError("there is no such enrolment", code="unknown_enrolment", hint="trustcenter practice list")
    return found


async def turn_out(center: TrustCenter, study: str, site: str) -> None:
    """End the access of a practice and all its invitations: one that waits would let it in again (sponsor, operator).

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    for enrolment in reversed(await find(center, study, site)):
        await center.revoke_enrolment(study, enrolment.enrolment)


async def admit(
    center: TrustCenter, study: str, site: str, said: str, key: RecipientKey, secret: StudySecret, pins: Pins
) -> None:
    """Compare the card of a practice with what it said, and share the study secret with it (sponsor).

    Args:
        center: as the sponsor.
        study: name of the study.
        site: name of the practice.
        said: fingerprint of the practice's card, as the practice said it.
        key: of the sponsor.
        secret: of the study's present version.
        pins: of the sponsor.

    Raises:
        ConflictError: the practice has not enrolled, or the secret is of another study or version.
        VerificationError: the service's card is not the practice's: somebody stands in between.
    """
    if all(enrolment.card is None for enrolment in await find(center, study, site)):
        raise ConflictError(
            "the practice has not used its code yet",
            code="not_enrolled",
            hint="it redeems its code first: trustcenter practice enrol",
        )
    # A practice that came in anew has a new key: what it says now holds.
    await secret_relay.pin(center, study, site, said, pins, replace=True)
    await secret_relay.share(center, study, key, secret, pins, pinned_only=True)


async def _open_secret(center: TrustCenter, home: Home, membership: Membership) -> StudySecret:
    key, pins = RecipientKey.load(home.key), Pins.load(beside(home.key))
    try:
        # Nothing keeps it: it is in memory for one run.
        return await secret_relay.fetch(center, membership.study, key, pins, lambda _: None, sender=membership.sponsor)
    except NotFoundError as error:
        if error.code != "secret_not_shared":
            raise
        raise ConflictError(
            "the sponsor has not shared the study secret with this practice yet",
            code="not_admitted",
            hint="say the fingerprint of your card to it: trustcenter practice show",
        ) from None


async def send(
    center: TrustCenter,
    home: Home,
    table: Table,
    progress: sites.Progress | None = None,
    *,
    require_separation: str = "none",
) -> sites.Uploaded:
    """Encode a practice's patients here, register them and send their rows. Interrupted, it is given again.

    Raises:
        ConflictError: not admitted yet, or another schema.
        VerificationError: a study secret that is not the sponsor's.
        PolicyError: fewer new records than the study's minimum.
    """
    from linkage.encode import Secrets
    from linkage.schema import load

    membership = home.membership()
    study = await center.study(membership.study)
    schema = load(study.schema)
    secret = await _open_secret(center, home, membership)
    secrets = Secrets(secret.material, SiteKey.load(home.site_key).material, secret.study, secret.version)
    sites.check_study(
        study,
        schema,
        secret_study=secret.study,
        secret_version=secret.version,
        site=membership.site,
        require_separation=require_separation,
        deduplicated=True,
    )
    return await sites.upload(center, study, schema, table, secrets, progress)


def noticed(table: Table) -> Counter[str]:
    """What normalisation notices in an export, as counts, whatever of its fields the study's schema takes."""
    from linkage.normalise import prepare
    from linkage.schema import load

    schema = load("de-person/4")
    return Counter(prepare(schema, table.select(schema.columns)).warnings)


async def results(center: TrustCenter, home: Home, ids: list[str]) -> list[study_results.Row]:
    """(id, result) of every own patient that is registered."""
    return await study_results.fetch(center, home.membership().study, ids, SiteKey.load(home.site_key).material)


def card_fingerprint(home: Home) -> str:
    """What the practice says to its sponsor."""
    return make_card(home.membership().site, RecipientKey.load(home.key)).fingerprint
