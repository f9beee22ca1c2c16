"""`trustcenter site`: participating institutions and their tokens."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.errors import UsageError_

from . import output
from .options import PATH, call, connect_option, connection, force_option, json_option

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
@click.argument("name")
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", help="Write the site's connection file.")
@click.option("--expires-days", type=click.IntRange(1, 730), default=365, show_default=True, help="Life of the token.")
@click.option("--list", "listing", is_flag=True, help="List the site's tokens instead.")
@click.option("--revoke", metavar="ID", help="Make a token worthless instead.")
@force_option
@json_option
@connect_option
def token(
    name: str,
    target: Path | None,
    expires_days: int,
    listing: bool,
    revoke: str | None,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Give a site access: a token, shown once, or a whole connection file (operator).

    Examples:
      trustcenter site token uk-nord -o uk-nord.toml
      trustcenter site token uk-nord --list
      trustcenter site token uk-nord --revoke 0f3c5a…
    """
    if revoke is not None:
        if listing or target is not None:
            raise UsageError_("--revoke goes alone")
        call(connect, lambda center: center.revoke_token(name, revoke))
        output.note("revoked")
        return
    if listing:
        found = call(connect, lambda center: center.tokens(name))
        output.items(found, ("token_id", "created", "expires", "revoked"), as_json=as_json, empty="no tokens yet")
        return
    if target is not None:
        from trustcenter.client.files import require_writable

        require_writable(target, force=force)  # before the token exists: it is shown once only
    made = call(connect, lambda center: center.create_token(name, expires_days))
    if target is not None:
        own = connection(connect)
        type(own)(url=own.url, ca=own.ca, token=made.token, site=name).save(target, force=force)
        output.note("wrote the connection file; hand it over by a safe route, then delete your copy")
    elif as_json:
        output.data(made)
    else:
        click.echo(made.token)
        output.note(f"token {made.token_id}, valid until {made.expires}; it is not shown again")
