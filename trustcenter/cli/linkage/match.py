"""`trustcenter linkage match`: who is who."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, json_option, output_option
from trustcenter.cli.progress import stages
from trustcenter.errors import CommandLineError

from .machines import machine_options, resumable

if TYPE_CHECKING:
    from linkage.match import MatchResult
    from trustcenter.client.linking.comparing import Machines

_ENOUGH = 10_000  # pairs of records of which some share a first name and a birth day, or a surname and a postcode


@click.command()
@click.argument("directories", metavar="DIR DIR [DIR]...", type=PATH, nargs=-1)
@output_option("New directory for pairs.csv and persons.csv.")
@click.option("--schema", "schema_name", metavar="NAME|FILE", help="Schema, if it is not one that ships.")
@click.option(
    "--not-deduplicated", multiple=True, metavar="SOURCE", help="A source that may hold a patient twice; repeat."
)
@click.option("--careful", is_flag=True, help="Leave twins at one address and changed surnames to people.")
@machine_options
@click.option(
    "--densities", type=PATH, metavar="FILE", help="The study's counts (linkage calibrate) instead of those that ship."
)
@click.option("--parameters", type=PATH, metavar="FILE", help="parameters.json of an earlier match: decide as it did.")
@click.option(
    "--edges",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="Edges from whoever compared (plan --edges, index look-up); repeat. Then only the maps are read.",
)
@click.option("--explain", is_flag=True, help="Write explained.csv as well: why each pair was joined or not.")
@force_option
@json_option
def match(
    directories: tuple[Path, ...],
    target: Path,
    schema_name: str | None,
    not_deduplicated: tuple[str, ...],
    careful: bool,
    machines: Machines,
    densities: Path | None,
    parameters: Path | None,
    edges: tuple[Path, ...],
    explain: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Match two or more encoded sources.

    Writes pairs.csv (every pair of records with an edge, its posterior, what was decided, and whether one name may
    differ wholly), persons.csv (the person of each record), run.json (figures of the run) and parameters.json (what it
    was decided with; records that come later are decided alike under --parameters). Where ids.csv lies in a DIR, the
    site's ids stand beside the record numbers.

    Example:
      trustcenter linkage match north/ south/ practice/ -o joined/
      trustcenter linkage match north/ south/ -o joined/ --workers 8 --work spool/
      trustcenter linkage match north/ south/ -o joined/ --edges all.tcedges
      trustcenter linkage match north/ south/ west/ -o now/ --edges all.tcedges --edges new.tcedges
    """
    from trustcenter.client.linking.comparing import Machines
    from trustcenter.client.linking.offline import match_directories

    if edges and machines != Machines():
        raise CommandLineError("with --edges nothing is compared: without --workers, --dask and --work")
    if len(directories) < 2:
        raise CommandLineError("matching needs at least two directories")
    if parameters is not None and (densities is not None or careful):
        raise CommandLineError("--parameters stands in place of --densities and --careful")
    schema = None
    if schema_name is not None:
        from linkage.schema import load

        schema = load(schema_name)
    with resumable(machines.work, "compared"), stages() as tick:
        result = match_directories(
            directories,
            target,
            schema=schema,
            not_deduplicated=not_deduplicated,
            careful=careful,
            machines=machines,
            densities=densities,
            parameters=parameters,
            edges=edges,
            force=force,
            progress=tick,
        )
    if explain:
        from trustcenter.client.linking.offline_explain import write_explained

        with stages() as tick:
            explained = write_explained(target, force=force, progress=tick)
        output.note(f"explained {counted(explained, 'pair')}")
    _say(result, as_json)


def _say(result: object, as_json: bool) -> None:
    from linkage.decide import Class
    from linkage.match import MatchResult

    assert isinstance(result, MatchResult)
    if as_json:
        output.data({"sources": result.names, "refused_declarations": result.refused, **result.counts})
    else:
        output.fields({"sources": result.names, **result.counts})
    joined = sum(int((p["other_name"] & (p["class"] == Class.MATCH)).sum()) for p in result.decided.parts())
    if joined:
        output.note(
            f"{joined} matches may differ in one whole name: if there are twins at one address or changed surnames, "
            "they are among these (column other_name of pairs.csv); --careful leaves them to people"
        )
    for first, second in _strangers(result):
        output.note(
            f"no record of {output.plain(first)} resembles any of {output.plain(second)}: were both encoded under one "
            "study secret (linkage secret --show)?"
        )
    for name in result.refused:
        output.note(f"the source {output.plain(name)} is not free of duplicates: its pairs are possible only")
    if result.refused:
        output.note("find its duplicates at its site (linkage dedupe), and encode it again without them")


def _strangers(result: MatchResult) -> list[tuple[str, str]]:
    """Sources without a single pair, though chance alone would have brought dozens together."""
    import numpy as np

    records = np.bincount(result.sources, minlength=len(result.names)).tolist()
    met = {weights.sources for weights in result.weights}
    return [
        (result.names[x], result.names[y])
        for x, y in combinations(range(len(result.names)), 2)
        if (x, y) not in met and records[x] * records[y] >= _ENOUGH
    ]
