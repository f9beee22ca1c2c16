"""`trustcenter study result` and `duplicates`: what a site gets back, and what it says about its own records."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import (
    PATH,
    call,
    connect_option,
    force_option,
    json_option,
    output_option,
    passphrase_option,
    separator,
)
from trustcenter.messages.words import ResultFormat

from .site import own_records


@click.command()
@click.argument("study")
@click.option("--input", "source", type=PATH, required=True, metavar="FILE", help="CSV with the site's own ids.")
@own_records
@click.option(
    "--format",
    "kind",
    type=click.Choice(get_args(ResultFormat)),
    default="csv",
    show_default=True,
    help="Of the output.",
)
@click.option("--key", "key_file", type=PATH, metavar="FILE", help="Have the results sealed to the site's key.")
@passphrase_option
@output_option("The site's id, study pseudonym, successor and date shift of each record.")
@force_option
@json_option
@connect_option
def result(
    study: str,
    source: Path,
    id_column: str,
    site_key: Path,
    delimiter: str | None,
    kind: ResultFormat,
    key_file: Path | None,
    passphrase_file: Path | None,
    target: Path,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Fetch what the centre has for the site's own records (site).

    Pseudonyms; successors of own duplicates; and, in a study that shifts dates, after a release the days to add to
    each person's dates. Only these depend on other sites: records of one person have the same offset everywhere.

    With --key they come sealed to the site's key, as an operator registered it (`site set-key`).

    Examples:
      trustcenter study result sepsis --input patients.csv --id-column pid --site-key site.key -o result.csv
      trustcenter study result sepsis --input patients.csv --id-column pid --site-key site.key --format fhir -o r.json
    """
    from keys.secretfiles import SiteKey
    from trustcenter.cli.secret_input import recipient_key
    from trustcenter.client.files import require_writable
    from trustcenter.client.jobs.csvstream import read_ids
    from trustcenter.client.study import study_results as work

    require_writable(target, sources=(source, site_key), force=force)
    key = SiteKey.load(site_key).material
    ids = read_ids(source, id_column, separator(delimiter))
    sealed_to = None if key_file is None else recipient_key(key_file, passphrase_file)
    rows = call(connect, lambda center: work.fetch(center, study, ids, key, sealed_to))
    work.write(target, kind, id_column, rows, study, force=force)
    unknown = len(ids) - len(rows)
    if as_json:
        output.data({"study": study, "records": len(rows), "unknown": unknown})
    output.note(counted(len(rows), "record") + (f"; not registered: {unknown:,}" if unknown else ""))


@click.command()
@click.argument("study")
@click.argument("source", metavar="PAIRS", type=PATH)
@click.option("--id-column", required=True, metavar="COLUMN", help="Column with the id of the record that goes.")
@click.option("--successor-column", required=True, metavar="COLUMN", help="Column with the id of the one that stays.")
@click.option("--site-key", type=PATH, required=True, metavar="FILE", help="The site's own key.")
@json_option
@connect_option
def duplicates(
    study: str,
    source: Path,
    id_column: str,
    successor_column: str,
    site_key: Path,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Say which own records are one person (site).

    The centre never compares records of one site; the site finds them in its own plaintext (trustcenter linkage
    dedupe). The record that goes leaves linkage; its pseudonym stays and names its successor in the results.

    Example:
      trustcenter study duplicates sepsis pairs.csv --id-column pid --successor-column stays --site-key site.key
    """
    from keys.secretfiles import SiteKey
    from trustcenter.client.jobs.csvstream import read_columns
    from trustcenter.client.study import study_results as work

    key = SiteKey.load(site_key).material
    pairs = [(gone, stays) for gone, stays in read_columns(source, (id_column, successor_column))]
    new = call(connect, lambda center: work.declare(center, study, pairs, key))
    if as_json:
        output.data({"study": study, "duplicates": len(pairs), "new": new})
    output.note(f"{len(pairs)} duplicates, {new} of them new")
