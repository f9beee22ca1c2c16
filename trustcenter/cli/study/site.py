"""`trustcenter study register` and `upload`: the site's part in a study."""

from __future__ import annotations

from pathlib import Path

import click

from linkage.wording import counted
from trustcenter.cli import noticed, output
from trustcenter.cli.linkage.source import source_options
from trustcenter.cli.options import (
    PATH,
    F,
    call,
    connect_option,
    force_option,
    json_option,
    output_option,
    separation_option,
    separator,
)
from trustcenter.cli.progress import progress


def own_records(command: F) -> F:
    """Options that every command over the own records has: separator, site key, id column."""
    for option in (
        click.option("--delimiter", metavar="CHAR", help="Separator; found from the header if not given."),
        click.option("--site-key", type=PATH, required=True, metavar="FILE", help="The site's own key."),
        click.option("--id-column", required=True, metavar="COLUMN", help="Column with the site's own id."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("study")
@click.argument("source", metavar="INPUT", type=PATH)
@own_records
@output_option("CSV with the site's id and the study pseudonym of each record.")
@force_option
@json_option
@connect_option
def register(
    study: str,
    source: Path,
    id_column: str,
    site_key: Path,
    delimiter: str | None,
    target: Path,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Register the site's records in a study; study pseudonyms come at once (site).

    The centre gets record numbers only, derived from the ids under the site key and sorted.

    Example:
      trustcenter study register sepsis patients.csv --id-column pid --site-key site.key -o pseudonyms.csv
    """
    from keys.secretfiles import SiteKey
    from trustcenter.client import TrustCenter
    from trustcenter.client import site as work
    from trustcenter.client.files import require_writable
    from trustcenter.client.jobs.csvstream import read_ids, write_csv

    require_writable(target, sources=(source, site_key), force=force)
    key = SiteKey.load(site_key).material
    ids = read_ids(source, id_column, separator(delimiter))
    with progress("registering") as tick:

        async def job(center: TrustCenter) -> list[str | None]:
            await center.study(study)
            return await work.register(center, study, ids, key, lambda _, done, total: tick(done, total))

        pseudonyms = call(connect, job)
    rows = [(one, pseudonym) for one, pseudonym in zip(ids, pseudonyms, strict=True) if pseudonym is not None]
    write_csv(target, (id_column, "pseudonym"), rows, force=force)
    refused = len(ids) - len(rows)
    if as_json:
        output.data({"study": study, "records": len(rows), "without_consent": refused})
    output.note(
        f"{counted(len(rows), 'record')} registered"
        + (f"; {refused:,} not: no consent for this study, or withdrawn" if refused else "")
    )


@click.command()
@click.argument("study")
@click.argument("source", metavar="INPUT", type=PATH)
@source_options
@click.option("--not-deduplicated", is_flag=True, help="Say that this source may hold a patient twice.")
@click.option(
    "--declaration", type=PATH, metavar="FILE", help="What `linkage dedupe` declared: the service keeps it in its log."
)
@separation_option
@json_option
@connect_option
def upload(
    study: str,
    source: Path,
    id_column: str,
    mapping: tuple[str, ...],
    study_secret: Path,
    site_key: Path,
    duplicates: Path | None,
    delimiter: str | None,
    not_deduplicated: bool,
    declaration: Path | None,
    require_separation: str,
    as_json: bool,
    connect: Path | None,
) -> None:
    r"""Encode the site's patients here, and bring the centre up to date with their rows (site).

    Names and birth dates never leave the site. Only what the centre does not hold yet is sent; interrupted, the
    command is simply given again.

    Example:
      trustcenter study upload sepsis patients.csv --id-column pid --map surname=NACHNAME \
        --study-secret study.secret --site-key site.key
    """
    from linkage.dedupe.listing import load_removed
    from linkage.readtable import read_table
    from linkage.schema import load
    from linkage.tables import parse_mapping
    from trustcenter.cli.secret_input import linkage_secrets
    from trustcenter.client import TrustCenter
    from trustcenter.client import site as work
    from trustcenter.client.study.declaration import load_declaration

    secrets = linkage_secrets(study_secret, site_key)
    chosen = parse_mapping(mapping) if mapping else None
    with progress("uploading") as tick:

        async def job(center: TrustCenter) -> work.Uploaded:
            found = await center.study(study)
            schema = load(found.schema)
            work.check_study(
                found,
                schema,
                secret_study=secrets.study,
                secret_version=secrets.version,
                site=center.connection.site,
                require_separation=require_separation,
                deduplicated=not not_deduplicated,
            )
            table = read_table(source, id_column=id_column, mapping=chosen, delimiter=separator(delimiter))
            said = None
            if declaration is not None:
                said = load_declaration(declaration, found, records=len(table), duplicates=duplicates)
            if duplicates is not None:
                table = load_removed(duplicates)[0].apply(table)
            return await work.upload(
                center, found, schema, table, secrets, lambda _, done, total: tick(done, total), deduplication=said
            )

        done = call(connect, job)
    if as_json:
        output.data(done)
    else:
        output.fields({"records": done.records, "new or changed": done.sent, "rows sent": done.rows})
    for receipt in done.receipts:
        output.note(f"receipt {receipt.sequence}: {counted(receipt.rows, 'row')}, root {receipt.root[:16]}…, verified")
    if done.without_consent:
        output.note(f"{counted(done.without_consent, 'record')} left out: no consent for this study, or withdrawn")
    if not done.sent:
        output.note("the centre holds all of this already")
    noticed.say(done.records, done.few_passes, done.warnings)
