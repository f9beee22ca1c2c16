"""`trustcenter linkage evaluate`: how good a match is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, json_option
from trustcenter.cli.progress import stages
from trustcenter.errors import CommandLineError

if TYPE_CHECKING:
    from linkage.evaluate import Evaluation, Rates

_BASIS = {
    "truth": "counted against the truth",
    "labels": "estimated from labels; recall is that among candidates",
    "estimate": "estimated from the posteriors alone; recall is that among candidates",
}


@click.command()
@click.argument("matched", metavar="DIR", type=PATH)
@click.option("--truth", type=PATH, metavar="FILE", help="CSV with the columns site, id and person.")
@click.option("--labels", type=PATH, metavar="FILE", help="A sheet of --sheet as it came back, decisions filled in.")
@click.option(
    "--encoded",
    type=PATH,
    multiple=True,
    metavar="DIR",
    help="A source that was matched; repeat. Adds each pass's work.",
)
@click.option("--report", type=PATH, metavar="FILE", help="Write the whole evaluation with charts as one HTML page.")
@click.option("--charts", type=PATH, metavar="DIR", help="Write every chart as a file into a new directory.")
@click.option("--png", is_flag=True, help="Charts as PNG, not SVG; needs the extra png.")
@click.option("--sheet", type=PATH, metavar="FILE", help="Write pairs for labelling, without their scores.")
@click.option("--sheet-size", type=click.IntRange(1), default=200, show_default=True, help="Pairs on the sheet.")
@force_option
@json_option
def evaluate(
    matched: Path,
    truth: Path | None,
    labels: Path | None,
    encoded: tuple[Path, ...],
    report: Path | None,
    charts: Path | None,
    png: bool,
    sheet: Path | None,
    sheet_size: int,
    force: bool,
    as_json: bool,
) -> None:
    r"""Judge the outcome of `match`: precision, recall, F1, what was lost where, with charts.

    By a truth, by labels of a sample, or, without either, as far as the posteriors tell.

    Examples:
      trustcenter linkage evaluate joined/ --truth demo/truth.csv
      trustcenter linkage evaluate joined/ --encoded north/ --encoded south/ --report report.html
      trustcenter linkage evaluate joined/ --sheet pairs.csv
      trustcenter linkage evaluate joined/ --labels pairs.csv --report report.html
    """
    from trustcenter.client.files import replacing, require_writable
    from trustcenter.client.linking.folders import require_directory
    from trustcenter.client.linking.offline_evaluate import Matched, evaluate_directory

    if truth is not None and labels is not None:
        raise CommandLineError("give a truth or labels, not both")
    if png and charts is None:
        raise CommandLineError("--png goes with --charts")
    for target in (report, sheet):
        if target is not None:
            require_writable(target, sources=tuple(p for p in (truth, labels) if p is not None), force=force)
    form: Literal["svg", "png"] = "png" if png else "svg"
    if charts is not None:
        from linkage.charts import drawer_of

        drawer_of(form)
        require_directory(charts, force=force)
    with stages() as tick:
        read = Matched(matched, partial(tick, "read"))
    if sheet is not None:
        written = read.sheet(sheet, sheet_size, force=force)
        output.note(f"wrote a sheet of {counted(written, 'pair')}: write same or different in its first column")
    found = evaluate_directory(read, truth=truth, labels=labels, encoded=encoded)
    if report is not None:
        from linkage.evaluate.html import page

        with replacing(report, force=force) as file:
            file.write(page(found).encode())
        output.note("wrote the page")
    if charts is not None:
        _write_charts(found, charts, form, force)
    _say(found, as_json)


def _write_charts(found: Evaluation, target: Path, form: Literal["svg", "png"], force: bool) -> None:
    from linkage.charts import save
    from linkage.evaluate.figures import figures
    from trustcenter.client.files import replacing
    from trustcenter.client.linking.folders import new_directory

    drawn = {name: save(chart, form) for name, chart in figures(found).items()}
    new_directory(target, force=force)
    for name, data in drawn.items():
        with replacing(target / f"{name}.{form}", force=force) as file:
            file.write(data)
    output.note(f"wrote {len(drawn)} charts")


def _say(found: Evaluation, as_json: bool) -> None:
    import msgspec

    from linkage.evaluate.model import CAUTION

    if as_json:
        told = msgspec.to_builtins(found)
        told["overall"], told["estimated"] = _figures(found.overall), _figures(found.estimated)
        told["by_sources"] = [{"sources": list(b.sources), **_figures(b.rates)} for b in found.by_sources]
        told["curve"] = [{"threshold": p.threshold, **_figures(p.rates)} for p in found.curve]
        output.data(told)
        return
    c = found.candidates
    told = {
        "candidates": c.candidates,
        "reduction ratio": f"{c.reduction_ratio:.6f}",
        "pairs completeness": None if c.completeness is None else f"{c.completeness:.4f}",
        "records without an edge": c.without,
        "persons": found.persons,
    }
    output.fields({k: v for k, v in told.items() if v is not None})
    click.echo()
    rows = [[" + ".join(b.sources), *_row(b.rates)] for b in found.by_sources]
    output.table([*rows, ["all", *_row(found.overall)]], ("sources", "precision", "recall", "F1", "true", "found"))
    output.note(_BASIS[found.basis])
    if found.projected:
        click.echo()
        output.table(
            (
                [" + ".join(p.sources), *(f"{rate:.2%}" for rate in (p.false_matches, p.false_possible, p.missed))]
                for p in found.projected
            ),
            ("expected by the run itself", "wrong matches", "wrong possible", "missed"),
        )
        output.note(CAUTION)


def _figures(r: Rates) -> dict[str, float]:
    return {
        "precision": r.precision,
        "recall": r.recall,
        "f1": r.f1,
        "true": r.true,
        "found": r.found,
        "right": r.right,
    }


def _row(r: Rates) -> list[object]:
    return [*r.told, round(r.true), round(r.found)]
