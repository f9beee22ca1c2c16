"""`trustcenter import`, `additional`, `validate`, `anonymise`, `delete`: whole CSV files of pseudonyms or originals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import (
    PATH,
    F,
    call,
    confirm,
    connect_option,
    force_option,
    json_option,
    output_option,
    separator,
)
from trustcenter.cli.progress import progress
from trustcenter.errors import CommandLineError, UsageError

from . import tabular

if TYPE_CHECKING:
    from trustcenter.client import TrustCenter
    from trustcenter.client.jobs.bulk import Named, Verb
    from trustcenter.client.jobs.outcome import ColumnResult
    from trustcenter.client.jobs.rowjob import Files

_REFUSED = "rows_failed"


def _file_options(what: str) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in (
            connect_option,
            json_option,
            force_option,
            output_option(what),
            tabular.failed_options,
            tabular.csv_options,
            click.option("--domain", required=True, metavar="DOMAIN", help="Domain of the pseudonyms."),
            click.argument("source", metavar="INPUT", type=PATH),
        ):
            command = option(command)
        return command

    return decorate


_LISTING = "List of row numbers and outcomes; no original and no pseudonym stands in it."
_DRY = click.option("--dry-run", is_flag=True, help="Change nothing; say what would become of each row by itself.")
_YES = click.option("--yes", is_flag=True, help="Do not ask; for automation.")


@click.command("import")
@_file_options(_LISTING)
@click.option(
    "--from",
    "system",
    type=click.Choice(["gpas", "mainzelliste", "vfps"]),
    help="Whose export it is: the usual names of its columns.",
)
@click.option("--original", metavar="COLUMN", help="Column with the originals.")
@click.option("--pseudonym", metavar="COLUMN", help="Column with the pseudonyms.")
@_DRY
def import_(system: str | None, original: str | None, pseudonym: str | None, dry_run: bool, **options: Any) -> None:
    """Take over pairs of original and pseudonym from another system.

    May be repeated: a pair that is there already is told as "present". A row that is refused changes nothing, and the
    others are imported. docs/how-to/migrate-from-gpas.md is a whole migration.

    Examples:
      trustcenter import export.csv --from gpas --domain uk-nord-old -o outcome.csv --dry-run
      trustcenter import export.csv --original MPI --pseudonym PSN --domain uk-nord-old -o outcome.csv
    """
    from trustcenter.client.jobs.bulk import EXPORTS, Pairs, import_file

    usual = EXPORTS.get(system or "")
    if usual is None and (original is None or pseudonym is None):
        raise CommandLineError("import needs --original and --pseudonym, or --from")
    pairs = Pairs(original or (usual.original if usual else ""), pseudonym or (usual.pseudonym if usual else ""))
    _listed("importing", lambda c, d, f, t: import_file(c, d, f, pairs, dry_run=dry_run, progress=t), **options)


@click.command()
@_file_options("Output: the input with further columns.")
@click.option("--column", required=True, metavar="COLUMN", help="Column with the originals.")
@click.option("--into", required=True, metavar="NEW", help="New column; several are numbered: NEW_1, NEW_2, …")
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many for each row.")
def additional(column: str, into: str, count: int, **options: Any) -> None:
    """Make further pseudonyms of originals, in a domain that has several per original.

    Every run makes new ones, and so does every row. An interrupted run is gone on with by --resume, which makes none
    twice.

    Example:
      trustcenter additional samples.csv --column pid --into psn --domain uk-nord-samples -o samples-new.csv
    """
    from trustcenter.client.jobs.bulk import additional_file

    result = _run("making", lambda c, d, f, t: additional_file(c, d, f, column, into, count, t), options)
    _say(result, options["as_json"], f"{result.rows - result.failures} rows, {result.created} new pseudonyms")


@click.command()
@_file_options("Output: the input with one more column.")
@click.option("--column", required=True, metavar="COLUMN", help="Column with the pseudonyms.")
@click.option("--into", default="validity", show_default=True, metavar="NEW", help="New column.")
def validate(column: str, into: str, **options: Any) -> None:
    """Say of every pseudonym whether it is live: ok, wrong_check_characters or unknown_pseudonym.

    Asks the service. Whether a string can be a pseudonym at all is said without one: trustcenter pseudonym check.

    Example:
      trustcenter validate data.csv --column psn --domain uk-nord -o data-checked.csv
    """
    from trustcenter.client.jobs.bulk import validate_file

    result = _run("checking", lambda c, d, f, t: validate_file(c, d, f, column, into, t), options)
    _say(result, options["as_json"], f"{counted(result.rows, 'row')}: {_counts(result)}")


def _removal(verb: Verb, question: str) -> Callable[..., None]:
    def command(column: str, originals: bool, dry_run: bool, yes: bool, **options: Any) -> None:
        from trustcenter.client.jobs.bulk import remove_file

        if not dry_run:
            confirm(question, options["domain"], yes=yes)
        named: Named = "originals" if originals else "pseudonyms"
        _listed(
            verb,
            lambda c, d, f, t: remove_file(c, d, f, verb, column, named, dry_run=dry_run, progress=t),
            **options,
        )

    for option in (
        _YES,
        _DRY,
        click.option("--originals", is_flag=True, help="The column has originals, not pseudonyms."),
        click.option("--column", required=True, metavar="COLUMN", help="Column with what is to be removed."),
        _file_options(_LISTING),
    ):
        command = option(command)
    return command


anonymise = click.command(
    "anonymise",
    help="""Drop the way back from pseudonyms to their originals, for ever.

    The pseudonyms stay valid; the same original gets another one when it comes again. You are asked to type the name
    of the domain.

    Example:
      trustcenter anonymise withdrawn.csv --column psn --domain uk-nord -o outcome.csv --dry-run
    """,
)(_removal("anonymise", "Nobody can go back from these pseudonyms to their originals any more."))

delete = click.command(
    "delete",
    help="""Erase pseudonyms of a domain that allows it, for ever.

    They are unknown from then on. You are asked to type the name of the domain. A run that was interrupted goes on
    with --resume; rows whose answer was lost are then told as unknown, because they were erased before.

    Examples:
      trustcenter delete withdrawn.csv --column psn --domain uk-nord -o outcome.csv --dry-run
      trustcenter delete withdrawn.csv --column pid --originals --domain uk-nord -o outcome.csv
    """,
)(_removal("delete", "These pseudonyms are erased; nothing brings them back."))


Job = Callable[["TrustCenter", str, "Files", Any], Awaitable["ColumnResult"]]


def _run(label: str, work: Job, options: dict[str, Any]) -> ColumnResult:
    from trustcenter.client.jobs.rowjob import Files

    files = Files(
        options["source"],
        options["target"],
        options["skip_failed"],
        options["report"],
        separator(options["delimiter"]),
        options["encoding"],
        options["force"],
        options["resume"],
    )

    async def job(center: TrustCenter, tick: Any) -> ColumnResult:
        return await work(center, options["domain"], files, tick)

    def run() -> Any:
        with progress(label) as tick:
            return call(options["connect"], lambda center: job(center, tick))

    result: ColumnResult = tabular.with_failed(run)
    tabular.name_failed(result)
    return result


def _listed(label: str, work: Job, **options: Any) -> None:
    """A job whose output is a list of outcomes: written in any case, and an error if a row was refused."""
    result = _run(label, work, options)
    _say(result, options["as_json"], f"{counted(result.rows, 'row')}: {_counts(result)}")
    if result.failures and options["skip_failed"] is None:
        raise UsageError(
            f"refused: {result.failures:,} of {counted(result.rows, 'row')}",
            code=_REFUSED,
            hint="the output has every row's outcome; --skip-failed FILE sets the refused ones aside",
        )


def _counts(result: ColumnResult) -> str:
    counts = {**result.counts, "refused": result.failures} if result.failures else result.counts
    return ", ".join(f"{much} {name}" for name, much in sorted(counts.items())) or "nothing to do"


def _say(result: ColumnResult, as_json: bool, text: str) -> None:
    if result.resumed:
        output.note(f"went on after row {result.resumed} of the interrupted run")
    if as_json:
        output.data(tabular.summary(result, counts=result.counts))
    output.note(text)
