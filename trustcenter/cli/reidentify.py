"""`trustcenter reidentify`: a site requests, an approver signs or denies, the site fetches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import output
from .options import (
    PATH,
    call,
    connect_option,
    force_option,
    json_option,
    output_option,
    passphrase_option,
    separator,
)

if TYPE_CHECKING:
    from trustcenter.client.tables import ColumnResult
    from trustcenter.messages.api import Reidentification

_ONE = (
    "reidentification", "domain", "site", "reason", "pseudonyms", "state", "approvals", "required", "expires",
    "fetches_left", "denied_by", "denial", "created",
)  # fmt: skip
_LIST = ("reidentification", "domain", "site", "pseudonyms", "state", "expires", "reason")
_OPEN = ("requested", "approved")
_SHOWN = 20  # failed rows named one by one
_COLUMN = click.option("--column", required=True, metavar="COLUMN", help="Column with the pseudonyms.")
_DELIMITER = click.option("--delimiter", metavar="CHAR", help="Separator; found from the header if not given.")
_ENCODING = click.option(
    "--encoding",
    type=click.Choice(["utf-8", "latin-1", "cp1252"]),
    default="utf-8",
    show_default=True,
    help="Charset of the files; never guessed.",
)


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
@_DELIMITER
@_ENCODING
@json_option
@connect_option
def request(
    source: Path,
    column: str,
    domain: str,
    reason: str,
    valid_hours: int,
    delimiter: str | None,
    encoding: str,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Request the originals of a column of pseudonyms (site).

    INPUT is a CSV file with a header. Every row must hold a live pseudonym of the domain.

    Example:
      trustcenter reidentify request findings.csv --column psn --domain uk-nord --reason "incidental finding, EC 7/26"
    """
    from trustcenter.client.reidentify import NotPseudonymsError, request_column

    try:
        made = call(
            connect,
            lambda center: request_column(
                center,
                domain,
                source,
                column,
                reason,
                valid_hours=valid_hours,
                delimiter=separator(delimiter),
                encoding=encoding,
            ),
        )
    except NotPseudonymsError as error:
        _name_failed(error.result)
        raise
    _show(made, as_json)
    output.note("an approver signs it next: trustcenter reidentify approve ID")


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
@click.option("--personal-key", type=PATH, required=True, metavar="FILE", help="Your personal key.")
@click.option("--yes", is_flag=True, help="Do not ask after showing the statement.")
@passphrase_option
@json_option
@connect_option
def approve(
    ident: str, personal_key: Path, yes: bool, passphrase_file: Path | None, as_json: bool, connect: Path | None
) -> None:
    """Sign a re-identification (approver).

    Example:
      trustcenter reidentify approve 0f3c5a… --personal-key anna.key --connect anna.toml
    """
    from trustcenter.client import reidentify as work

    from .secret_input import personal_key as open_key
    from .signing import signer

    sign = signer(open_key(personal_key, passphrase_file), work.CONTEXT, yes=yes)
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
@_DELIMITER
@_ENCODING
@output_option("Output file, mode 0600; appears only when every row has its original.")
@force_option
@json_option
@connect_option
def fetch(
    ident: str,
    source: Path,
    column: str,
    into: str | None,
    delimiter: str | None,
    encoding: str,
    target: Path,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Replace a column of pseudonyms by their originals, on an approved ticket (site).

    Every fetch counts, and every original in it has an entry in the log.

    Example:
      trustcenter reidentify fetch 0f3c5a… findings.csv --column psn -o findings-with-ids.csv
    """
    from trustcenter.client.reidentify import NotInTicketError, NotPseudonymsError, fetch_column
    from trustcenter.client.tables import ColumnJob

    job = ColumnJob(source, target, column, into, separator(delimiter), force, encoding=encoding)
    try:
        done = call(connect, lambda center: fetch_column(center, ident, job))
    except (NotInTicketError, NotPseudonymsError) as error:
        _name_failed(error.result)
        raise
    if as_json:
        output.data(done)
    output.note(f"{done.rows} rows, {done.originals} originals; {done.fetches_left} fetches left")


def _show(found: Reidentification, as_json: bool) -> None:
    output.item(found, _ONE, as_json=as_json)


def _name_failed(result: ColumnResult) -> None:
    for failed in result.failed[:_SHOWN]:
        output.note(f"row {failed.row}: {output.plain(failed.code)}")
    if len(result.failed) > _SHOWN:
        output.note(f"and {len(result.failed) - _SHOWN} more rows")
