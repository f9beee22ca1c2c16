"""`trustcenter pseudonymize` and `trustcenter translate`: columns of CSV and Parquet files, FHIR resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trustcenter.errors import UsageError_

from . import output
from .options import PATH, F, call, connect_option, force_option, json_option, output_option, separator
from .progress import progress

if TYPE_CHECKING:
    from trustcenter.client.tables import ColumnJob, ColumnResult

_SHOWN = 20  # failed rows named one by one


def _column_options(command: F) -> F:
    for option in (
        click.option("--domain", required=True, metavar="DOMAIN", help="Domain of the pseudonyms."),
        click.option("--into", metavar="NEW", help="Put the pseudonyms into a new last column instead."),
        click.option("--delimiter", metavar="CHAR", help="Separator; found from the header if not given."),
        click.option(
            "--encoding",
            type=click.Choice(["utf-8", "latin-1", "cp1252"]),
            default="utf-8",
            show_default=True,
            help="Charset of input and output; never guessed.",
        ),
        click.option("--resume", is_flag=True, help="Go on where an interrupted run of the same command was."),
        click.option(
            "--skip-failed", type=PATH, metavar="FILE", help="Set rows that cannot be served aside in this file."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("source", metavar="INPUT", type=PATH)
@click.option("--column", metavar="COLUMN", help="Column with the originals.")
@_column_options
@click.option("--fhir", is_flag=True, help="INPUT is NDJSON: one FHIR R4 resource per line.")
@click.option(
    "--domain-for",
    multiple=True,
    metavar="TYPE=DOMAIN",
    help="With --fhir: another domain for resources of a type; also admits a type that is not known.",
)
@click.option(
    "--identifier-system",
    multiple=True,
    metavar="URL",
    help="With --fhir: identifiers of this system become pseudonyms, too (otherwise types MR and VN).",
)
@click.option(
    "--pseudonym-system", metavar="URL", help="With --fhir: system of the new identifiers; else a URN of the domain."
)
@output_option("Output file, mode 0600; appears only when it is complete.")
@force_option
@json_option
@connect_option
def pseudonymize(
    connect: Path | None,
    as_json: bool,
    fhir: bool,
    domain_for: tuple[str, ...],
    identifier_system: tuple[str, ...],
    pseudonym_system: str | None,
    **options: Any,
) -> None:
    """Replace identifiers in CSV, Parquet or FHIR files by pseudonyms.

    Of a CSV or Parquet file (by its name, .parquet) one column is replaced; a CSV file has a header. Files are
    read in a stream, so their size does not matter; a repeated run gives the same pseudonyms, and a run that was
    interrupted goes on with --resume (not Parquet).

    With --fhir ids, references and identifiers become pseudonyms, insurance numbers, names and all free text go;
    docs/how-to/pipeline.md says what is done and what not. This is not anonymisation.

    Examples:
      trustcenter pseudonymize lab.csv --column pid --domain uk-nord -o lab-pseudonymous.csv
      trustcenter pseudonymize lab.csv --column pid --domain uk-nord -o out.csv --skip-failed failed.csv
      trustcenter pseudonymize patients.ndjson --fhir --domain uk-nord -o out.ndjson
    """
    if fhir:
        _fhir(connect, as_json, _pairs(domain_for), identifier_system, pseudonym_system, **options)
        return
    if domain_for or identifier_system or pseudonym_system:
        raise UsageError_("--domain-for, --identifier-system and --pseudonym-system go with --fhir")
    if options["column"] is None:
        raise UsageError_("pseudonymize needs --column, or --fhir for FHIR resources")
    from trustcenter.client.tables import pseudonymize_column

    _run(connect, as_json, pseudonymize_column, **options)


@click.command()
@click.argument("source", metavar="[INPUT]", type=PATH, required=False)
@click.option("--column", metavar="COLUMN", help="Column with the pseudonyms.")
@_column_options
@click.option("--all", "whole", is_flag=True, help="Instead of a file: the whole map, old and new, of the domain.")
@click.option("--from-version", type=click.IntRange(1, 254), metavar="N", help="With --all: the old key version.")
@output_option("Output file, mode 0600; appears only when it is complete.")
@force_option
@json_option
@connect_option
def translate(
    connect: Path | None, as_json: bool, whole: bool, from_version: int | None, source: Path | None, **options: Any
) -> None:
    """Bring pseudonyms to the current key version.

    After a rotation: either a column of a file, or the whole map of the domain.

    Examples:
      trustcenter translate data.csv --column psn --domain uk-nord -o data-new.csv
      trustcenter translate --all --from-version 1 --domain uk-nord -o map.csv
    """
    from trustcenter.client.tables import translate_column, translation_map

    if whole:
        unused = (source, options["column"], options["into"], options["delimiter"], options["skip_failed"])
        if from_version is None or options["resume"] or any(given is not None for given in unused):
            raise UsageError_("--all goes with --from-version, --domain and --output only")
        domain, target, force = options["domain"], options["target"], options["force"]
        with progress("translating") as tick:
            count = call(
                connect,
                lambda center: translation_map(center, domain, from_version, target, force=force, progress=tick),
            )
        if as_json:
            output.data({"translations": count})
        output.note(f"{count} translations")
        return
    if source is None or options["column"] is None or from_version is not None:
        raise UsageError_("translate needs INPUT and --column, or --all and --from-version")
    _run(connect, as_json, translate_column, source=source, **options)


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in given:
        kind, _, domain = text.partition("=")
        if not kind or not domain or kind in pairs:
            raise UsageError_("--domain-for is TYPE=DOMAIN, once for each type")
        pairs[kind] = domain
    return pairs


def _fhir(
    connect: Path | None,
    as_json: bool,
    domains: dict[str, str],
    systems: tuple[str, ...],
    pseudonym_system: str | None,
    *,
    source: Path,
    target: Path,
    domain: str,
    force: bool,
    resume: bool,
    skip_failed: Path | None,
    **others: Any,
) -> None:
    from trustcenter.client.fhir.job import FhirJob, pseudonymize_fhir
    from trustcenter.client.tables import RowsFailedError

    if others["encoding"] != "utf-8" or any(others[name] is not None for name in ("column", "into", "delimiter")):
        raise UsageError_("--fhir goes without --column, --into, --delimiter and --encoding")
    job = FhirJob(source, target, domain, domains, frozenset(systems), pseudonym_system, force, skip_failed, resume)
    try:
        with progress("reading") as tick:
            result = call(connect, lambda center: pseudonymize_fhir(center, job, tick))
    except RowsFailedError as error:
        _name_failed(error.result, "line")
        raise
    _name_failed(result, "line")
    for path, count in sorted(result.dropped.items()):
        output.note(f"dropped {path}: {count}")
    _say(result, as_json, dropped=dict(sorted(result.dropped.items())))


def _run(
    connect: Path | None,
    as_json: bool,
    work: Callable[..., Awaitable[ColumnResult]],
    *,
    source: Path,
    column: str,
    domain: str,
    into: str | None,
    delimiter: str | None,
    encoding: str,
    resume: bool,
    skip_failed: Path | None,
    target: Path,
    force: bool,
) -> None:
    from trustcenter.client.tables import ColumnJob, RowsFailedError

    job = ColumnJob(source, target, column, into, separator(delimiter), force, skip_failed, encoding, resume)
    try:
        with progress("reading") as tick:
            result = call(connect, lambda center: _await(work, center, domain, job, tick))
    except RowsFailedError as error:
        _name_failed(error.result)
        raise
    _name_failed(result)
    _say(result, as_json)


async def _await(
    work: Callable[..., Awaitable[ColumnResult]], center: object, domain: str, job: ColumnJob, tick: object
) -> ColumnResult:
    return await work(center, domain, job, tick)


def _say(result: ColumnResult, as_json: bool, **more: object) -> None:
    failed = len(result.failed)
    if result.resumed:
        output.note(f"went on after row {result.resumed} of the interrupted run")
    if as_json:
        output.data(
            {
                "rows": result.rows,
                "failed": [
                    {"row": f.row, "code": f.code} | ({"where": f.where} if f.where else {}) for f in result.failed
                ],
                "created": result.created,
                "key_version": result.key_version,
                "resumed_after": result.resumed,
                **more,
            }
        )
    output.note(
        f"{result.rows - failed} rows, {result.created} new pseudonyms, key version {result.key_version}"
        + (f"; {failed} rows set aside" if failed else "")
    )


def _name_failed(result: ColumnResult, unit: str = "row") -> None:
    for failed in result.failed[:_SHOWN]:
        where = f", {output.plain(failed.where)}" if failed.where else ""
        output.note(f"{unit} {failed.row}{where}: {output.plain(failed.code)}")
    if len(result.failed) > _SHOWN:
        output.note(f"and {len(result.failed) - _SHOWN} more {unit}s")
