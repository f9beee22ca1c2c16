"""`trustcenter pseudonymize` and `trustcenter translate`: columns of CSV and Parquet files, FHIR resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, F, call, connect_option, force_option, json_option, output_option, separator
from trustcenter.cli.progress import progress
from trustcenter.errors import CommandLineError

from . import tabular

if TYPE_CHECKING:
    from trustcenter.client import TrustCenter
    from trustcenter.client.jobs.outcome import ColumnResult
    from trustcenter.client.tables import ColumnWork

_FORMATS = ["YYYY-MM-DD", "DD.MM.YYYY", "YYYYMMDD", "DD/MM/YYYY", "MM/DD/YYYY"]


def _column_options(command: F) -> F:
    command = tabular.failed_options(command)
    command = click.option(
        "--date-format", type=click.Choice(_FORMATS), help="Of the columns of --coarsen; found in each if not given."
    )(command)
    command = click.option(
        "--coarsen",
        multiple=True,
        metavar="COLUMN=KEEP",
        help="Keep only year, quarter or month of a column of dates.",
    )(command)
    command = tabular.csv_options(command)
    command = click.option("--into", metavar="NEW", help="Put the pseudonyms into a new last column instead.")(command)
    return click.option("--domain", required=True, metavar="DOMAIN", help="Domain of the pseudonyms.")(command)


@click.command()
@click.argument("source", metavar="INPUT", type=PATH)
@click.option("--column", metavar="COLUMN", help="Column with the originals.")
@_column_options
@click.option("--existing", is_flag=True, help="Make no pseudonym: a row whose original has none yet fails.")
@tabular.fhir_options
@click.option(
    "--identifier-system",
    multiple=True,
    metavar="URL",
    help="With --fhir: identifiers of this system become pseudonyms, too (otherwise types MR and VN).",
)
@output_option("Output file, mode 0600; appears only when it is complete.")
@force_option
@json_option
@connect_option
def pseudonymize(
    connect: Path | None, as_json: bool, fhir: bool, existing: bool, identifier_system: tuple[str, ...], **options: Any
) -> None:
    """Replace identifiers in CSV, Parquet or FHIR files by pseudonyms.

    Of a CSV or Parquet file (by its name, .parquet) one column is replaced; a CSV file has a header. Files are
    read in a stream, so their size does not matter; a repeated run gives the same pseudonyms, and a run that was
    interrupted goes on with --resume.

    With --fhir ids, references and identifiers become pseudonyms, insurance numbers, names and all free text go;
    docs/how-to/pipeline.md says what is done and what not. This is not anonymisation.

    Examples:
      trustcenter pseudonymize lab.csv --column pid --domain uk-nord -o lab-pseudonymous.csv
      trustcenter pseudonymize lab.csv --column pid --domain uk-nord -o out.csv --skip-failed failed.csv
      trustcenter pseudonymize lab.csv --column pid --domain uk-nord -o out.csv --coarsen birth=quarter
      trustcenter pseudonymize patients.ndjson --fhir --domain uk-nord -o out.ndjson
    """
    if identifier_system and not fhir:
        raise CommandLineError("--identifier-system goes with --fhir")
    if fhir:
        from trustcenter.client.fhir.job import pseudonymize_fhir

        if existing:
            raise CommandLineError("--existing does not go with --fhir")
        _fhir(connect, as_json, pseudonymize_fhir, systems=frozenset(identifier_system), **options)
        return
    from trustcenter.client.tables import pseudonymize_column

    _table(connect, as_json, pseudonymize_column, existing=existing, **options)


@click.command()
@click.argument("source", metavar="[INPUT]", type=PATH, required=False)
@click.option("--column", metavar="COLUMN", help="Column with the pseudonyms.")
@_column_options
@tabular.fhir_options
@click.option("--into-domain", metavar="DOMAIN", help="Replace them by pseudonyms of this other domain.")
@click.option("--create", is_flag=True, help="With --into-domain: make what does not exist there yet.")
@click.option("--all", "whole", is_flag=True, help="Instead of a file: the whole map, old and new, of the domain.")
@click.option("--from-version", type=click.IntRange(1, 254), metavar="N", help="With --all: the old key version.")
@output_option("Output file, mode 0600; appears only when it is complete.")
@force_option
@json_option
@connect_option
def translate(
    connect: Path | None,
    as_json: bool,
    whole: bool,
    from_version: int | None,
    fhir: bool,
    source: Path | None,
    into_domain: str | None,
    create: bool,
    **options: Any,
) -> None:
    """Bring pseudonyms to the current key version, or into another domain.

    After a rotation: a column of a file, resources that were pseudonymised with --fhir, or the whole map of the
    domain. Imported pseudonyms of another system become those of the domain.

    With --into-domain a column of pseudonyms becomes one of pseudonyms of the other domain for the same originals,
    which stay at the service. A row whose original has none there fails, unless --create makes it.

    Examples:
      trustcenter translate data.csv --column psn --domain uk-nord -o data-new.csv
      trustcenter translate out.ndjson --fhir --domain uk-nord -o out-new.ndjson
      trustcenter translate --all --from-version 1 --domain uk-nord -o map.csv
      trustcenter translate lab.csv --column psn --domain uk-nord --into-domain uk-nord-study7 --create -o study7.csv
    """
    if create and into_domain is None:
        raise CommandLineError("--create goes with --into-domain")
    if whole:
        others = {k: v for k, v in options.items() if k not in ("domain", "target", "force", "encoding")}
        if from_version is None or source is not None or fhir or into_domain is not None or any(others.values()):
            raise CommandLineError("--all goes with --from-version, --domain and --output only")
        _whole(connect, as_json, options["domain"], from_version, options["target"], options["force"])
        return
    if source is None or from_version is not None:
        raise CommandLineError("translate needs INPUT and --column, or --all and --from-version")
    if fhir:
        from trustcenter.client.fhir.job import translate_fhir

        if into_domain is not None:
            raise CommandLineError("--into-domain does not go with --fhir")
        _fhir(connect, as_json, translate_fhir, systems=frozenset(), source=source, **options)
        return
    from trustcenter.client.tables import crossing, translate_column

    work = translate_column if into_domain is None else crossing(into_domain, create=create)
    _table(connect, as_json, work, existing=False, source=source, **options)


def _whole(connect: Path | None, as_json: bool, domain: str, from_version: int, target: Path, force: bool) -> None:
    from trustcenter.client.tables import translation_map

    with progress("translating") as tick:
        count = call(
            connect, lambda center: translation_map(center, domain, from_version, target, force=force, progress=tick)
        )
    if as_json:
        output.data({"translations": count})
    output.note(f"{count} translations")


def _fhir(
    connect: Path | None,
    as_json: bool,
    work: Callable[..., Awaitable[Any]],
    *,
    systems: frozenset[str],
    source: Path,
    target: Path,
    domain: str,
    domain_for: tuple[str, ...],
    pseudonym_system: str | None,
    force: bool,
    resume: bool,
    skip_failed: Path | None,
    report: Path | None,
    **others: Any,
) -> None:
    from trustcenter.client.fhir.job import FhirJob

    if others.pop("encoding") != "auto" or any(others.values()):
        raise CommandLineError(
            "--fhir goes without --column, --into, --delimiter, --encoding, --coarsen and --date-format"
        )
    domains = tabular.pairs(domain_for, "--domain-for", "TYPE=DOMAIN")
    job = FhirJob(source, target, domain, domains, systems, pseudonym_system, force, skip_failed, resume, report)
    result = _run(connect, lambda center, tick: work(center, job, tick), "line")
    for path, count in sorted(result.dropped.items()):
        output.note(f"dropped {path}: {count}")
    _say(result, as_json, dropped=dict(sorted(result.dropped.items())))


def _table(
    connect: Path | None,
    as_json: bool,
    work: ColumnWork,
    *,
    existing: bool,
    source: Path,
    column: str | None,
    domain: str,
    into: str | None,
    delimiter: str | None,
    encoding: str,
    resume: bool,
    skip_failed: Path | None,
    report: Path | None,
    coarsen: tuple[str, ...],
    date_format: str | None,
    target: Path,
    force: bool,
    domain_for: tuple[str, ...],
    pseudonym_system: str | None,
) -> None:
    from trustcenter.client.tables import ColumnJob

    if domain_for or pseudonym_system:
        raise CommandLineError("--domain-for and --pseudonym-system go with --fhir")
    if column is None:
        raise CommandLineError("this needs --column, or --fhir for FHIR resources")
    if source.suffix.lower() in (".ndjson", ".json"):
        raise CommandLineError(
            "by its name the input is JSON, which has no columns", hint="for FHIR resources: --fhir instead of --column"
        )
    job = ColumnJob(
        source,
        target,
        column,
        into,
        separator(delimiter),
        force,
        skip_failed,
        encoding,
        resume,
        report,
        tabular.pairs(coarsen, "--coarsen", "COLUMN=KEEP"),
        date_format,
        existing,
    )
    _say(_run(connect, lambda center, tick: work(center, domain, job, tick), "row"), as_json)


def _run(connect: Path | None, work: Callable[[TrustCenter, Any], Awaitable[Any]], unit: str) -> Any:
    async def job(center: TrustCenter, tick: Any) -> Any:
        return await work(center, tick)

    def run() -> Any:
        with progress("reading") as tick:
            return call(connect, lambda center: job(center, tick))

    result = tabular.with_failed(run, unit)
    tabular.name_failed(result, unit)
    return result


def _say(result: ColumnResult, as_json: bool, **more: object) -> None:
    if result.resumed:
        output.note(f"went on after row {result.resumed} of the interrupted run")
    if as_json:
        output.data(tabular.summary(result, **more))
    output.note(
        f"{counted(result.rows - result.failures, 'row')}, {counted(result.created, 'new pseudonym')}"
        + (f", key version {result.key_version}" if result.versions else "")
        + (f"; {counted(result.failures, 'row')} set aside" if result.failures else "")
    )
