"""`trustcenter linkage check` and `dedupe`: a site looks at its own source, in plaintext and alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, F, force_option, json_option, mapping_option, separator
from trustcenter.cli.progress import stages
from trustcenter.errors import CommandLineError

if TYPE_CHECKING:
    from linkage.check import Report
    from linkage.dedupe import Duplicates
    from linkage.schema import Schema
    from linkage.tables import Table

DUPLICATES = "duplicates.json"
DECLARATION = "declaration.json"


def _source(command: F) -> F:
    for option in (
        click.option("--delimiter", metavar="CHAR", help="Separator of CSV; found from the header if not given."),
        mapping_option,
        click.option("--id-column", required=True, metavar="COLUMN", help="Column with the site's own id."),
        click.option("--schema", "schema_name", required=True, metavar="NAME|FILE", help="The study's linkage schema."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("source", metavar="INPUT", type=PATH)
@_source
@click.option("--html", type=PATH, metavar="FILE", help="Write the report with charts as one HTML page as well.")
@force_option
@json_option
def check(
    source: Path,
    schema_name: str,
    id_column: str,
    mapping: tuple[str, ...],
    delimiter: str | None,
    html: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Report on the quality of a source (CSV, Parquet, NDJSON) before anything is encoded.

    Counts only: missing values and placeholders, sizes of blocks, rows that the caps will drop, records that can
    hardly be linked, repetitions, and the profile that suits the source. Reads files of any size.

    Example:
      trustcenter linkage check patients.csv --schema de-person/1 --id-column pid --html report.html
    """
    from linkage.check import check as look
    from linkage.readers import read_chunks
    from linkage.schema import load
    from linkage.tables import parse_mapping
    from trustcenter.client.files import replacing, require_writable

    if html is not None:
        require_writable(html, sources=(source,), force=force)
    schema = load(schema_name)
    with stages() as tick:
        chunks = read_chunks(
            source,
            id_column=id_column,
            mapping=parse_mapping(mapping) if mapping else None,
            delimiter=separator(delimiter),
            progress=partial(tick, "read"),
        )
        report = look(schema, chunks, progress=partial(tick, "count"))
    if html is not None:
        from linkage.check.html import page

        with replacing(html, force=force) as file:
            file.write(page(report, f"Check of a source under {schema.name}").encode())
        output.note("wrote the page")
    if as_json:
        output.data(report)
    else:
        _say(report)


def _say(report: Report) -> None:
    own = report.profiles[0]
    n = report.records
    output.fields(
        {
            "records": n,
            "equal in every value": report.same_in_all,
            "equal in names and birth date": report.same_person,
            "fewer than 3 live rows": own.few,
            "recommended profile": report.recommended,
            "its schema": report.recommended_schema,
            **{f"with further {what.replace('_', ' ')}s": count for what, count in report.further.items()},
        }
    )
    click.echo()
    output.table(
        ([f.name, f.missing, _bar(f.missing, n), _counts(f.noticed)] for f in report.fields),
        ("field", "missing", "share of all", "noticed"),
    )
    click.echo()
    output.table(
        (
            [p.name, p.cap, p.values, p.live, p.capped, p.missing, p.largest, _bar(p.live, n * p.values)]
            for p in report.passes
            if p.name in own.passes
        ),
        ("pass", "cap", "values", "live rows", "over cap", "missing", "largest", "share live"),
    )
    click.echo()
    output.table(
        ([k, count, _bar(count, n)] for k, count in enumerate(own.live) if count), ("live rows", "records", "share")
    )
    for sentence in report.advice:
        output.note(sentence)


