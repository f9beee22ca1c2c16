"""Signing a statement: shown first, confirmed, then signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from trustcenter.errors import PolicyError, UsageError_

from . import output

if TYPE_CHECKING:
    from keys.personal import PersonalKey


def signer(key: PersonalKey, context: str, *, yes: bool) -> Callable[[str], str]:
    """A function that shows a statement line by line, without control characters, asks, and signs it.

    It raises UsageError_ where nobody can be asked, PolicyError where the person declines.
    """

    def sign(statement: str) -> str:
        for line in statement.rstrip("\n").split("\n"):
            output.note(f"  {output.plain(line)}")
        if not yes:
            if not output.interactive():
                raise UsageError_("signing needs a confirmation", code="not_confirmed", hint="repeat with --yes")
            if not click.confirm("Sign this statement?", err=True):
                raise PolicyError("not signed", code="not_confirmed")
        return key.sign(context, statement.encode())

    return sign
