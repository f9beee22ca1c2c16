"""`trustcenter site import`: admit the institutions of a file, of the shipped template for instance."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, json_option
from trustcenter.errors import CommandLineError, UsageError

if TYPE_CHECKING:
    from trustcenter.client import TrustCenter
    from trustcenter.messages.api import Site, SiteCreate

_COLUMNS: Final = ("name", "kind", "title", "group")


@click.command("import")
@click.argument("file", type=PATH, required=False)
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="Only the rows of this group; repeat.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this institution; repeat.")
@click.option("--dry-run", is_flag=True, help="Show what would be admitted.")
@json_option
@connect_option
def import_(
    file: Path | None,
    groups: tuple[str, ...],
    only: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Admit the institutions of a CSV file: name, kind, title, group (operator).

    Without FILE the shipped template: the sites of the consortia difuture, highmed, miracum and smith of the
    Medizininformatik-Initiative, and the six Digital Health Hubs (group hub). Those admitted already are left as they
    are, so the command can be repeated.

    Examples:
      trustcenter site import --dry-run
      trustcenter site import --group miracum
      trustcenter site import our-partners.csv
    """
    wanted = [row for row in _rows(file) if not groups or row[3] in groups]
    _require_known("--group", groups, {row[3] for row in wanted})
    _require_known("--only", only, {row[0] for row in wanted})
    sites = [_site(row, position) for position, row in enumerate(wanted) if not only or row[0] in only]
    if dry_run:
        new = call(connect, lambda center: _missing(center, sites))
        output.items(new, ("name", "kind", "title"), as_json=as_json, empty="nothing to admit")
        return

    async def job(center: TrustCenter) -> list[Site]:
        return [await center.create_site(site) for site in await _missing(center, sites)]

    made = call(connect, job)
    output.items(made, ("name", "kind", "title", "created"), as_json=as_json, empty="nothing to admit")
    output.note(f"{len(made)} admitted, {len(sites) - len(made)} were there already")


async def _missing(center: TrustCenter, sites: list[SiteCreate]) -> list[SiteCreate]:
    known = {site.name for site in await center.sites()}
    return [site for site in sites if site.name not in known]


def _rows(file: Path | None) -> list[tuple[str, ...]]:
    from trustcenter.client.jobs.csvstream import read_columns

    if file is not None:
        return read_columns(file, _COLUMNS)
    with resources.as_file(resources.files("trustcenter") / "data" / "mii-sites" / "sites.csv") as shipped:
        return read_columns(shipped, _COLUMNS)


def _require_known(option: str, given: tuple[str, ...], known: set[str]) -> None:
    if set(given) - known:
        raise CommandLineError("the file has no row of this name", where=option)


def _site(row: tuple[str, ...], position: int) -> SiteCreate:
    import msgspec

    from trustcenter.messages.api import SiteCreate

    name, kind, title, _ = row
    try:
        return msgspec.convert({"name": name, "kind": kind, "title": title or name}, SiteCreate)
    except msgspec.ValidationError:
        raise UsageError(
            "a row is no institution: a name of small letters, digits and hyphens, a kind, a title",
            code="bad_site",
            where=f"row {position + 1}",
        ) from None
