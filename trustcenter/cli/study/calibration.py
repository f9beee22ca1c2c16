"""`trustcenter study calibration`: tables that sites counted on their own records, for the decision of a study."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, json_option

_COLUMNS = ("site", "sent", "matches", "relatives", "strangers", "sha256")


@click.group()
def calibration() -> None:
    """Decide with what sites counted on their own records.

    Only in a study that was created with `--calibration sites`. The tables are pooled with those that ship when the
    study is linked for the first time, and frozen. One that comes later waits for `study link STUDY --estimate`.
    """


@calibration.command("send")
@click.argument("study")
@click.argument("table", metavar="FILE", type=PATH)
@json_option
@connect_option
def send(study: str, table: Path, as_json: bool, connect: Path | None) -> None:
    """Send the site's table, in place of one that it sent before (site).

    FILE is what `trustcenter linkage calibrate` counted: numbers of pairs, none below five.

    Example:
      trustcenter linkage calibrate patients.csv --schema de-person/1 --id-column pid -o counts.json
      trustcenter study calibration send sepsis counts.json
    """
    from trustcenter.client.linking.offline_calibrate import read_shareable

    counts = read_shareable(table)
    _show(call(connect, lambda center: center.send_calibration(study, counts)), as_json)


@calibration.command("show")
@click.argument("study")
@json_option
@connect_option
def show(study: str, as_json: bool, connect: Path | None) -> None:
    """Show the tables of sites, and the densities that the study decides with (a site sees its own table only)."""
    _show(call(connect, lambda center: center.calibrations(study)), as_json)


@calibration.command("drop")
@click.argument("study")
@click.argument("site")
@connect_option
def drop(study: str, site: str, connect: Path | None) -> None:
    """Forget the table of a site: a site its own, an operator anybody's.

    What was frozen stays until the weights are estimated anew: `study link STUDY --estimate`.
    """
    call(connect, lambda center: center.drop_calibration(study, site))


def _show(found: object, as_json: bool) -> None:
    from trustcenter.messages.api import Calibrations

    assert isinstance(found, Calibrations)
    if as_json:
        output.data(found)
        return
    told: dict[str, object] = {"calibration": found.source}
    if found.next_estimate is not None:
        told |= {"decided with": found.decided_with or "nothing yet", "next estimate": found.next_estimate}
    output.fields(told)
    click.echo()
    output.items(found.tables, _COLUMNS, as_json=False, empty="no site has sent a table")
    if found.decided_with not in (None, found.next_estimate):
        output.hint("tables changed since the weights were estimated; to decide with them: study link STUDY --estimate")
