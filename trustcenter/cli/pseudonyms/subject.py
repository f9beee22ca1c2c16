"""`trustcenter subject`: answers for the person that a pseudonym stands for."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import call, connect_option, json_option
from trustcenter.errors import CommandLineError


@click.group()
def subject() -> None:
    """What the centre holds and did about one pseudonym."""


@subject.command("report")
@click.argument("domain")
@json_option
@connect_option
def report(domain: str, as_json: bool, connect: Path | None) -> None:
    """Tell what the centre holds and did about a pseudonym of your own domain (site; GDPR Art. 15).

    The pseudonym is read from standard input, one line, so that it stands in no list of processes and no history.

    Example:
      trustcenter subject report uk-nord --connect uk-nord.toml < pseudonym.txt
    """
    if output.interactive():
        output.note("the pseudonym, then Enter:")
    pseudonym = sys.stdin.readline().strip("\ufeff \t\r\n")
    if not pseudonym:
        raise CommandLineError(
            "there is no pseudonym on standard input", hint="trustcenter subject report DOMAIN < pseudonym.txt"
        )
    found = call(connect, lambda center: center.subject_report(domain, pseudonym))
    if as_json:
        output.data(found)
        return
    output.fields(
        {
            "domain": found.domain,
            "site": found.site,
            "study": found.study,
            "suite": found.suite,
            "original stored, sealed": "yes" if found.original_held else "no",
            "expires": found.expires or "never",
            "registered for linkage": "yes" if found.registered else "no",
            "encoded rows": found.rows,
        }
    )
    output.table(
        [(event.time, event.event, event.who, event.entry) for event in found.events],
        ("time", "event", "who", "entry"),
        empty="nothing in the log",
    )
