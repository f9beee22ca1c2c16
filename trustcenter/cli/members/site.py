"""`trustcenter site`: participating institutions, their tokens, certificates and limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trustcenter.cli import output
from trustcenter.cli.options import OPERATIONS, call, connect_option, json_option, text_or_file
from trustcenter.errors import CommandLineError

from . import access
from .site_import import import_

if TYPE_CHECKING:
    from trustcenter.client import TrustCenter

_KINDS = ["diz", "hospital", "practice", "rescue", "care", "rehab", "insurer", "registry"]


@click.group()
def site() -> None:
    """Participating institutions and their tokens."""


@site.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), default="hospital", show_default=True, help="Sort of institution.")
@click.option("--title", help="Name for people; the short name if not given.")
@json_option
@connect_option
def add(name: str, kind: str, title: str | None, as_json: bool, connect: Path | None) -> None:
    """Admit an institution (operator).

    Example:
      trustcenter site add uk-nord --kind hospital --title "Universitätsklinikum Nord"
    """
    from trustcenter.messages.api import SiteCreate, SiteKind

    wanted = SiteCreate(name=name, kind=SiteKind(kind), title=title or name)
    made = call(connect, lambda center: center.create_site(wanted))
    output.item(made, ("name", "kind", "title", "created"), as_json=as_json)


@site.command("list")
@json_option
@connect_option
def list_(as_json: bool, connect: Path | None) -> None:
    """List the institutions (operator)."""
    found = call(connect, lambda center: center.sites())
    output.items(found, ("name", "kind", "title", "created"), as_json=as_json, empty="no sites yet")


@site.command("token")
@click.option("--only-domain", multiple=True, metavar="DOMAIN", help="The token serves for this domain only; repeat.")
@click.option(
    "--only-operation",
    multiple=True,
    type=click.Choice(OPERATIONS),
    metavar="OPERATION",
    help="The token serves for this operation only; repeat.",
)
@access.token_options("site")
def token(**options: Any) -> None:
    """Give a site access: a token, shown once, or a whole connection file (operator).

    Operations: issue, get, translate, validate, remove, reidentify, consent, study. A token without --only-domain and
    --only-operation serves for all that the site may do; with them it never serves for more than that.

    Examples:
      trustcenter site token uk-nord -o uk-nord.toml
      trustcenter site token uk-nord --only-domain uk-nord-lab --only-operation issue -o lab-system.toml
      trustcenter site token uk-nord --list
      trustcenter site token uk-nord --revoke 0f3c5a…
    """
    access.token("site", **options)


@site.command("certificate")
@access.certificate_options("site")
def certificate(**options: Any) -> None:
    """Bind a client certificate to a site, which then needs no token (operator).

    Examples:
      trustcenter site certificate uk-nord client.pem
      trustcenter site certificate uk-nord --list
    """
    access.certificate("site", **options)


@site.command("limit")
@click.argument("name")
@click.option("--requests-per-second", type=click.FloatRange(0, 1_000_000, min_open=True), help="In the long run.")
@click.option("--new-per-day", type=click.IntRange(1), help="Newly issued pseudonyms a day (UTC).")
@click.option("--records-per-day", type=click.IntRange(1), help="Newly registered records a day (UTC).")
@click.option("--default", "reset", is_flag=True, help="Back to the limits of the configuration.")
@json_option
@connect_option
def limit(
    name: str,
    requests_per_second: float | None,
    new_per_day: int | None,
    records_per_day: int | None,
    reset: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Show the limits of a site and today's use, or give it limits of its own (operator).

    Example:
      trustcenter site limit uk-nord --requests-per-second 50 --new-per-day 200000
    """
    from trustcenter.client.parts.access import Access
    from trustcenter.messages.api import SiteLimits, SiteUsage

    given = (requests_per_second, new_per_day, records_per_day)
    if reset and any(value is not None for value in given):
        raise CommandLineError("--default goes alone")

    async def job(center: TrustCenter) -> SiteUsage:
        calls = Access(center)
        if reset:
            return await calls.set_limits(name, SiteLimits())
        now = await calls.limits(name)
        if given == (None, None, None):
            return now
        rate, new, records = given
        return await calls.set_limits(
            name,
            SiteLimits(
                requests_per_second=now.own.requests_per_second if rate is None else rate,
                new_per_day=now.own.new_per_day if new is None else new,
                records_per_day=now.own.records_per_day if records is None else records,
            ),
        )

    found = call(connect, job)
    columns = ("requests_per_second", "new_per_day", "records_per_day", "new_today", "records_today")
    output.item(found, columns, as_json=as_json)


@site.command("set-key")
@click.argument("name")
@click.option(
    "--public-key", "--public", "public", required=True, metavar="KEY|FILE", help="The site's public key, or a file."
)
@click.option("--fingerprint", required=True, metavar="TEXT", help="As the site read it aloud.")
@json_option
@connect_option
def set_key(name: str, public: str, fingerprint: str, as_json: bool, connect: Path | None) -> None:
    """Register the public key of a site (operator); translation maps are sealed to it.

    The site makes it with `recipient keygen`, and reads the fingerprint to you over another channel.

    Example:
      trustcenter site set-key uk-nord --public-key uk-nord.pub --fingerprint 7H2K-…
    """
    key = text_or_file(public, "tc-recipient-1:")
    made = call(connect, lambda center: center.set_site_key(name, key, fingerprint))
    output.item(made, ("site", "fingerprint", "created"), as_json=as_json)


site.add_command(import_)
