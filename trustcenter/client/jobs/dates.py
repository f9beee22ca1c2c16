"""Dates of a column made coarser: how they are written is found in the column, or said.

Found means: exactly one of the formats fits every date among the first rows. 03.04.1950 is German, 1950-04-03 is ISO;
with a slash, day and month are told apart only if some number is above 12. Where that is not clear it has to be said,
because a guess would put people into the wrong quarter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from itertools import islice
from typing import Final

from trustcenter.client.errors import LocalFileError

from .csvdialect import Dialect
from .rowjob import Refused

# Name, and what stands there; a time of day may follow. Two-digit years have no century and are none of these.
FORMATS: Final = {
    "YYYY-MM-DD": r"(?P<y>\d{4})-(?P<m>\d\d?)-(?P<d>\d\d?)",
    "DD.MM.YYYY": r"(?P<d>\d\d?)\.(?P<m>\d\d?)\.(?P<y>\d{4})",
    "YYYYMMDD": r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)",
    "DD/MM/YYYY": r"(?P<d>\d\d?)/(?P<m>\d\d?)/(?P<y>\d{4})",
    "MM/DD/YYYY": r"(?P<m>\d\d?)/(?P<d>\d\d?)/(?P<y>\d{4})",
}
KEPT: Final = ("year", "quarter", "month")
_TIME: Final = r"(?:[T ]\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_PATTERNS: Final = {name: re.compile(text + _TIME, re.ASCII) for name, text in FORMATS.items()}
_LOOKED_AT: Final = 10_000  # dates
_REMEMBERED: Final = 50_000
_BAD: Final = Refused("bad_date", "the date is not in the format of its column (--date-format)")


class Coarsening:
    """One column of dates. An empty field stays empty."""

    def __init__(self, column: str, keep: str, form: str | None) -> None:
        """See `KEPT` and `FORMATS`.

        Raises:
            LocalFileError: neither is known.
        """
        if keep not in KEPT:
            raise LocalFileError("what is kept of a date", code="bad_option", hint="one of: " + ", ".join(KEPT))
        if form is not None and form not in FORMATS:
            raise LocalFileError(
                "this format of dates is not known", code="bad_date_format", hint="one of: " + ", ".join(FORMATS)
            )
        self._column, self._keep, self.form = column, keep, form
        self._known: dict[bytes, bytes | Refused] = {}

    def learn(self, values: Iterable[str]) -> None:
        """Find the format, if it was not said.

        Raises:
            LocalFileError: none fits, or several do.
        """
        if self.form is not None:
            return
        # In a column without any date among the first rows there is nothing to find; later ones are refused one by one.
        dates = list(islice((value.strip() for value in values if value.strip()), _LOOKED_AT))
        if not dates:
            return
        fitting = {name: sum(_date(name, value) is not None for value in dates) for name in FORMATS}
        best = max(fitting.values())
        found = [name for name, count in fitting.items() if count == best]
        # Some rows may be wrong, which is for each of them to be told; most must be right.
        if best * 2 < len(dates) or len(found) > 1:
            raise LocalFileError(
                "the format of a column of dates is not clear",
                code="bad_date_format",
                hint="say it with --date-format, one of: " + ", ".join(FORMATS),
                where="header",
            )
        (self.form,) = found

    def field(self, raw: bytes, dialect: Dialect) -> bytes | Refused:
        """A field as it stands in a record, made coarser: 1964, 1964-07 (of a quarter its first month)."""
        made = self._known.get(raw)
        if made is None:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            made = self._known[raw] = self._field(raw, dialect)
        return made

    def _field(self, raw: bytes, dialect: Dialect) -> bytes | Refused:
        text = dialect.text(raw)
        if text is not None and not text.strip():
            return raw
        found = _date(self.form or "", (text or "").strip())
        if found is None:
            return _BAD
        month = (found.month - 1) // 3 * 3 + 1 if self._keep == "quarter" else found.month
        short = f"{found.year:04d}" if self._keep == "year" else f"{found.year:04d}-{month:02d}"
        return dialect.field(short, quoted=raw[:1] == b'"')


def _date(form: str, text: str) -> date | None:
    pattern = _PATTERNS.get(form)
    match = pattern.fullmatch(text) if pattern is not None else None
    if match is None:
        return None
    try:
        return date(int(match["y"]), int(match["m"]), int(match["d"]))
    except ValueError:
        return None
