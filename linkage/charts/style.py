"""Colours, letters and axes that all charts share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

# Told apart in greyscale and by people who do not see red and green.
COLOURS: Final = ("#2a6f97", "#c9a227", "#b9c0c5", "#8c2f39")
LINES: Final = ("#2a6f97", "#c9a227", "#5f676d", "#8c2f39")  # grey is too faint for a line
DASHES: Final = ("", "7 4", "2 3", "10 3 2 3")
INK: Final = "#1a1a1a"
FAINT: Final = "#d9dde0"


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """The element. A reader that does not draw says the title."""
    return (
        f'<svg role="img" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{escape(title)}</title>" + "".join(parts) + "</svg>"
    )


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, colour: str, told: str = "") -> str:
    """A filled rectangle; `told` is shown where a pointer rests on it."""
    inner = f"<title>{escape(told)}</title></rect>" if told else "</rect>"
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">{inner}'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = FAINT, dash: str = "") -> str:
    """A straight line."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'


def legend(x: float, y: float, names: Sequence[str], *, lines: bool = False) -> str:
    """Names beside samples of their colour (and dash)."""
    out = []
    for k, name in enumerate(names):
        if lines:
            out.append(line(x, y - 4, x + 24, y - 4, LINES[k], DASHES[k]).replace("/>", ' stroke-width="2"/>'))
        else:
            out.append(rect(x + 12, y - 10, 11, 11, COLOURS[k]))
        out.append(text(x + 29, y, name))
        x += 45 + 7 * len(name)
    return "".join(out)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about as many as wanted."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A number as people read it: 1,234 or 0.95."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
