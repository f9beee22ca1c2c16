"""The evaluation as one self-contained page: no script, no network, charts as inline SVG, numbers in tables too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape

from linkage.evaluate.figures import figures
from linkage.evaluate.model import CAUTION, Evaluation, Rates
from linkage.wording import counted

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1a1a1a}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}figure{margin:1em 0}
td,th{padding:.15em .8em .15em 0;text-align:right}td:first-child,th:first-child{text-align:left}
pre{white-space:pre-wrap;overflow-wrap:anywhere}
"""
_BASIS = {
    "truth": "Counted against the truth.",
    "labels": "Estimated from {labelled:,} labelled pairs: each stands for the pairs with about its posterior. "
    "Pairs without an edge are not seen, so recall is that among candidates.",
    "estimate": "Estimated from the posteriors themselves, without truth or labels: right as far as the densities fit "
    "these sources. Pairs without an edge are not seen, so recall is that among candidates.",
}


def page(e: Evaluation, title: str = "Evaluation of a linkage") -> str:
    """The whole page, UTF-8 text. It holds counts and names of sources, nothing of a record."""
    drawn = {name: f"<figure>{chart}</figure>" for name, chart in figures(e).items()}
    sections = [
        ("In short", _short(e)),
        *([("Errors to expect", _projected(e))] if e.projected else []),
        (
            "Scores",
            "<p>A good linkage has few pairs between the two ends. Heights are logarithmic.</p>"
            + drawn["scores"]
            + _details(
                ("posterior from", "match", "possible", "non-match", "one person"),
                ([f"{b.low:.2f}", b.match, b.possible, b.non_match, _known(b.true)] for b in e.scores),
            ),
        ),
        (
            "Precision and recall against the threshold",
            "<p>Of pairs, before persons are formed. " + _basis(e) + "</p>" + drawn["thresholds"] + _curve(e),
        ),
        (
            "Edges",
            "<p>Pairs of one person are close in many passes, relatives and strangers in few.</p>"
            + drawn["edges"]
            + _details(
                ("edges", "match", "possible", "non-match", "one person"),
                ([f"{b.low:g}", b.match, b.possible, b.non_match, _known(b.true)] for b in e.edges),
            ),
        ),
        ("Candidates", _candidates(e)),
    ]
    if e.losses is not None:
        told = "<p>What is lost without an edge no decision can bring back; what is possible, clearing can.</p>"
        sections.append(("Where the true pairs went", told + drawn["losses"]))
    sections.append(("Persons", drawn["clusters"]))
    if e.passes is not None:
        sections += [
            ("Recall by number of passes", drawn["recall-by-passes"] + drawn["passes"] + _passes(e)),
            ("Sizes of blocks", drawn["block-sizes"]),
        ]
    if e.parameters:
        text = json.dumps(e.parameters, indent=1, ensure_ascii=False, sort_keys=True)
        sections.append(("Parameters", f"<pre>{escape(text)}</pre>"))
    body = "".join(f"<h2>{escape(head)}</h2>{text}" for head, text in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def _basis(e: Evaluation) -> str:
    return _BASIS[e.basis].format(labelled=e.labelled or 0)


def _short(e: Evaluation) -> str:
    head = ("", "precision", "recall", "F1", "right", "found", "true")
    what = "persons joined" if e.basis == "truth" else "pairs joined"
    rows = [[what, *_rates(e.overall)]]
    rows += [[" + ".join(b.sources), *_rates(b.rates)] for b in e.by_sources if len(e.by_sources) > 1]
    if e.basis != "estimate":
        rows.append(["as the posteriors expect", *_rates(e.estimated)])
    sources = ", ".join(f"{name} ({n:,})" for name, n in zip(e.sources, e.records, strict=True))
    said = [
        f"Sources: {sources}; {counted(e.persons, 'person')}.",
        _basis(e),
    ]
    if e.conflicts:
        said.append(
            f"{counted(e.conflicts, 'record shares its', 'records share their')} person with another one of the source."
        )
    return f"<p>{escape(' '.join(said))}</p>" + _table(head, rows)


def _projected(e: Evaluation) -> str:
    rows = []
    for p in e.projected:
        kinds = [f"{n:,} ({_rounded(same)})" for n, same in zip(p.pairs, p.same, strict=True)]
        rates = (f"{p.false_matches:.2%}", f"{p.false_possible:.2%}", f"{p.missed:.2%}", f"{p.false_non_matches:.1e}")
        rows.append([" + ".join(p.sources), *kinds, *rates])
    told = (
        "<p>All pairs of records of the two sources, and in brackets how many of one person the posteriors expect "
        "among them; without an edge, as many as calibration says. They are right as far as the densities suit the "
        f"sources. {escape(CAUTION)}</p>"
    )
    head = (
        "",
        "matches",
        "possible",
        "non-matches",
        "no edge",
        "wrong matches",
        "wrong possible",
        "missed",
        "wrong non-matches",
    )
    return told + _table(head, rows)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _candidates(e: Evaluation) -> str:
    c = e.candidates
    rows: list[list[object]] = [["pairs of records of different sources", c.possible]]
    if c.comparisons is not None:
        rows.append(["pairs of rows compared", c.comparisons])
    rows += [["candidates: pairs with an edge", c.candidates], ["reduction ratio", f"{c.reduction_ratio:.6f}"]]
    if c.completeness is not None:
        rows.append(["pairs completeness: true pairs that are candidates", f"{c.completeness:.4f}"])
    rows.append(["records without any edge", c.without])
    if c.without_partner is not None:
        rows.append(["of these, known to another source: unlinkable", c.without_partner])
    return _table(("", "count"), rows)


def _curve(e: Evaluation) -> str:
    return _details(
        ("threshold", "precision", "recall", "F1", "right", "found", "true"),
        ([f"{p.threshold:g}", *_rates(p.rates)] for p in e.curve),
    )


def _passes(e: Evaluation) -> str:
    assert e.passes is not None
    return _details(
        ("pass", "share a block", "with those above", "blocks", "of two sources", "largest"),
        ([p.name, p.pairs, p.together, p.blocks, p.shared, p.largest] for p in e.passes.use),
    )


def _rates(r: Rates) -> list[object]:
    return [*r.told, *(_count(v) for v in (r.right, r.found, r.true))]


def _count(value: float) -> object:
    return int(value) if value == int(value) else f"{value:,.1f}"


def _known(value: int | None) -> object:
    return "" if value is None else value


def _details(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return f"<details><summary>as a table</summary>{_table(head, rows)}</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def cell(value: object) -> str:
        return escape(f"{value:,}" if isinstance(value, int) else str(value))

    names = "".join(f"<th>{escape(h)}</th>" for h in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell(v)}</td>" for v in row) + "</tr>" for row in rows)
    return f"<table><tr>{names}</tr>{lines}</table>"
