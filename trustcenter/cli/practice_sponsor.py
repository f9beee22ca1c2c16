"""`trustcenter practice allow|invite|list|admit|revoke`: what operator and sponsor do."""

from __future__ import annotations

from pathlib import Path

import click

from . import output
from .options import PATH, call, connect_option, json_option, output_option

_KINDS = ["practice", "rescue", "care", "rehab", "insurer"]


@click.command()
@click.argument("study")
@click.argument("site")
@click.argument("practices", type=click.IntRange(0, 100_000))
@connect_option
def allow(study: str, site: str, practices: int, connect: Path | None) -> None:
    """Let SITE enrol up to PRACTICES practices in a study; 0 takes that back (operator).

    Example:
      trustcenter practice allow herz-1 uk-nord 40
    """
    from trustcenter.messages.api.enrolment import Sponsor

    call(connect, lambda center: center.allow_sponsor(study, Sponsor(site=site, practices=practices)))
    output.note(f"{practices} practices")


@click.command()
@click.argument("study")
@click.argument("site")
@click.option("--title", help="Name for people; the short name if not given.")
@click.option("--kind", type=click.Choice(_KINDS), default="practice", show_default=True, help="Sort of institution.")
@click.option("--days", type=click.IntRange(1, 60), default=14, show_default=True, help="How long the code is valid.")
@click.option("--not-deduplicated", is_flag=True, help="The practice may hold a patient twice.")
@click.option("--study-secret", type=PATH, required=True, metavar="FILE", help="The secret that the sites share.")
@output_option("The invitation. Hand it over by a safe way that is not the trust center.")
@connect_option
def invite(
    study: str,
    site: str,
    title: str | None,
    kind: str,
    days: int,
    not_deduplicated: bool,
    study_secret: Path,
    target: Path,
    connect: Path | None,
) -> None:
    """Make an invitation for the practice SITE, with a one-time code (sponsor).

    The study secret stays here; the invitation holds its fingerprint. Given again for a practice that enrolled before,
    it mends a lost computer: the old access ends when the new code is used.

    Example:
      trustcenter practice invite herz-1 praxis-am-markt --study-secret study.secret -o praxis-am-markt.invitation
    """
    from keys.secretfiles import StudySecret
    from trustcenter.client.files import require_writable
    from trustcenter.client.practice import home, work
    from trustcenter.messages.api.enrolment import EnrolmentCreate

    require_writable(target)
    secret = StudySecret.load(study_secret)
    wanted = EnrolmentCreate(
        site=site,
        title=title or site,
        kind=kind,  # type: ignore[arg-type]
        deduplicated=not not_deduplicated,
        days=days,
    )
    made = call(connect, lambda center: work.invite(center, study, wanted, secret))
    home.save_invitation(target, made)
    output.note(f"the code works once, within {days} days; delete your copy when it is handed over")


@click.command("list")
@click.argument("study")
@json_option
@connect_option
def list_(study: str, as_json: bool, connect: Path | None) -> None:
    """List invitations and practices of a study (sponsor: its own; operator: all)."""
    found = call(connect, lambda center: center.enrolments(study))
    output.items(found, ("site", "sponsor", "state", "expires", "sealed"), as_json=as_json, empty="no invitations yet")


@click.command()
@click.argument("study")
@click.argument("site")
@click.option("--fingerprint", required=True, metavar="TEXT", help="Of the practice's key, as the practice said it.")
@click.option("--study-secret", type=PATH, required=True, metavar="FILE", help="The secret that the sites share.")
@connect_option
def admit(study: str, site: str, fingerprint: str, study_secret: Path, connect: Path | None) -> None:
    """Seal the study secret to the practice SITE (sponsor).

    The practice says the fingerprint of its key over the telephone: the centre hands out keys, and could exchange them.

    Example:
      trustcenter practice admit herz-1 praxis --fingerprint 4J2J-LU58-RLV8-7JVN-YHRA --study-secret study.secret
    """
    from keys.secretfiles import StudySecret
    from trustcenter.client.practice import work

    secret = StudySecret.load(study_secret)
    call(connect, lambda center: work.admit(center, study, site, fingerprint, secret))
    output.note("the practice can send now")


@click.command()
@click.argument("study")
@click.argument("site")
@connect_option
def revoke(study: str, site: str, connect: Path | None) -> None:
    """Make the code of the practice SITE worthless, or end the access of one that used it (sponsor, operator)."""
    from trustcenter.client import TrustCenter
    from trustcenter.client.practice import work

    async def job(center: TrustCenter) -> None:
        found = await work.find(center, study, site)
        await center.revoke_enrolment(study, found.enrolment)

    call(connect, job)
    output.note("revoked")
