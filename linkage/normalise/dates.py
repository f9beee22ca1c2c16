"""Dates of birth: ISO, German, eight digits in either order, partial dates; nothing is ever rolled over."""

from __future__ import annotations

import calendar
import re
from typing import NamedTuple

_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?", re.ASCII)
_YEAR_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_GERMAN = re.compile(r"(\d{1,2})[.] ?(\d{1,2})[.] ?(\d{4})(?: .*)?", re.ASCII)
_DASHED = re.compile(r"(\d{1,2})-(\d{1,2})-(\d{4})", re.ASCII)
_MONTH_YEAR = re.compile(r"(\d{1,2})[./](\d{4})", re.ASCII)
_SHORT_YEAR = re.compile(r"\d{1,2}[./-] ?\d{1,2}[./-] ?\d{2}", re.ASCII)
_SLASHES = re.compile(r"\d{1,2}/\d{1,2}/\d{4}", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)

_CENTURIES = ("18", "19", "20", "21")
_FIRST_YEAR, _LAST_YEAR = "1870", "2199"  # compared as text: all are four digits
_NO_YEARS = frozenset(("0000", "0001", "9999"))
_SHORT_MONTHS = frozenset(("04", "06", "09", "11"))
_PLACEHOLDERS = frozenset(("19000101", "18700101", "18000101", "19010101", "11111111"))


class BirthDate(NamedTuple):
    """A date of birth.

    Attributes:
        value: "YYYYMMDD", "YYYYMM", "YYYY" or "" = missing.
        year: "YYYY" or "".
        month_day: month and day in ascending order, four digits, or "".
        warning: "" or what was noticed.
    """

    value: str
    year: str
    month_day: str
    warning: str = ""


def birth_date(raw: str) -> BirthDate:
    """Read a date of birth under the rules german/1.

    Eight digits are never ambiguous: read in the wrong order, a century (18 to 21) would have to be a month.
    """
    text = raw.strip()
    if not text:
        return BirthDate("", "", "")
    if _DIGITS.fullmatch(text):
        return _from_digits(text)
    if m := _ISO.fullmatch(text):
        return _judge(m[1], m[2], m[3])
    if m := _GERMAN.fullmatch(text) or _DASHED.fullmatch(text):
        return _judge(m[3], m[2], m[1])
    if m := _YEAR_MONTH.fullmatch(text):
        return _judge(m[1], m[2], "00")
    if m := _MONTH_YEAR.fullmatch(text):
        return _judge(m[2], m[1], "00")
    if _SHORT_YEAR.fullmatch(text):
        return BirthDate("", "", "", "two_digit_year")
    if _SLASHES.fullmatch(text):
        return BirthDate("", "", "", "ambiguous_order")
    return BirthDate("", "", "", "unparsable")


def _from_digits(text: str) -> BirthDate:
    if len(text) == 4:
        return _judge(text, "00", "00")
    if len(text) in (12, 14):  # HL7 time stamps
        text = text[:8]
    if len(text) == 6 and text[:2] in _CENTURIES and "01" <= text[4:] <= "12":
        return _judge(text[:4], text[4:], "00")
    if len(text) != 8:
        return BirthDate("", "", "", "unparsable")
    if text in ("00000000", "11111111", "99999999"):
        return BirthDate("", "", "", "placeholder")
    if text[:2] in _CENTURIES and text[4:6] not in _CENTURIES:
        return _judge(text[:4], text[4:6], text[6:])
    if text[4:6] in _CENTURIES and "00" <= text[2:4] <= "12":
        return _judge(text[4:], text[2:4], text[:2])
    if text[:4] in ("0000", "0001", "9999"):
        return BirthDate("", "", "", "placeholder")
    return BirthDate("", "", "", "unparsable")


def _judge(year: str, month: str, day: str) -> BirthDate:
    month, day = month.zfill(2), day.zfill(2)
    value = year + month + day
    if year in _NO_YEARS or value in _PLACEHOLDERS:
        return BirthDate("", "", "", "placeholder")
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return BirthDate("", "", "", "implausible_year")
    if month == "00":
        return BirthDate(year, year, "", "partial")
    if day == "00":
        if month > "12":
            return BirthDate(year, year, "", "impossible")
        return BirthDate(year + month, year, "", "partial")
    if month in _CENTURIES:  # eight digits with such a month would read as another date
        return BirthDate(year, year, "", "impossible")
    # An impossible date is mostly one wrong digit. It stays as written: the filter counts characters by position,
    # so the right ones still agree, and no other day is made of it.
    low_high = month + day if month <= day else day + month
    return BirthDate(value, year, low_high, "" if _exists(year, month, day) else "impossible")


def _exists(year: str, month: str, day: str) -> bool:
    """Whether there is such a day in the Gregorian calendar."""
    if day <= "28":
        return month <= "12"
    if month == "02":
        return day == "29" and calendar.isleap(int(year))
    return month <= "12" and (day <= "30" or (day == "31" and month not in _SHORT_MONTHS))
