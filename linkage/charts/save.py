"""A chart as a file: SVG always, PNG where the package `vl-convert-python` is there (it draws offline)."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Literal

from linkage.charts.style import INK
from linkage.errors import MissingExtraError

_NAME_SPACE = "http://www.w3.org/2000/svg"
_CHART = re.compile(
    r'<svg role="img" width="(?P<width>[0-9.]+)" height="(?P<height>[0-9.]+)" viewBox="[^"]*"(?P<font>[^>]*)>'
    r"<title>(?P<title>.*?)</title>(?P<body>.*)</svg>",
    re.DOTALL,
)
_HEAD = 28  # above a chart that stands alone: its title


def save(chart: str, form: Literal["svg", "png"] = "svg") -> bytes:
    """Bytes of a file: the chart on white, under its title.

    Raises:
        MissingExtraError: PNG, and the package that draws it is not installed.
    """
    drawer = drawer_of(form)
    alone = _alone(chart)
    if drawer is None:
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{alone}\n'.encode()
    drawn: bytes = drawer.svg_to_png(alone.replace("system-ui, sans-serif", "Liberation Sans"), scale=2)
    return drawn


def drawer_of(form: Literal["svg", "png"]) -> Any:
    """What draws PNG, or None for SVG; asked for before any work is done.

    Raises:
        MissingExtraError: it is not installed.
    """
    if form == "svg":
        return None
    try:
        return import_module("vl_convert")
    except ImportError:
        raise MissingExtraError(
            "PNG needs a package that is not installed",
            hint="pip install 'trustcenter[png]' (vl-convert-python), or take SVG",
        ) from None


def _alone(chart: str) -> str:
    """The chart with what a page has around it: a title that is seen, a white ground, and the name space of SVG, which
    inside a page would be an address.
    """
    found = _CHART.fullmatch(chart)
    assert found is not None, "a chart of this package"
    width, height = found["width"], float(found["height"]) + _HEAD
    return (
        f'<svg xmlns="{_NAME_SPACE}" role="img" width="{width}" height="{height:g}"'
        f' viewBox="0 0 {width} {height:g}"{found["font"]}><title>{found["title"]}</title>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="14" y="19" font-size="14" font-weight="bold" fill="{INK}">{found["title"]}</text>'
        f'<g transform="translate(0 {_HEAD})">{found["body"]}</g></svg>'
    )
