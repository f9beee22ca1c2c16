"""A chart as a file: SVG always, PNG where the package `vl-convert-python` is there (it draws offline)."""

from __future__ import annotations

from importlib import import_module
from typing import Literal

from linkage.errors import MissingExtraError

_NAME_SPACE = "http://www.w3.org/2000/svg"


def save(chart: str, form: Literal["svg", "png"] = "svg") -> bytes:
    """Bytes of a file.

    Raises:
        MissingExtraError: PNG, and the package that draws it is not installed.
    """
    # A name space is needed in a file of its own and not inside a page, which then names no address at all.
    alone = chart.replace("<svg ", f'<svg xmlns="{_NAME_SPACE}" ', 1)
    if form == "svg":
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{alone}\n'.encode()
    try:
        drawer = import_module("vl_convert")
    except ImportError:
        raise MissingExtraError(
            "PNG needs a package that is not installed",
            hint="pip install 'trustcenter[png]' (vl-convert-python), or take SVG",
        ) from None
    drawn: bytes = drawer.svg_to_png(alone.replace("system-ui, sans-serif", "Liberation Sans"), scale=2)
    return drawn
