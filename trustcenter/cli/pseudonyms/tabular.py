"""Options of commands that work on files, and how they say which rows failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, F
from trustcenter.errors import CommandLineError, TrustCenterError

if TYPE_CHECKING:
    from trustcenter.client.jobs.outcome import ColumnResult, FailedRow

ENCODINGS = ["auto", "utf-8", "utf-16", "latin-1", "cp1252"]


def csv_options(command: F) -> F:
    """`--delimiter` and `--encoding`."""
    for option in (
        click.option("--delimiter", metavar="CHAR", help="Separator; found from the header if not given."),
        click.option(
            "--encoding",
            type=click.Choice(ENCODINGS),
            default="auto",
            show_default=True,
            help="Charset of input and output. auto: UTF-16 by its byte order mark, else UTF-8.",
        ),
    ):
        command = option(command)
    return command


def failed_options(command: F) -> F:
    """`--skip-failed`, `--report` and `--resume`."""
    for option in (
        click.option("--resume", is_flag=True, help="Go on where an interrupted run of the same command was."),
        click.option(
            "--report", type=PATH, metavar="FILE", help="With --skip-failed: number and code of every such row."
        ),
        click.option(
            "--skip-failed", type=PATH, metavar="FILE", help="Set rows that cannot be served aside in this file."
        ),
    ):
        command = option(command)
    return command


def fhir_options(command: F) -> F:
    """`--fhir` and the domains of resource types."""
    for option in (
        click.option(
            "--pseudonym-system",
            metavar="URL",
            help="With --fhir: system of identifiers that are pseudonyms; else a URN of the domain.",
        ),
        click.option(
            "--domain-for",
            multiple=True,
            metavar="TYPE=DOMAIN",
            help="With --fhir: another domain for resources of a type; also admits a type that is not known.",
        ),
        click.option("--fhir", is_flag=True, help="INPUT is NDJSON: one FHIR R4 resource per line."),
    ):
        command = option(command)
    return command


def pairs(given: tuple[str, ...], option: str, form: str) -> dict[str, str]:
    """NAME=VALUE, once for each name; the name may have an equals sign.

    Raises:
        UsageError: it has another form, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in given:
        name, _, value = text.rpartition("=")
        if not name or not value or name in found:
            raise CommandLineError(f"{option} is {form}, once for each")
        found[name] = value
    return found


def name_failed(result: ColumnResult, unit: str = "row") -> None:
    """A line for each of the rows that failed and are known by number; neighbours that failed alike share one."""
    for first, last in _runs(result.failed):
        where = f", {output.plain(first.where)}" if first.where else ""
        rows = f"{unit} {first.row}" if first is last else f"{unit}s {first.row} to {last.row}"
        output.note(f"{rows}{where}: {output.plain(first.code)}")
    for code, hint in dict.fromkeys((failed.code, failed.hint) for failed in result.failed if failed.hint):
        output.note(f"{output.plain(code)}: {output.plain(hint)}")
    if result.failures > len(result.failed):
        output.note(f"and {result.failures - len(result.failed)} more {unit}s; --skip-failed with --report names all")


def _runs(failed: Sequence[FailedRow]) -> list[tuple[FailedRow, FailedRow]]:
    """First and last of each stretch of rows that follow each other and failed for one reason."""
    runs: list[tuple[FailedRow, FailedRow]] = []
    for row in failed:
        if runs and runs[-1][1].row + 1 == row.row and (runs[-1][1].code, runs[-1][1].where) == (row.code, row.where):
            runs[-1] = runs[-1][0], row
        else:
            runs.append((row, row))
    return runs


def with_failed(work: Callable[[], Any], unit: str = "row") -> Any:
    """Do something; if it fails because of rows, name them first."""
    try:
        return work()
    except TrustCenterError as error:
        result = getattr(error, "result", None)
        if result is not None:
            name_failed(result, unit)
        raise


def summary(result: ColumnResult, **more: object) -> dict[str, object]:
    """What a job did, for --json."""
    return {
        "rows": result.rows,
        "failures": result.failures,
        "failed": [{"row": f.row, "code": f.code} | ({"where": f.where} if f.where else {}) for f in result.failed],
        "created": result.created,
        "key_version": result.key_version,
        "resumed_after": result.resumed,
        **more,
    }
