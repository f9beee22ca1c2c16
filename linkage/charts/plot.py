"""Charts with two axes: stacked columns, and curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from linkage.charts.style import COLOURS, DASHES, INK, LINES, legend, line, number, rect, svg, text, ticks

_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 34, 46  # margins
_W, _H = 640, 250  # of the area between the axes
_MARK = "4 3"


def columns(
    title: str,
    labels: Sequence[str],
    values: Sequence[Sequence[float]],
    parts: Sequence[str],
    *,
    x_title: str,
    y_title: str,
    marks: Sequence[tuple[float, str]] = (),
    logarithmic: bool = False,
) -> str:
    """Stacked columns over a row of labels.

    Args:
        title: for readers that do not draw.
        labels: one per column; every so many are written if there are many.
        values: (columns, parts) counts.
        parts: names of the parts, at most four, lowest first.
        x_title: of the axis below.
        y_title: of the axis at the left.
        marks: (position in columns, name): vertical lines, a cut for example.
        logarithmic: each part gets its share of a column whose height is log10(1 + total): few stay visible
            beside many.
    """
    n = max(len(labels), 1)
    totals = [sum(v) for v in values]
    high = max(totals, default=0) or 1

    def height(v: float) -> float:
        return _H * (math.log10(1 + v) / math.log10(1 + high) if logarithmic else v / high)

    out = [legend(_LEFT, 16, parts)]
    grid = [10.0**k for k in range(int(math.log10(1 + high)) + 1)] if logarithmic else ticks(0, high)
    for at in grid:
        y = _TOP + _H - height(at)
        out += [line(_LEFT, y, _LEFT + _W, y), text(_LEFT - 6, y + 4, number(at), "end")]
    width = _W / n
    every = math.ceil(n / 21)
    for k, (label, column) in enumerate(zip(labels, values, strict=True)):
        x, foot, whole = _LEFT + k * width, float(_TOP + _H), height(totals[k])
        for colour, part, name in zip(COLOURS, column, parts, strict=False):
            tall = whole * part / totals[k] if totals[k] else 0.0
            foot -= tall
            if part:
                out.append(rect(x + 1, foot, max(width - 2, 1), tall, colour, f"{label}: {name} {number(part)}"))
        if k % every == 0:
            out.append(text(x + width / 2, _TOP + _H + 16, label, "middle"))
    out += _frame(x_title, y_title + (" (logarithmic)" if logarithmic else ""))
    for position, name in marks:
        x = _LEFT + position * width
        out += [line(x, _TOP, x, _TOP + _H, INK, _MARK), text(x - 4, _TOP + 12, name, "end")]
    return svg(_LEFT + _W + _RIGHT, _TOP + _H + _BOTTOM, title, out)


def curves(
    title: str,
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    x_title: str,
    y_title: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] = (0.0, 1.0),
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """Curves through points, each with its own dash.

    Args:
        title: for readers that do not draw.
        series: (name, points in ascending x), at most four.
        x_title: of the axis below.
        y_title: of the axis at the left.
        x_range: of the axis below; by default that of the points.
        y_range: of the axis at the left.
        marks: (x, name): vertical lines.
    """
    points = [p for _, one in series for p in one]
    xs = [x for x, _ in points] or [0.0]
    low, high = x_range or (min(xs), max(xs))
    floor, ceiling = y_range
    wide, tall = (high - low) or 1.0, (ceiling - floor) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + _W * (x - low) / wide, _TOP + _H * (1 - (min(max(y, floor), ceiling) - floor) / tall)

    out = [legend(_LEFT, 16, [name for name, _ in series], lines=True)]
    for at in ticks(floor, ceiling):
        y = place(low, at)[1]
        out += [line(_LEFT, y, _LEFT + _W, y), text(_LEFT - 6, y + 4, number(round(at, 9)), "end")]
    for at in ticks(low, high, 10):
        x = place(at, floor)[0]
        out += [line(x, _TOP + _H, x, _TOP + _H + 4, INK), text(x, _TOP + _H + 17, number(round(at, 9)), "middle")]
    out += _frame(x_title, y_title)
    for position, name in marks:
        x = place(position, floor)[0]
        out += [line(x, _TOP, x, _TOP + _H, INK, _MARK), text(x - 4, _TOP + _H - 8, name, "end")]
    for k, (name, one) in enumerate(series):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in one))
        dash = f' stroke-dasharray="{DASHES[k]}"' if DASHES[k] else ""
        told = f"<title>{escape(name)}</title></polyline>"
        out.append(f'<polyline fill="none" stroke="{LINES[k]}" stroke-width="2"{dash} points="{path}">{told}')
    return svg(_LEFT + _W + _RIGHT, _TOP + _H + _BOTTOM, title, out)


def _frame(x_title: str, y_title: str) -> list[str]:
    foot = _TOP + _H
    return [
        line(_LEFT, foot, _LEFT + _W, foot, INK),
        text(_LEFT + _W / 2, foot + 36, x_title, "middle"),
        f'<g transform="rotate(-90 14 {_TOP + _H / 2:g})">{text(14, _TOP + _H / 2, y_title, "middle")}</g>',
    ]
