"""`trustcenter linkage index`: rows on disk, sorted by token, so that a window of new rows is a look-up."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, json_option, output_option
from trustcenter.cli.progress import progress
from trustcenter.errors import CommandLineError, UsageError

if TYPE_CHECKING:
    from linkage.index import Window


@click.group()
def index() -> None:
    """An index of rows on disk: the edges of new rows without comparing everything again.

    Whoever compares keeps it; it holds tokens and filters, as the rows files do.

    Example:
      trustcenter linkage index build known/ hospital/rows.tcrows --schema de-person/1
      trustcenter linkage index look-up known/ practice/rows.tcrows -o new.tcedges
      trustcenter linkage index add known/ practice/rows.tcrows
    """


@index.command()
@click.argument("folder", metavar="INDEX", type=PATH)
@click.argument("files", metavar="ROWS...", type=PATH, nargs=-1, required=True)
@click.option("--schema", "schema_name", required=True, metavar="NAME|FILE", help="Schema of the rows files.")
@json_option
def build(folder: Path, files: tuple[Path, ...], schema_name: str, as_json: bool) -> None:
    """Make a new index out of rows files, each of a source of its own; memory does not grow with them.

    If it is stopped, or a file is refused, nothing stays: build it again.

    Example:
      trustcenter linkage index build known/ north/rows.tcrows south/rows.tcrows --schema de-person/1
    """
    from linkage.index import TokenIndex
    from linkage.rows import open_rows
    from linkage.schema import load

    head, _ = open_rows(files[0])
    schema = load(schema_name)
    if head.fingerprint != schema.fingerprint:
        raise UsageError("the rows file was encoded under another schema", code="wrong_fingerprint")
    made = TokenIndex.create(folder, head.study, head.version, schema)
    try:
        with progress("building") as tick:
            rows = made.load(files, tick)
    except BaseException:  # else the directory would be in the way of the next attempt
        shutil.rmtree(folder)
        raise
    _state(folder, as_json, {"rows_added": rows})


@index.command("look-up")
@click.argument("folder", metavar="INDEX", type=PATH)
@click.argument("files", metavar="[ROWS]...", type=PATH, nargs=-1)
@click.option("--retire", type=PATH, metavar="FILE", help="Refs that are no more, one in hexadecimal a line.")
@output_option("Edges file (docs/spec/chunk-plan.md).")
@force_option
@json_option
def look_up(
    folder: Path, files: tuple[Path, ...], retire: Path | None, target: Path, force: bool, as_json: bool
) -> None:
    """Write the edges of new rows, with each other and with what is in the index. The index is not changed.

    Whoever holds the maps decides: `linkage match` with --edges for these and for those of before.

    Example:
      trustcenter linkage index look-up known/ practice/rows.tcrows -o new.tcedges
    """
    from linkage.executors.edgefile import write
    from linkage.index import TokenIndex
    from trustcenter.client.files import require_writable

    require_writable(target, force=force)
    found = TokenIndex(folder)
    state = found.manifest
    with progress("looking up") as tick:
        edges = found.look_up(_window(folder, files, retire), tick)
    write(target, iter([edges.table]), len(edges.table), state.study, state.version, state.fingerprint)
    figures: dict[str, object] = {
        "edges": len(edges.table),
        "rows_compared": edges.compared,
        "rows_over_cap": sum(edges.over_cap),
        "blocks_skipped": edges.blocks_skipped,
    }
    output.data(figures) if as_json else output.fields(figures)


@index.command()
@click.argument("folder", metavar="INDEX", type=PATH)
@click.argument("files", metavar="[ROWS]...", type=PATH, nargs=-1)
@click.option("--retire", type=PATH, metavar="FILE", help="Refs that are no more, one in hexadecimal a line.")
@json_option
def add(folder: Path, files: tuple[Path, ...], retire: Path | None, as_json: bool) -> None:
    """Add new rows and retire refs, all or nothing; adding the same again changes nothing.

    Example:
      trustcenter linkage index add known/ practice/rows.tcrows --retire gone.txt
    """
    from linkage.index import TokenIndex

    found = TokenIndex(folder)
    applied = found.apply(_window(folder, files, retire))
    found.compact()
    if not applied:
        output.note("this very window was added before")
    _state(folder, as_json, {"applied": applied})


@index.command()
@click.argument("folder", metavar="INDEX", type=PATH)
@json_option
def compact(folder: Path, as_json: bool) -> None:
    """Merge all files into one and drop what is retired.

    Example:
      trustcenter linkage index compact known/
    """
    from linkage.index import TokenIndex

    merged = TokenIndex(folder).compact(whole=True)
    _state(folder, as_json, {"segments_merged": merged})


@index.command()
@click.argument("folder", metavar="INDEX", type=PATH)
@click.option("--verify", is_flag=True, help="Read everything and compare the hashes.")
@json_option
def show(folder: Path, verify: bool, as_json: bool) -> None:
    """Show what an index holds.

    Example:
      trustcenter linkage index show known/ --verify
    """
    from linkage.index import TokenIndex

    if verify:
        TokenIndex(folder).check()
    _state(folder, as_json, {"verified": verify})


def _state(folder: Path, as_json: bool, more: dict[str, object]) -> None:
    from linkage.index import TokenIndex

    state = TokenIndex(folder).manifest
    figures: dict[str, object] = {
        **more,
        "study": state.study,
        "version": state.version,
        "sources": list(state.sources),
        "rows": sum(s.n for s in state.segments),
        "retired": sum(r.n for r in state.retired),
        "segments": len(state.segments),
    }
    output.data(figures) if as_json else output.fields(figures)


def _window(folder: Path, files: tuple[Path, ...], retire: Path | None) -> Window:
    import numpy as np

    from linkage.index import TokenIndex, Window
    from linkage.rows import read_rows

    if not files and retire is None:
        raise CommandLineError("give rows files, or refs to retire")
    state = TokenIndex(folder).manifest
    rows = {}
    for path in files:
        head, table = read_rows(path)
        if (head.study, head.version, head.fingerprint) != (state.study, state.version, state.fingerprint):
            raise UsageError("a rows file is not of the index's study, version and schema", code="mixed_sources")
        if head.source in rows:
            raise UsageError("two rows files are of one source", code="mixed_sources")
        rows[head.source] = table
    refs = np.empty((0, 16), np.uint8)
    if retire is not None:
        try:
            text = bytes.fromhex("".join(retire.read_text(encoding="ascii").split()))
        except (OSError, ValueError):
            raise UsageError("the list of refs cannot be read, or is not hexadecimal", code="bad_refs") from None
        if len(text) % 16:
            raise UsageError("a ref has not 32 hexadecimal digits", code="bad_refs")
        refs = np.frombuffer(text, np.uint8).reshape(-1, 16)
    return Window(rows, refs)
