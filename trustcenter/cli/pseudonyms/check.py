"""`trustcenter pseudonym`: checks that need no service."""

from __future__ import annotations

import sys

import click

from trustcenter.cli import output
from trustcenter.cli.options import json_option


@click.group()
def pseudonym() -> None:
    """Check pseudonyms offline."""


@pseudonym.command("check")
@click.argument("pseudonyms", metavar="[PSEUDONYM]...", nargs=-1)
@json_option
@click.pass_context
def check(ctx: click.Context, pseudonyms: tuple[str, ...], as_json: bool) -> None:
    """Check form and check characters, of the arguments or of stdin line by line.

    Finds every single or double wrong character. A pass does not mean that the pseudonym was ever issued. A line
    per pseudonym: its number, "ok" or what is wrong, and what may have been meant. Exit code 1 if one is wrong.

    Examples:
      trustcenter pseudonym check 7DKLPHW5FV25H6RLDXVRM8Z6P7M4
      cut -d, -f1 data.csv | tail -n +2 | trustcenter pseudonym check
    """
    from trustcenter.client.checking import check_all

    # A line that is not UTF-8 is no pseudonym; it must not end the check of the others.
    lines = pseudonyms or (line.decode("utf-8", "replace").rstrip("\r\n") for line in sys.stdin.buffer)
    found = []
    wrong = 0
    for number, (verdict, suggestions) in enumerate(check_all(lines), start=1):
        wrong += verdict != "ok"
        if as_json:
            found.append({"line": number, "verdict": verdict, "suggestions": suggestions})
        else:
            meant = f"  did you mean {' or '.join(suggestions)}" if suggestions else ""
            click.echo(f"{number}  {verdict}{meant}")
    if as_json:
        output.data(found)
    if wrong:
        ctx.exit(1)
