"""Whole jobs of a practice and of its sponsor: invite, enrol, admit, send, results.

The study secret is on the practice's computer only inside `send`, in memory. Nothing about a patient is written.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from keys import hybrid
from keys.hybrid import RecipientKey
from keys.secretfiles import SiteKey, StudySecret
from trustcenter.client import site as sites
from trustcenter.client import study_results
from trustcenter.client.api import TrustCenter
from trustcenter.client.connection import Connection
from trustcenter.errors import ConflictError, NotFoundError, VerificationError
from trustcenter.messages.api import enrolment as m

from .home import Home, Invitation, Membership

if TYPE_CHECKING:
    from linkage.tables import Table

_LABEL = "trustcenter/practice-secret/1"


def info(study: str, version: int, sponsor: str, site: str) -> bytes:
    """The context that a sealed study secret is bound to."""
    return "\0".join((_LABEL, study, str(version), sponsor, site)).encode()


async def invite(center: TrustCenter, study: str, body: m.EnrolmentCreate, secret: StudySecret) -> Invitation:
    """Make the invitation of a practice (sponsor).

    Raises:
        ConflictError: the secret is of another study or version.
        RemoteError: the service's refusal.
    """
    found = await center.study(study)
    _require_secret(secret, found.name, found.version)
    made = await center.create_enrolment(study, body)
    own = center.connection
    return Invitation(
        url=own.url,
        ca=own.ca,
        study=study,
        site=made.site,
        sponsor=own.caller,
        code=made.code,
        secret_fingerprint=secret.fingerprint,
    )


def _require_secret(secret: StudySecret, study: str, version: int) -> None:
    if (secret.study, secret.version) != (study, version):
        raise ConflictError("the study secret was made for another study or version", code="wrong_study_secret")


async def enrol(invitation: Invitation, home: Home) -> str:
    """Redeem an invitation: keys are made, the token is kept; returns the fingerprint of the practice's key.

    Keys that are there already stay: with a second invitation the practice keeps its record numbers.

    Raises:
        RemoteError: the code is not valid.
        KeysError: a key file is damaged.
    """
    home.folder.mkdir(mode=0o700, exist_ok=True)
    if not home.key.exists():
        RecipientKey.generate().save(home.key)
    if not home.site_key.exists():
        SiteKey.generate().save(home.site_key)
    key = RecipientKey.load(home.key)
    # The route takes no credential; a connection cannot be without one.
    asking = Connection(url=invitation.url, ca=invitation.ca, site=invitation.site, token="enrolling")  # noqa: S106
    async with TrustCenter(asking) as center:
        got = await center.redeem_enrolment(m.EnrolmentRedeem(code=invitation.code, public_key=key.public))
    home.save(
        Connection(url=invitation.url, ca=invitation.ca, site=got.site, token=got.token),
        Membership(
            study=got.study,
            site=got.site,
            sponsor=invitation.sponsor,
            secret_fingerprint=invitation.secret_fingerprint,
        ),
    )
    return key.fingerprint


async def find(center: TrustCenter, study: str, site: str) -> m.Enrolment:
    """The latest enrolment of a practice that is not revoked.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    found = [e for e in await center.enrolments(study) if e.site == site and e.state != "revoked"]
    if not found:
        raise NotFoundError("there is no such enrolment", code="unknown_enrolment", hint="trustcenter practice list")
    return found[-1]


async def admit(center: TrustCenter, study: str, site: str, said: str, secret: StudySecret) -> None:
    """Seal the study secret to a practice (sponsor).

    Args:
        center: as the sponsor.
        study: name of the study.
        site: name of the practice.
        said: fingerprint of the practice's key, as the practice said it.
        secret: of the study.

    Raises:
        ConflictError: the practice has not enrolled, or the secret is of another study or version.
        VerificationError: the service's key is not the practice's: somebody stands in between.
    """
    found = await center.study(study)
    _require_secret(secret, found.name, found.version)
    enrolment = await find(center, study, site)
    if enrolment.public_key is None:
        raise ConflictError("the practice has not used its code yet", code="not_enrolled")
    if _plain(hybrid.fingerprint(enrolment.public_key)) != _plain(said):
        raise VerificationError(
            "the key at the centre is not the one that the practice said",
            code="wrong_practice_key",
            hint="ask the practice again, by telephone; if it stays so, tell the operator, and seal nothing",
        )
    bound = info(study, found.version, center.connection.caller, site)
    sealed = hybrid.seal(enrolment.public_key, secret.dumps(), bound)
    body = m.SealedSecret(sealed=base64.b64encode(sealed).decode())
    await center.seal_secret(study, enrolment.enrolment, body)


def _plain(fingerprint: str) -> str:
    return "".join(c for c in fingerprint if c.isalnum()).upper()


async def _open_secret(center: TrustCenter, home: Home, membership: Membership) -> StudySecret:
    own = await center.own_secret(membership.study)
    if own.sealed is None:
        raise ConflictError(
            "the sponsor has not sealed the study secret to this practice yet",
            code="not_admitted",
            hint="tell it the fingerprint of your key: trustcenter practice show",
        )
    bound = info(membership.study, own.version, membership.sponsor, membership.site)
    secret = StudySecret.loads(RecipientKey.load(home.key).open(base64.b64decode(own.sealed), bound))
    if _plain(secret.fingerprint) != _plain(membership.secret_fingerprint):
        raise VerificationError(
            "this is not the study secret that your sponsor named in the invitation",
            code="wrong_study_secret",
            hint="send nothing; tell your sponsoring site",
        )
    return secret


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


async def results(center: TrustCenter, home: Home, ids: list[str]) -> list[study_results.Row]:
    """(id, result) of every own patient that is registered."""
    return await study_results.fetch(center, home.membership().study, ids, SiteKey.load(home.site_key).material)


def key_fingerprint(home: Path) -> str:
    """What the practice says to its sponsor."""
    return RecipientKey.load(Home(home).key).fingerprint
