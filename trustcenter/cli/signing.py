"""Signing a statement: shown first, confirmed, then signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from trustcenter.errors import PolicyError, UsageError

from . import output

if TYPE_CHECKING:
    from keys.personal import PersonalKey


def signer(key: PersonalKey, context: str, *, yes: bool) -> Callable[[str], str]:
    """A function that shows a statement line by line, without control characters, asks, and signs it.

    It raises as `show` does.
    """

    def sign(statement: str) -> str:
        show(statement, yes=yes)
        return key.sign(context, statement.encode())

    return sign


def show(statement: str, *, yes: bool) -> None:
    """Show what is to be signed, line by line and without control characters, and ask.

    Raises:
        UsageError: nobody can be asked. PolicyError: the person declines.
    """
    for line in statement.rstrip("\n").split("\n"):
        output.note(f"  {output.plain(line)}")
    if not yes:
        if not output.interactive():
            raise UsageError("signing needs a confirmation", code="not_confirmed", hint="repeat with --yes")
        if not click.confirm("Sign this statement?", err=True):
            raise PolicyError("not signed", code="not_confirmed")
