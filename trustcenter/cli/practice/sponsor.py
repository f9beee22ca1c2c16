"""`trustcenter practice allow|invite|list|admit|revoke`: what operator and sponsor do."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, json_option, key_options, output_option

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
@key_options
@output_option("The invitation. Hand it over by a safe way that is not the trust center.")
@connect_option
def invite(
    study: str,
    site: str,
    title: str | None,
    kind: str,
    days: int,
    not_deduplicated: bool,
    key_file: Path,
    passphrase_file: Path | None,
    target: Path,
    connect: Path | None,
) -> None:
    """Make an invitation for the practice SITE, with a one-time code (sponsor).

    The invitation holds the fingerprint of the sponsor's card (`study secret card`), so that the practice believes
    nobody else. Given again for a practice that enrolled before, it mends a lost computer: the old access ends when the
    new code is used.

    Example:
      trustcenter practice invite herz-1 praxis-am-markt --key own.key -o praxis-am-markt.invitation
    """
    from trustcenter.cli.secret_input import recipient_key
    from trustcenter.client.files import require_writable
    from trustcenter.client.practice import home, work
    from trustcenter.client.study.secret_pins import Pins, beside
    from trustcenter.messages.api.enrolment import EnrolmentCreate

    require_writable(target)
    key, pins = recipient_key(key_file, passphrase_file), Pins.load(beside(key_file))
    wanted = EnrolmentCreate(
        site=site,
        title=title or site,
        kind=kind,  # type: ignore[arg-type]
        deduplicated=not not_deduplicated,
        days=days,
    )
    made = call(connect, lambda center: work.invite(center, study, wanted, key, pins))
    home.save_invitation(target, made)
    output.note(f"the code works once, within {days} days; delete your copy when it is handed over")


@click.command("list")
@click.argument("study")
@json_option
@connect_option
def list_(study: str, as_json: bool, connect: Path | None) -> None:
    """List invitations and practices of a study (sponsor: its own; operator: all)."""
    found = call(connect, lambda center: center.enrolments(study))
    if as_json:
        output.data(found)
        return
    newest = {e.site: e.created for e in sorted(found, key=lambda e: e.created) if e.state == "used"}
    output.table(
        (
            (e.site, e.sponsor, "replaced" if e.created < newest.get(e.site, "") else e.state, e.expires[:10], e.sealed)
            for e in found
        ),
        ("practice", "sponsor", "code", "valid until", "has the secret"),
        empty="no invitations yet",
    )


@click.command()
@click.argument("study")
@click.argument("site")
@click.option("--fingerprint", required=True, metavar="TEXT", help="Of the practice's card, as the practice said it.")
@click.option("--study-secret", type=PATH, required=True, metavar="FILE", help="The secret that the sites share.")
@key_options
@connect_option
def admit(
    study: str,
    site: str,
    fingerprint: str,
    study_secret: Path,
    key_file: Path,
    passphrase_file: Path | None,
    connect: Path | None,
) -> None:
    r"""Share the study secret with the practice SITE, sealed to it (sponsor).

    The practice says the fingerprint of its card over the telephone: the centre hands out cards, and could exchange
    them. A new version of the study needs no second admission: `study secret share` reaches the practices too.

    Example:
      trustcenter practice admit herz-1 praxis --fingerprint 4J2J-LU58-RLV8-7JVN-YHRA \
        --study-secret study.secret --key own.key
    """
    from keys.secretfiles import StudySecret
    from trustcenter.cli.secret_input import recipient_key
    from trustcenter.client.practice import work
    from trustcenter.client.study.secret_pins import Pins, beside

    secret = StudySecret.load(study_secret)
    key, pins = recipient_key(key_file, passphrase_file), Pins.load(beside(key_file))
    call(connect, lambda center: work.admit(center, study, site, fingerprint, key, secret, pins))
    output.note("the practice can send now")


@click.command()
@click.argument("study")
@click.argument("site")
@connect_option
def revoke(study: str, site: str, connect: Path | None) -> None:
    """Make every code of the practice SITE worthless, and end the access of one that used it (sponsor, operator)."""
    from trustcenter.client.practice import work

    call(connect, lambda center: work.turn_out(center, study, site))
    output.note("revoked")
