"""Days and moments of consent documents: German legal time, whole years (docs/spec/consent.md). Pure functions.

The rule of summer time is written out (directive 2000/84/EC), so that no time zone database of a machine decides
whether a consent still holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MOMENT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(?:(Z)|([+-])([0-9]{2}):([0-9]{2}))"
)
_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 2999
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """What a date or time says: the first and last second it can mean (since 1970), and its German day."""

    first: int
    last: int
    day: date


def german_day(moment: datetime) -> date:
    """The calendar day of a moment in German legal time."""
    return (moment.astimezone(UTC) + _offset(moment)).date()


@lru_cache(maxsize=8192)  # documents of one night have few dates
def read(text: str) -> Span | None:
    """A date, or a time with its offset; None for anything else, a year or month alone included."""
    match = _DAY.fullmatch(text)
    if match is not None:
        try:
            day = date(*map(int, match.groups()))
        except ValueError:
            return None
        if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            return None
        return Span(_start(day), _start(day + timedelta(days=1)) - 1, day)
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    *numbers, fraction, utc, sign, hours, minutes = match.groups()
    if utc is None and (int(hours) > 14 or int(minutes) > 59):
        return None
    offset = timedelta() if utc else timedelta(hours=int(hours), minutes=int(minutes))
    year, month, day_, hour, minute, second = map(int, numbers)
    try:
        zone = timezone(-offset if sign == "-" else offset)
        moment = datetime(year, month, day_, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    part = 1 if fraction is not None and int(fraction) else 0
    return Span(seconds, seconds + part, german_day(moment))


@lru_cache(maxsize=8192)
def last_day(start: date, years: int) -> date:
    """The last day of a period of whole years that begins with `start`: the day before it comes round again."""
    try:
        again = start.replace(year=start.year + years)
    except ValueError:  # 29 February
        again = date(start.year + years, 3, 1)
    return again - timedelta(days=1)


def _start(day: date) -> int:
    """The first second of a German day. Summer time never begins or ends at midnight."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return (midnight - _offset(midnight) - _EPOCH) // timedelta(seconds=1)


def _offset(moment: datetime) -> timedelta:
    moment = moment.astimezone(UTC)
    begins, ends = (_last_sunday(moment.year, month) for month in (3, 10))
    return timedelta(hours=2 if begins <= moment < ends else 1)


@lru_cache(maxsize=2048)
def _last_sunday(year: int, month: int) -> datetime:
    """01:00 UTC on the last Sunday of a month of 31 days."""
    last = date(year, month, 31)
    sunday = last - timedelta(days=(last.weekday() + 1) % 7)
    return datetime(year, month, sunday.day, 1, tzinfo=UTC)
