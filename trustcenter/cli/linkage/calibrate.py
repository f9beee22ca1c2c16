"""`trustcenter linkage calibrate`: tables of counts from a site's own records."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, json_option, output_option, separator
from trustcenter.cli.progress import stages

_DEGREES = ["light", "moderate", "heavy"]


@click.command()
@click.argument("source", metavar="[INPUT]", type=PATH, required=False)
@click.option("--schema", "schema_name", required=True, metavar="NAME|FILE", help="The study's linkage schema.")
@click.option("--id-column", metavar="COLUMN", help="Column with the site's own id; needed with INPUT.")
@click.option("--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="Column of a field; repeat.")
@click.option("--delimiter", metavar="CHAR", help="Separator; found from the header if not given.")
@click.option(
    "--errors", "degree", type=click.Choice(_DEGREES), default="moderate", show_default=True, help="Carelessness."
)
@click.option("--seed", default="1", show_default=True, help="Any text; the same one gives the same counts.")
@click.option(
    "--pool", "pooled", multiple=True, type=PATH, metavar="FILE", help="Counts of another site, added; repeat."
)
@click.option("--shipped", is_flag=True, help="Add the counts that ship for the passes of the schema.")
@output_option("File for the counts.")
@force_option
@json_option
def calibrate(
    source: Path | None,
    schema_name: str,
    id_column: str | None,
    mapping: tuple[str, ...],
    delimiter: str | None,
    degree: str,
    seed: str,
    pooled: tuple[Path, ...],
    shipped: bool,
    target: Path,
    force: bool,
    as_json: bool,
) -> None:
    r"""Count how matches, relatives and strangers look among a site's own records.

    The records are linked with a corrupted copy of themselves, here and in plaintext. What comes out are tables of
    counts, from which no record can be read; sites hand them to the study, which pools and freezes them. Without
    INPUT only tables are pooled.

    Examples:
      trustcenter linkage calibrate north.csv --schema de-person/1 --id-column id -o north.json
      trustcenter linkage calibrate --schema de-person/1 --pool north.json --pool south.json --shipped -o study.json
    """
    from trustcenter.client.linking.offline_calibrate import calibrate_source

    with stages() as tick:
        made = calibrate_source(
            source,
            target,
            schema_name=schema_name,
            id_column=id_column,
            mapping=mapping,
            delimiter=separator(delimiter),
            degree=degree,
            seed=seed,
            pooled=pooled,
            with_shipped=shipped,
            force=force,
            progress=tick,
        )
    if as_json:
        output.data(made)
    else:
        output.fields(
            {
                "profile": made.profile,
                "matches": made.matches,
                "relatives": made.relatives,
                "strangers": made.strangers,
                "sha256": made.sha256,
            }
        )
