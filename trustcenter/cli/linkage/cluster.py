"""`trustcenter linkage cluster`: persons formed anew, and what became of whom."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, json_option, output_option
from trustcenter.cli.progress import stages


@click.command()
@click.argument("matched", metavar="DIR", type=PATH)
@output_option("New directory for pairs.csv, persons.csv, run.json and events.csv.")
@click.option(
    "--verdicts", type=PATH, metavar="FILE", help="Pairs with same or different, as `evaluate --sheet` lists."
)
@click.option("--previous", type=PATH, metavar="DIR", help="The outcome before: its persons are kept where they go on.")
@click.option("--cut", type=click.FloatRange(0, 1), help="Posterior above which a pair is a match; else the run's own.")
@force_option
@json_option
def cluster(
    matched: Path,
    target: Path,
    verdicts: Path | None,
    previous: Path | None,
    cut: float | None,
    force: bool,
    as_json: bool,
) -> None:
    r"""Form the persons of an outcome of `match` again.

    With what people decided about pairs, or after a later match of the same sources: persons then keep their numbers,
    and events.csv says who was created, grew, was split, merged or ended.

    Examples:
      trustcenter linkage cluster joined/ --verdicts decided.csv -o persons/
      trustcenter linkage cluster joined-in-may/ --previous joined-in-april/ -o persons/
    """
    from trustcenter.client.linking.offline_cluster import cluster_directory

    with stages() as tick:
        made = cluster_directory(
            matched, target, verdicts=verdicts, previous=previous, cut=cut, force=force, progress=tick
        )
    told: dict[str, object] = {
        "persons": made.persons,
        "verdicts": made.verdicts,
        "unmet": made.unmet,
        "refused_merges": made.refused,
    }
    if made.events is not None:
        told["events"] = dict(sorted(Counter(e.kind.value for e in made.events).items()))
    if as_json:
        output.data(told)
        return
    events = told.pop("events", None)
    output.fields({k.replace("_", " "): v for k, v in told.items()})
    if isinstance(events, dict):
        click.echo()
        output.table(([name, count] for name, count in events.items()), ("event", "persons"), empty="nothing changed")
    if made.unmet:
        output.note(f"{counted(made.unmet, 'pair')} called the same would put two records of one source together")
