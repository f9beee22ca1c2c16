"""`trustcenter domain`: namespaces of pseudonyms."""

from __future__ import annotations

from pathlib import Path

import click

from . import output
from .options import call, connect_option, json_option

_COLUMNS = ("name", "kind", "site", "study", "key_version", "pseudonyms")
_ALL = ("name", "uuid", "kind", "site", "study", "recipient", "suite", "key_version", "pseudonyms", "created")


@click.group()
def domain() -> None:
    """Pseudonym domains."""


@domain.command("create")
@click.argument("name")
@click.option("--site", required=True, metavar="SITE", help="The site that the domain belongs to.")
@json_option
@connect_option
def create(name: str, site: str, as_json: bool, connect: Path | None) -> None:
    """Create a domain of a site (operator).

    Example:
      trustcenter domain create uk-nord-research --site uk-nord
    """
    made = call(connect, lambda center: center.create_domain(name, site))
    output.item(made, _ALL, as_json=as_json)


@domain.command("list")
@json_option
@connect_option
def list_(as_json: bool, connect: Path | None) -> None:
    """List the domains that you may see."""
    found = call(connect, lambda center: center.domains())
    output.items(found, _COLUMNS, as_json=as_json, empty="no domains yet")


@domain.command("show")
@click.argument("name")
@json_option
@connect_option
def show(name: str, as_json: bool, connect: Path | None) -> None:
    """Show one domain."""
    output.item(call(connect, lambda center: center.domain(name)), _ALL, as_json=as_json)
