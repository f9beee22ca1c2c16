"""What the commands print: data on stdout, messages on stderr, nothing that could steer a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from trustcenter.errors import InternalError

# A moment as the service writes it; people need no millionths of a second.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z")


def plain(text: object) -> str:
    """Text without control characters: titles and hints come from other people."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def note(text: str) -> None:
    """A message for the person."""
    click.echo(text, err=True)


def waiting(seconds: float) -> None:
    """That the service is tried again for so many seconds."""
    until = datetime.now() + timedelta(seconds=seconds)  # noqa: DTZ005 - the clock on the wall, for a person
    note(f"the service does not answer any more; trying again until {until:%H:%M:%S}")


def hint(text: str) -> None:
    """What to do next."""
    click.echo(f"hint: {plain(text)}", err=True)


def error(message: str, *, code: str = "", hint: str = "", where: str = "") -> None:
    """`error:` and `hint:` lines: message, place, code."""
    text = plain(message)
    text = text[:1].lower() + text[1:] if text[1:2].islower() else text
    text += f" ({plain(where)})" if where else ""
    text += f" [{plain(code)}]" if code else ""
    click.echo(f"error: {text}", err=True)
    if hint:
        click.echo(f"hint: {plain(hint)}", err=True)


def failure(problem: BaseException) -> None:
    """An error of ours, with its code, place and hint."""
    code, told = str(getattr(problem, "code", "")), str(getattr(problem, "hint", ""))
    request = getattr(problem, "request_id", "") if getattr(problem, "kind", "") in ("internal", "unavailable") else ""
    if request and code == InternalError.code:
        told = ""  # says the same as the line below, without the number
    error(str(getattr(problem, "message", "")), code=code, hint=told, where=str(getattr(problem, "where", "")))
    if request:
        hint(f"the service's log names this request {request}")


def data(value: object) -> None:
    """Machine-readable output: two-space indented JSON, UTF-8."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def table(rows: Iterable[Sequence[object]], columns: Sequence[str], *, empty: str = "none") -> None:
    """Aligned columns for people; a line on stderr where there is nothing."""
    cells = [[plain("-" if cell is None else _cell(cell)) for cell in row] for row in rows]
    if not cells:
        note(empty)
        return
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    for row in [list(columns), *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def fields(pairs: Mapping[str, object]) -> None:
    """One thing, a line per field."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        shown = _cell(value)
        click.echo(f"{name.ljust(width)}  {plain('-' if shown is None or shown == '' else shown)}")


def items(values: Sequence[Any], columns: Sequence[str], *, as_json: bool, empty: str = "none") -> None:
    """A list of structs: JSON with all their fields, or a table of some."""
    if as_json:
        data(values)
    else:
        table(([getattr(v, c) for c in columns] for v in values), columns, empty=empty)


def item(value: Any, columns: Sequence[str], *, as_json: bool) -> None:
    """One struct: JSON with all its fields, or lines with some."""
    if as_json:
        data(value)
    else:
        fields({c: getattr(value, c) for c in columns})


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, str) and (moment := _MOMENT.fullmatch(value)):
        return f"{moment[1]}Z"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def interactive() -> bool:
    """Whether a person can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def lively() -> bool:
    """Whether stderr is a terminal that may be drawn on."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", None)


def quoted(text: str) -> str:
    """Text in double quotes, escaped."""
    return json.dumps(text, ensure_ascii=False)
