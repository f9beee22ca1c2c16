"""`trustcenter reidentify`: a site requests, an approver signs or denies, the site fetches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import (
    PATH,
    approval_options,
    call,
    connect_option,
    force_option,
    json_option,
    output_option,
    separator,
)
from trustcenter.errors import CommandLineError

from . import tabular

if TYPE_CHECKING:
    from trustcenter.client.jobs.sources import Selection
    from trustcenter.messages.api import Reidentification

_ONE = (
    "reidentification", "domain", "site", "reason", "pseudonyms", "state", "approvals", "required", "expires",
    "fetches_left", "denied_by", "denial", "created",
)  # fmt: skip
_LIST = ("reidentification", "domain", "site", "pseudonyms", "state", "expires", "reason")
_OPEN = ("requested", "approved")
_COLUMN = click.option("--column", metavar="COLUMN", help="Column with the pseudonyms, of a CSV or Parquet file.")


@click.group()
def reidentify() -> None:
    """Originals of pseudonyms, under dual control.

    A site requests, an approver signs, the site fetches. Every original that leaves has an entry in the log.
    """


@reidentify.command()
@click.argument("source", metavar="INPUT", type=PATH)
@_COLUMN
@click.option("--domain", required=True, metavar="DOMAIN", help="Domain of the pseudonyms.")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the approvers. Name the case, never a person.")
@click.option(
    "--valid-hours",
    type=click.IntRange(1, 168),
    default=24,
    show_default=True,
    metavar="N",
    help="Life of the ticket once it is signed.",
)
@tabular.csv_options
@tabular.fhir_options
@json_option
@connect_option
def request(
    source: Path,
    column: str | None,
    domain: str,
    reason: str,
    valid_hours: int,
    as_json: bool,
    connect: Path | None,
    **options: Any,
) -> None:
    """Request the originals of the pseudonyms in a file (site).

    INPUT is a CSV file with a header, a Parquet file, or, with --fhir, resources. Every row must hold a live
    pseudonym of the domain; of resources, all that are in the domain.

    Examples:
      trustcenter reidentify request findings.csv --column psn --domain uk-nord --reason "incidental finding, EC 7/26"
      trustcenter reidentify request out.ndjson --fhir --domain uk-nord --reason "incidental finding, EC 7/26"
    """
    from trustcenter.client.reidentify import request_file

    selection = _selection(source, column, None, **options)
    made = tabular.with_failed(
        lambda: call(connect, lambda center: request_file(center, domain, selection, reason, valid_hours=valid_hours)),
        "line" if column is None else "row",
    )
    _show(made, as_json)
    output.note(
        f"an approver signs it next: trustcenter reidentify approve {made.reidentification} --personal-key FILE"
    )


@reidentify.command("list")
@click.option("--all", "whole", is_flag=True, help="Decided and expired ones too.")
@json_option
@connect_option
def list_(whole: bool, as_json: bool, connect: Path | None) -> None:
    """List re-identifications: a site its own, operators and approvers all.

    Example:
      trustcenter reidentify list --connect anna.toml
    """
    found = call(connect, lambda center: center.reidentifications())
    shown = [one for one in found if whole or one.state in _OPEN]
    output.items(shown, _LIST, as_json=as_json, empty="no open re-identification")


@reidentify.command()
@click.argument("ident", metavar="ID")
@json_option
@connect_option
def show(ident: str, as_json: bool, connect: Path | None) -> None:
    """Show one re-identification.

    Example:
      trustcenter reidentify show 0f3c5a… --json
    """
    _show(call(connect, lambda center: center.reidentification(ident)), as_json)


@reidentify.command()
@click.argument("ident", metavar="ID")
@approval_options
@json_option
@connect_option
def approve(
    ident: str, key: Path, key_passphrase_file: Path | None, yes: bool, as_json: bool, connect: Path | None
) -> None:
    """Sign a re-identification (approver).

    Example:
      trustcenter reidentify approve 0f3c5a… --personal-key anna.key --connect anna.toml
    """
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.cli.signing import signer
    from trustcenter.client import reidentify as work

    sign = signer(personal_key(key, key_passphrase_file), work.CONTEXT, yes=yes)
    _show(call(connect, lambda center: work.approve(center, ident, sign)), as_json)


@reidentify.command()
@click.argument("ident", metavar="ID")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the site.")
@json_option
@connect_option
def deny(ident: str, reason: str, as_json: bool, connect: Path | None) -> None:
    """Deny a re-identification, or take its ticket back (approver).

    Needs no personal key: a denial releases nothing.

    Example:
      trustcenter reidentify deny 0f3c5a… --reason "no vote of the ethics committee"
    """
    _show(call(connect, lambda center: center.deny_reidentification(ident, reason)), as_json)


@reidentify.command()
@click.argument("ident", metavar="ID")
@click.argument("source", metavar="INPUT", type=PATH)
@_COLUMN
@click.option("--into", metavar="NEW", help="Put the originals into a new last column instead.")
@tabular.csv_options
@tabular.fhir_options
@output_option("Output file, mode 0600; appears only when every row has its original.")
@force_option
@json_option
@connect_option
def fetch(
    ident: str,
    source: Path,
    column: str | None,
    into: str | None,
    target: Path,
    force: bool,
    as_json: bool,
    connect: Path | None,
    **options: Any,
) -> None:
    """Replace the pseudonyms of a file by their originals, on an approved ticket (site).

    Every fetch counts, and every original in it has an entry in the log.

    Examples:
      trustcenter reidentify fetch 0f3c5a… findings.csv --column psn -o findings-with-ids.csv
      trustcenter reidentify fetch 0f3c5a… out.ndjson --fhir -o out-with-ids.ndjson
    """
    from trustcenter.client.reidentify import fetch_file

    selection = _selection(source, column, into, **options)
    done = tabular.with_failed(
        lambda: call(connect, lambda center: fetch_file(center, ident, selection, target, force=force)),
        "line" if column is None else "row",
    )
    if as_json:
        output.data(done)
    output.note(
        f"{counted(done.rows, 'row')}, {counted(done.originals, 'original')}; fetches left: {done.fetches_left}"
    )


def _selection(
    source: Path,
    column: str | None,
    into: str | None,
    *,
    delimiter: str | None,
    encoding: str,
    fhir: bool,
    domain_for: tuple[str, ...],
    pseudonym_system: str | None,
) -> Selection:
    from trustcenter.client.jobs.sources import Selection

    if fhir == (column is not None):
        raise CommandLineError("this needs either --column or --fhir")
    if fhir and (into is not None or delimiter is not None or encoding != "auto"):
        raise CommandLineError("--fhir goes without --into, --delimiter and --encoding")
    if not fhir and (domain_for or pseudonym_system):
        raise CommandLineError("--domain-for and --pseudonym-system go with --fhir")
    domains = tabular.pairs(domain_for, "--domain-for", "TYPE=DOMAIN")
    return Selection(source, column, into, separator(delimiter), encoding, domains, pseudonym_system)


def _show(found: Reidentification, as_json: bool) -> None:
    output.item(found, _ONE, as_json=as_json)
