"""The report as one HTML page without script, font or network: bars are drawn as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from linkage import charts
from linkage.check.report import Report
from linkage.wording import counted

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1a1a1a}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}
td,th{padding:.15em .8em .15em 0;text-align:right}td:first-child,th:first-child{text-align:left}
"""


def bars(title: str, rows: Sequence[tuple[str, Sequence[int]]], parts: Sequence[str]) -> str:
    """A chart of the page."""
    return f"<figure>{charts.bars(title, rows, parts)}</figure>"


def page(report: Report, title: str = "Source check") -> str:
    """The whole page, UTF-8 text."""
    n = report.records
    own = report.profiles[0]
    mine = [p for p in report.passes if p.name in own.passes]
    sections = [
        ("What to know", "<ul>" + "".join(f"<li>{escape(a)}</li>" for a in report.advice) + "</ul>"),
        (
            "Fields",
            bars("Fields", [(f.name, (n - f.missing, f.missing)) for f in report.fields], ("usable", "missing")),
        ),
        ("What was noticed", _noticed(report)),
        *([("Further values", _further(report))] if report.further else []),
        (
            f"Passes of {own.profile}",
            bars(
                "Passes", [(p.name, (p.live, p.capped, p.missing)) for p in mine], ("live", "over the cap", "missing")
            ),
        ),
        ("Largest block per pass", bars("Largest block", [(p.name, (p.largest,)) for p in mine], ("records",))),
    ]
    for p in mine:
        if p.largest > p.cap:
            sizes = [(_size(k), (count,)) for k, count in enumerate(p.sizes)]
            sections.append((f"Records by size of their block: {p.name}", bars(p.name, sizes, ("records",))))
    for profile in report.profiles:
        told = [(str(k), (count,)) for k, count in enumerate(profile.live)]
        sections.append((f"Records by live passes: {profile.profile}", bars(profile.profile, told, ("records",))))
    body = "".join(f"<h2>{escape(head)}</h2>{text}" for head, text in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p>{counted(n, 'record')}, schema {escape(report.schema)}; recommended profile: {escape(report.recommended)}"
        f"{escape(f', schema {report.recommended_schema}' if report.recommended_schema else '')}; "
        f"{counted(report.same_in_all, 'record equals', 'records equal')} another in every value, "
        f"{report.same_person:,} in names and birth date."
        f" Counts only: this page holds no value of a record.</p>{body}</body></html>\n"
    )


def _further(report: Report) -> str:
    """Records with birth names and the like, which make rows of their own."""
    rows = [(what.replace("_", " "), (count, report.records - count)) for what, count in report.further.items()]
    return bars("Records with further values", rows, ("has", "has none"))


def _size(bucket: int) -> str:
    return ("1", "2")[bucket] if bucket < 2 else f"{2 ** (bucket - 1) + 1:,} to {2**bucket:,}"


def _noticed(report: Report) -> str:
    rows = [(f.name, what, count) for f in report.fields for what, count in f.noticed.items()]
    if not rows:
        return "<p>nothing</p>"
    cells = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td><td>{c:,}</td></tr>" for a, b, c in rows)
    return f"<table><tr><th>field</th><th>what</th><th>records</th></tr>{cells}</table>"
