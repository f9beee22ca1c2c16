"""The rules febrl/1: for FEBRL's data sets and their like, lower-case ASCII with typing errors inside.

Nothing is interpreted: a wrong day, a blank inside a name and a postcode of four digits stay as they are, because
the comparison of grams forgives what a rule would have to guess.
"""

from __future__ import annotations

from linkage.letters import latin
from linkage.normalise.dates import BirthDate
from linkage.normalise.names import Name


def text(raw: str) -> tuple[str, str]:
    """Lower case, no diacritics, no blanks at the ends and single ones inside; no warning."""
    return " ".join(latin(raw).split()), ""


def name(raw: str) -> Name:
    """A name; the head leaves out blanks and punctuation, which in FEBRL are typing errors."""
    value = text(raw)[0]
    return Name(value, "".join(c for c in value if c.isalpha()))


def postcode(raw: str) -> tuple[str, str]:
    """A postcode in lower case, without blanks."""
    return "".join(latin(raw).split()), ""


def birth_date(raw: str) -> BirthDate:
    """The digits of YYYYMMDD, real date or not; components only of all eight."""
    digits = "".join(c for c in raw if "0" <= c <= "9")[:8]
    if len(digits) < 8:
        return BirthDate(digits, digits[:4] if len(digits) >= 4 else "", "", "partial" if digits else "")
    month, day = sorted((digits[4:6], digits[6:8]))
    return BirthDate(digits, digits[:4], month + day)
