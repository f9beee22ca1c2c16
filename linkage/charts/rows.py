"""Horizontal bars: for things with names (fields, passes, kinds of loss)."""

from __future__ import annotations

from collections.abc import Sequence

from linkage.charts.style import COLOURS, rect, svg, text

_WIDTH, _ROW, _LABEL, _LETTER = 560, 20, 150, 7


def bars(title: str, rows: Sequence[tuple[str, Sequence[int]]], parts: Sequence[str], *, thousands: str = ",") -> str:
    """A bar per row, cut into parts; counts stand beside it, so colour never carries the meaning alone.

    Args:
        title: for readers that do not draw.
        rows: (label, count of each part).
        parts: names of the parts, at most four.
        thousands: what parts the thousands of a number.
    """
    left = max(_LABEL, 8 + _LETTER * max((len(label) for label, _ in rows), default=0))
    total = max((sum(values) for _, values in rows), default=0) or 1
    out = [text(left, 14, " | ".join(parts))]
    for k, (label, values) in enumerate(rows):
        y = 22 + k * _ROW
        out.append(text(left - 8, y + 12, label, "end"))
        x = float(left)
        for colour, value in zip(COLOURS, values, strict=False):
            width = _WIDTH * value / total
            out.append(rect(x, y, width, _ROW - 5, colour))
            x += width
        out.append(text(x + 6, y + 12, " | ".join(f"{v:,}".replace(",", thousands) for v in values)))
    return svg(left + _WIDTH + 190, _ROW * len(rows) + 24, title, out)