def _counts(noticed: dict[str, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in noticed.items())


def _bar(part: int, whole: int) -> str:
    share = part / whole if whole else 0.0
    return "#" * round(20 * share) + f" {share:.1%}"


@click.command()
@click.argument("source", metavar="INPUT", type=PATH)
@_source
@click.option(
    "--list",
    "listing",
    type=PATH,
    metavar="FILE",
    help="Write the pairs that may be one person, for a person to decide.",
)
@click.option("--ids-only", is_flag=True, help="List ids without the values beside them.")
@click.option("--confirmed", type=PATH, metavar="FILE", help="The list as it came back, decisions filled in.")
@click.option("--accept-matches", is_flag=True, help="Join what the rule calls a match and nobody decided on.")
@click.option(
    "-o", "--output", "target", type=PATH, metavar="DIR", help=f"New directory for {DUPLICATES} and {DECLARATION}."
)
@force_option
@json_option
def dedupe(
    source: Path,
    schema_name: str,
    id_column: str,
    mapping: tuple[str, ...],
    delimiter: str | None,
    listing: Path | None,
    ids_only: bool,
    confirmed: Path | None,
    accept_matches: bool,
    target: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    r"""Find the duplicates inside a source, in plaintext, on this machine and nowhere else.

    First write a list; a person writes same or different in its first column. Then give the list back: duplicates.json
    (ids, for --duplicates of encode and upload) and declaration.json (counts) come of it. The list holds patients in
    plaintext: keep it here and delete it afterwards.

    Examples:
      trustcenter linkage dedupe patients.csv --schema de-person/1 --id-column pid --list pairs.csv
      trustcenter linkage dedupe patients.csv --schema de-person/1 --id-column pid --confirmed pairs.csv -o clean/
    """
    from linkage.dedupe import find
    from linkage.normalise import prepare
    from linkage.readtable import read_table
    from linkage.schema import load
    from linkage.tables import FURTHER, parse_mapping
    from trustcenter.client.files import require_writable
    from trustcenter.client.linking.folders import require_directory

    if listing is None and target is None:
        raise CommandLineError("say what is to be written", hint="--list FILE first; then --confirmed FILE -o DIR")
    if (target is not None) != (confirmed is not None or accept_matches):
        raise CommandLineError(
            "--output goes with --confirmed or --accept-matches, and they need it",
            hint="for the list of pairs: --list FILE",
        )
    if listing is not None:
        require_writable(listing, sources=(source,) if confirmed is None else (source, confirmed), force=force)
    if target is not None:
        require_directory(target, force=force)
    schema = load(schema_name)
    with stages() as tick:
        table = read_table(
            source,
            id_column=id_column,
            mapping=parse_mapping(mapping) if mapping else None,
            delimiter=separator(delimiter),
            progress=partial(tick, "read"),
        )
        prepared = prepare(schema, table.select([*(f.name for f in schema.fields), *FURTHER]), further=True)
        found = find(schema, prepared, progress=partial(tick, "compare"))
    told: dict[str, object] = {
        "records": len(table),
        "compared": found.compared,
        "pairs": len(found.pairs),
        "matches": int(found.pairs["match"].sum()),
        "expected_duplicates": round(found.model.matches, 1),
        "blocks_skipped": found.blocks_skipped,
        "default_values": found.defaults,
    }
    if found.blocks_skipped:
        output.note(
            f"{counted(found.blocks_skipped, 'value is', 'values are')} shared by so many records that these were not "
            "compared: look at them with `linkage check`"
        )
    if found.equal and not len(found.pairs):
        output.note(
            f"{found.equal:,} records are equal to another one in every field, and so many are that the rule takes it "
            "for chance: look at them with `linkage check`"
        )
    if listing is not None:
        from linkage.dedupe.listing import write_list

        write_list(listing, table, found, values=not ids_only)
        output.note("wrote the list" + ("" if ids_only else ": it holds patients in plaintext, keep it here"))
    if target is not None:
        told["removed"] = _finish(schema, table, found, confirmed, target, accept_matches, force)
    if as_json:
        output.data(told)
    else:
        output.fields({k.replace("_", " "): v for k, v in told.items()})


def _finish(
    schema: Schema,
    table: Table,
    found: Duplicates,
    confirmed: Path | None,
    target: Path,
    accept: bool,
    force: bool,
) -> int:
    from linkage.dedupe.listing import encode_removed, read_list, settle
    from trustcenter.client.files import replacing
    from trustcenter.client.linking.folders import new_directory

    decided = read_list(confirmed) if confirmed is not None else []
    removed, declaration = settle(schema, table, found, decided, accept=accept)
    new_directory(target, force=force)

    def write(path: Path, data: bytes) -> None:
        with replacing(path, force=force) as file:
            file.write(data)

    write(target / DUPLICATES, encode_removed(removed))
    write(target / DECLARATION, declaration.encode())
    if declaration.open - declaration.accepted > 0:
        output.note(f"{declaration.open - declaration.accepted} pairs were left open; the declaration says so")
    output.note(f"{DUPLICATES} stays here; {DECLARATION} may go with the upload")
    return declaration.removed
