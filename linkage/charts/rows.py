"""Horizontal bars: for things with names (fields, passes, kinds of loss)."""

from __future__ import annotations

from collections.abc import Sequence

from linkage.charts.style import COLOURS, rect, svg, text

_WIDTH, _ROW, _LABEL = 560, 20, 150


def bars(title: str, rows: Sequence[tuple[str, Sequence[int]]], parts: Sequence[str]) -> str:
    """A bar per row, cut into parts; counts stand beside it, so colour never carries the meaning alone.

    Args:
        title: for readers that do not draw.
        rows: (label, count of each part).
        parts: names of the parts, at most four.
    """
    total = max((sum(values) for _, values in rows), default=0) or 1
    out = [text(_LABEL, 14, " | ".join(parts))]
    for k, (label, values) in enumerate(rows):
        y = 22 + k * _ROW
        out.append(text(_LABEL - 8, y + 12, label, "end"))
        x = float(_LABEL)
        for colour, value in zip(COLOURS, values, strict=False):
            width = _WIDTH * value / total
            out.append(rect(x, y, width, _ROW - 5, colour))
            x += width
        out.append(text(x + 6, y + 12, " | ".join(f"{v:,}" for v in values)))
    return svg(_LABEL + _WIDTH + 190, _ROW * len(rows) + 24, title, out)
