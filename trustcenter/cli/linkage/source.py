"""`trustcenter linkage synth` and `encode`: synthetic sites, and a source as files."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import noticed, output
from trustcenter.cli.options import PATH, F, force_option, json_option, mapping_option, output_option, separator
from trustcenter.cli.progress import stages
from trustcenter.errors import CommandLineError

from .machines import resumable

_PROFILES = ["none", "light", "moderate", "heavy"]
_SHARE = click.FloatRange(0, 1)
_KINDS = ["hospital", "practice", "rescue", "care", "payer"]


def source_options(command: F) -> F:
    """How a site's file is read and under which secrets it is encoded; shared with `study upload`."""
    for option in (
        click.option(
            "--duplicates",
            type=PATH,
            metavar="FILE",
            help="duplicates.json of `linkage dedupe`: these records are left out.",
        ),
        click.option("--delimiter", metavar="CHAR", help="Separator; found from the header if not given."),
        click.option("--site-key", type=PATH, required=True, metavar="FILE", help="The site's own key."),
        click.option(
            "--study-secret", type=PATH, required=True, metavar="FILE", help="The secret that the sites share."
        ),
        mapping_option,
        click.option("--id-column", required=True, metavar="COLUMN", help="Column with the site's own id."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("target", metavar="DIR", type=PATH)
@click.option(
    "--site", "sites", multiple=True, metavar="NAME=SIZE[:KIND]", help=f"A site; repeat. Kinds: {', '.join(_KINDS)}."
)
@click.option("--overlap", type=_SHARE, default=0.3, show_default=True, help="Share of common patients.")
@click.option("--errors", type=click.Choice(_PROFILES), default="moderate", show_default=True, help="Carelessness.")
@click.option("--households", type=_SHARE, default=0.6, show_default=True, help="Share of people in households.")
@click.option("--twins", type=_SHARE, default=0.04, show_default=True, help="Chance that two siblings are twins.")
@click.option("--marriages", type=_SHARE, default=0.03, show_default=True, help="Chance of another surname.")
@click.option("--moves", type=_SHARE, default=0.12, show_default=True, help="Chance of another address.")
@click.option(
    "--missing", type=click.FloatRange(0, 10), default=1.0, show_default=True, help="Factor on the rate of gaps."
)
@click.option("--seed", default="1", show_default=True, help="Any text; the same one gives the same files.")
@json_option
def synth(
    target: Path,
    sites: tuple[str, ...],
    overlap: float,
    errors: str,
    households: float,
    twins: float,
    marriages: float,
    moves: float,
    missing: float,
    seed: str,
    as_json: bool,
) -> None:
    """Write synthetic patients of several sites, and who is who, into DIR.

    Example:
      trustcenter linkage synth demo/ --site north=5000 --site practice=300:practice --overlap 0.2 --seed 7
    """
    from linkage.synth import SiteSpec, SynthConfig, generate, write_csv
    from trustcenter.client.linking.folders import new_directory

    specs = []
    for text in sites or ("north=1000", "south=1000"):
        name, _, size = text.partition("=")
        size, _, kind = size.partition(":")
        if not size.isascii() or not size.isdigit() or len(size) > 8 or kind not in ("", *_KINDS):
            raise CommandLineError("a site is given as NAME=SIZE or NAME=SIZE:KIND", where="--site")
        specs.append(SiteSpec(name, int(size), kind or "hospital"))  # type: ignore[arg-type]
    config = SynthConfig(
        seed,
        tuple(specs),
        overlap=overlap,
        errors=errors,  # type: ignore[arg-type]
        households=households,
        twins=twins,
        marriages=marriages,
        moves=moves,
        missing=missing,
    )
    config.check()
    new_directory(target)
    made = generate(config)
    write_csv(made, target)
    sizes = {name: len(table) for name, table in made.sites.items()}
    if as_json:
        output.data({"sites": sizes, "records": len(made.truth)})
    output.note(f"wrote {len(made.truth)} records of {len(sizes)} sites and truth.csv")


@click.command()
@click.argument("source", metavar="INPUT", type=PATH)
@click.option("--schema", "schema_name", required=True, metavar="NAME|FILE", help="The study's linkage schema.")
@click.option("--study", metavar="STUDY", help="Name of the study; checked against the study secret.")
@click.option("--source", "name", metavar="NAME", help="Name of this source; the file's name if not given.")
@source_options
@click.option(
    "--work",
    type=PATH,
    metavar="DIR",
    help="Keep the rows that are made here, and go on with what is there; removed at the end.",
)
@output_option("New directory for the three files.")
@force_option
@json_option
def encode(
    source: Path,
    schema_name: str,
    study: str | None,
    name: str | None,
    id_column: str,
    mapping: tuple[str, ...],
    study_secret: Path,
    site_key: Path,
    duplicates: Path | None,
    delimiter: str | None,
    work: Path | None,
    target: Path,
    force: bool,
    as_json: bool,
) -> None:
    r"""Encode a site's patients (CSV in UTF-8, Parquet or NDJSON, one record per patient) into rows and a map.

    With --work the same command goes on after it was stopped: it reads the source again, a fifth of the work, and makes
    the rows that are missing. Without --work Ctrl-C leaves nothing behind.

    Examples:
      trustcenter linkage encode patients.csv --schema de-person/1 --id-column pid --map surname=NACHNAME \
        --study-secret study.secret --site-key site.key -o encoded/
      trustcenter linkage encode millions.parquet --schema de-person/3 --id-column pid \
        --study-secret study.secret --site-key site.key --work spool/ -o encoded/
    """
    from linkage.schema import load
    from linkage.tables import parse_mapping
    from trustcenter.cli.secret_input import linkage_secrets
    from trustcenter.client.linking.offline import encode_source

    if work is not None:
        places = work.resolve(), target.resolve()
        # What is begun beside an output may bear a name that is swept in a working directory.
        if places[0].is_relative_to(places[1]) or places[1].is_relative_to(places[0]):
            raise CommandLineError("one of --work and --output lies in the other", hint="name two beside each other")
    schema = load(schema_name)
    secrets = linkage_secrets(study_secret, site_key, study)
    with resumable(work, "encoded"), stages() as tick:
        made = encode_source(
            source,
            target,
            name=name or source.stem,
            schema=schema,
            secrets=secrets,
            id_column=id_column,
            mapping=parse_mapping(mapping) if mapping else None,
            delimiter=separator(delimiter),
            duplicates=duplicates,
            work=work,
            force=force,
            progress=tick,
        )
    _say(made, as_json)


def _say(made: object, as_json: bool) -> None:
    from trustcenter.client.linking.offline import IDS, MAP, ROWS, EncodedSource

    assert isinstance(made, EncodedSource)
    if as_json:
        output.data(made)
    else:
        output.fields({"source": made.source, "records": made.records, "rows": made.rows, "schema": made.fingerprint})
    output.note(f"{ROWS} goes to the comparator, {MAP} to the registrar: never both to one party")
    output.note(f"{IDS} stays here")
    if not made.records:
        output.note("the source has no records: it was encoded, and nobody will be found in it")
    noticed.say(made.records, made.few_passes, made.warnings)
