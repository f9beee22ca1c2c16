"""Records of a CSV file as one pattern over its bytes, with the chosen fields as groups."""

from __future__ import annotations

import re
from collections.abc import Sequence


def pattern(delimiter: str, width: int, columns: Sequence[int]) -> re.Pattern[bytes]:
    """One alternative for a record, and three for what is none, so that every byte of a block is in a match.

    A field is in quotes, with quotes inside doubled, or begins with another character and ends before the separator
    or line end. Groups are atomic: the time is linear.
    """
    d = re.escape(delimiter.encode())
    quoted = rb'"[^"]*+(?:""[^"]*+)*+'
    field = rb"(?>%b\"|[^\"%b\r\n][^%b\r\n]*+|)" % (quoted, d, d)
    parts, at = [], 0
    for column in columns:
        # The separator before the first field of the stretch is there unless the record begins with it.
        before = rb"(?:%b%b){%d}" % (field, d, column - at) if at == 0 else rb"%b(?:%b%b){%d}" % (
            d, field, d, column - at,
        )  # fmt: skip
        parts.append(rb"(%b)(%b)" % (before, field))
        at = column + 1
    rest = rb"((?:%b%b){%d})" % (d, field, width - at) if at else rb"(%b(?:%b%b){%d})" % (field, d, field, width - 1)
    record = b"".join(parts) + rest + rb"(\r?\n)"
    ragged = rb"((?:%b%b)*+%b\r?\n)" % (field, d, field)
    still_open = rb"((?:%b%b)*+%b\Z)" % (field, d, quoted)
    return re.compile(record + b"|" + ragged + b"|" + still_open + rb"|([^\n]*+\n)")
