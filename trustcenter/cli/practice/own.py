"""`trustcenter practice enrol|show|send|results`: what runs on the practice's workstation, Windows included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from linkage.wording import counted
from trustcenter.cli import noticed, output
from trustcenter.cli.options import PATH, call, force_option, json_option, output_option, separation_option
from trustcenter.cli.progress import progress

from .export import Reading, export_options

if TYPE_CHECKING:
    from trustcenter.client import TrustCenter
    from trustcenter.client.practice import Export
    from trustcenter.client.practice.home import Home

T = TypeVar("T")


@click.command()
@click.argument("invitation", type=PATH)
@click.argument("folder", type=PATH)
def enrol(invitation: Path, folder: Path) -> None:
    """Redeem an INVITATION; keys and access are kept in FOLDER (practice).

    Prints the fingerprint of the practice's card: say it to the sponsoring site over the telephone.

    Example:
      trustcenter practice enrol praxis.invitation trustcenter-herz
    """
    from trustcenter.client.practice import home, work

    fingerprint = asyncio.run(work.enrol(home.load_invitation(invitation), home.Home(folder)))
    click.echo(fingerprint)
    output.note("say this fingerprint to your sponsoring site, then delete the invitation")
    output.note("keep a copy of site.key in a safe place: without it your patients would be registered anew")


@click.command()
@click.argument("folder", type=PATH)
def show(folder: Path) -> None:
    """Print the fingerprint of the practice's own card (practice)."""
    from trustcenter.client.practice import home, work

    click.echo(work.card_fingerprint(home.Home(folder)))


@click.command()
@click.argument("folder", type=PATH)
@click.argument("export", metavar="EXPORT", type=PATH)
@export_options
@click.option("--dry-run", is_flag=True, help="Read the export and say what is found in it; send nothing.")
@separation_option
@json_option
def send(
    folder: Path,
    export: Path,
    reading: Reading,
    dry_run: bool,
    require_separation: str,
    as_json: bool,
) -> None:
    """Read an EXPORT, encode it here, register its patients and send their rows (practice).

    Names and birth dates never leave this computer and are written nowhere. The study secret is fetched, sealed, for
    this run only. Only what the centre does not hold yet is sent; interrupted, the command is simply given again.

    Examples:
      trustcenter practice send trustcenter-herz export.bdt --dry-run
      trustcenter practice send trustcenter-herz export.bdt
    """
    from trustcenter.client.practice import home, work

    found = reading.read(export)
    _say(found)
    if dry_run:
        seen = {**found.warnings, **work.noticed(found.table)}
        if as_json:
            output.data({"patients": len(found.table), "format": found.format, "warnings": seen})
        noticed.say(len(found.table), 0, seen)
        return
    place = home.Home(folder)
    place.membership()  # before anything else is said to be missing
    with progress("sending") as tick:
        done = _call(
            place,
            lambda center: work.send(
                center,
                place,
                found.table,
                lambda _, at, total: tick(at, total),
                require_separation=require_separation,
            ),
        )
    if as_json:
        output.data(done)
    else:
        output.fields({"patients": done.records, "new or changed": done.sent, "rows sent": done.rows})
    if done.without_consent:
        output.note(f"{counted(done.without_consent, 'patient')} left out: no consent for this study, or withdrawn")
    if not done.sent:
        output.note("the centre holds all of this already")
    noticed.say(done.records, done.few_passes, {**found.warnings, **done.warnings})


def _call(place: Home, job: Callable[[TrustCenter], Coroutine[Any, Any, T]]) -> T:
    """As `call`, with the practice's connection; who has no access any more is told where it comes from."""
    from trustcenter.client.errors import RemoteError
    from trustcenter.errors import PolicyError

    try:
        return call(place.connection, job)
    except RemoteError as error:
        if error.code != "unauthorized":
            raise
        raise PolicyError(
            "this practice has no access any more: it was ended, or a year is over",
            code="access_ended",
            hint="ask your sponsoring site for an invitation, and redeem it in the same folder",
        ) from None


def _say(found: Export) -> None:
    """Which fields an export has: a column that was not recognised would cost matches without a sign."""
    filled = {name: sum(map(bool, column)) for name, column in found.table.columns.items()}
    output.note(f"{counted(len(found.table), 'patient')}, read as {found.format}; filled in:")
    output.note(", ".join(f"{name} {count}" for name, count in filled.items()))
    if lacking := [name for name in ("surname", "given_name", "birth_date") if name not in filled]:
        hint = "; a column of another name: --map birth_date=COLUMN" if found.format == "csv" else ""
        output.hint(f"nobody has a {' or '.join(lacking)}, so hardly anybody will be found elsewhere{hint}")


@click.command()
@click.argument("folder", type=PATH)
@click.argument("export", metavar="EXPORT", type=PATH)
@export_options
@click.option(
    "--as",
    "written",
    type=click.Choice(["csv", "ndjson", "parquet", "fhir"]),
    default="csv",
    show_default=True,
    help="How the output is written.",
)
@output_option("The own patient numbers and their study pseudonyms.")
@force_option
def results(
    folder: Path,
    export: Path,
    reading: Reading,
    written: str,
    target: Path,
    force: bool,
) -> None:
    """Fetch the study pseudonyms of the patients of an EXPORT (practice).

    The output names patients by the practice's own numbers: it is the only file that does.

    Example:
      trustcenter practice results trustcenter-herz export.bdt -o pseudonyms.csv
    """
    from trustcenter.client.files import require_writable
    from trustcenter.client.practice import home, work
    from trustcenter.client.study import study_results

    require_writable(target, sources=(export,), force=force)
    ids = reading.read(export).table.ids
    place = home.Home(folder)
    study = place.membership().study
    rows = _call(place, lambda center: work.results(center, place, ids))
    study_results.write(target, written, "id", rows, study, force=force)  # type: ignore[arg-type]
    output.note(f"{counted(len(rows), 'patient')}; not registered: {len(ids) - len(rows):,}")
