"""`trustcenter linkage plan` and `chunk`: a comparison cut into pieces for a batch system."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, json_option
from trustcenter.cli.progress import progress
from trustcenter.errors import CommandLineError


@click.command()
@click.argument("files", metavar="[ROWS]...", type=PATH, nargs=-1)
@click.option("--work", type=PATH, required=True, metavar="DIR", help="Working directory that all machines see.")
@click.option("--schema", "schema_name", metavar="NAME|FILE", help="Schema of the rows files.")
@click.option("--edges", type=PATH, metavar="FILE", help="Write the edges of a comparison that is done.")
@force_option
@json_option
def plan(
    files: tuple[Path, ...], work: Path, schema_name: str | None, edges: Path | None, force: bool, as_json: bool
) -> None:
    """Cut a comparison into chunks, or, without rows files, say how far one is.

    `linkage chunk` does them, anywhere and in any order; `linkage match --work DIR` does what is left and decides.
    Where who compares may not hold the maps, --edges writes what whoever does needs for `linkage match --edges FILE`.

    Examples:
      trustcenter linkage plan north/rows.tcrows south/rows.tcrows --schema de-person/1 --work spool/
      trustcenter linkage plan --work spool/
      trustcenter linkage plan --work spool/ --edges all.tcedges
    """
    from linkage.executors import load, make, status, write_edges
    from linkage.schema import load as load_schema
    from trustcenter.client.files import require_writable

    if bool(files) != (schema_name is not None):
        raise CommandLineError("rows files and --schema go together")
    made = make(work, files, load_schema(schema_name)) if schema_name is not None else load(work)
    state = status(work)
    figures: dict[str, object] = {
        "plan": made.hash,
        "rows": made.rows,
        "cuts": len(made.cuts),
        "cuts_done": sum(state[c] for c in made.cuts),
        "joins": len(made.joins),
        "joins_done": sum(state[c] for c in made.joins),
    }
    if edges is not None:
        require_writable(edges, force=force)
        with progress("writing") as tick:
            figures["edges"] = write_edges(work, edges, tick).n
    output.data(figures) if as_json else output.fields(figures)


@click.command()
@click.argument("work", metavar="DIR", type=PATH)
@click.argument("kind", type=click.Choice(["cut", "join"]))
@click.option("--task", type=click.IntRange(0, 100_000), default=0, show_default=True, help="Number of this task.")
@click.option("--of", "tasks", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Number of tasks.")
@json_option
def chunk(work: Path, kind: Literal["cut", "join"], task: int, tasks: int, as_json: bool) -> None:
    """Do a share of a plan's chunks. What is done already is left alone, so a task may be run again at any time.

    All cuts come before the first join.

    Examples:
      trustcenter linkage chunk spool/ cut
      trustcenter linkage chunk spool/ join --task $SLURM_ARRAY_TASK_ID --of 40
    """
    from linkage.executors import load, run_chunk

    if task >= tasks:
        raise CommandLineError("tasks are numbered from 0")
    made = load(work)
    mine = (made.cuts if kind == "cut" else made.joins)[task::tasks]
    with progress("cutting" if kind == "cut" else "comparing") as tick:
        for done, name in enumerate(mine, 1):
            run_chunk(str(work.resolve()), name)
            tick(done, len(mine))
    figures: dict[str, object] = {"chunks": len(mine)}
    output.data(figures) if as_json else output.fields(figures)
