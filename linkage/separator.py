"""The line `sep=;` above a header, by which Excel is told the separator of a CSV file; no part of the table."""

from __future__ import annotations

import re
from typing import Final

_LINE: Final = re.compile(r"sep=([ !#-~\t])\r?\n", re.IGNORECASE)


def told(line: str) -> str | None:
    """The separator that a first line tells, one ASCII character; None where it is a header."""
    found = _LINE.fullmatch(line)
    return found[1] if found is not None else None
