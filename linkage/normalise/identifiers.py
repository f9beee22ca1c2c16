"""Sex and the German insured number (Krankenversichertennummer)."""

from __future__ import annotations

import re

from linkage.letters import latin

_SEX = {
    **dict.fromkeys(("m", "maennlich", "mannlich", "male", "1", "mann", "herr"), "m"),
    **dict.fromkeys(("w", "f", "weiblich", "female", "2", "frau"), "f"),
    **dict.fromkeys(("d", "divers", "other", "3"), "d"),
}
_INSURED = re.compile(r"([A-Z])([0-9]{9})(?:[0-9]{10}|[0-9]{9}[A-Z][0-9]{10})?")


def sex(raw: str) -> tuple[str, str]:
    """m, f, d or "" and a warning; X, U and unknown are missing."""
    text = latin(raw).strip().rstrip(".")
    value = _SEX.get(text, "")
    return value, "" if value or text in ("", "x", "u", "unknown", "unbekannt") else "unparsable"


def insured_number(raw: str) -> tuple[str, str, str]:
    """The immutable ten characters, the component `kv` and a warning.

    Of the long forms (20 and 30 characters) only the first ten identify a person. A number with a wrong check digit
    is dropped: two sites that both make up numbers, or mistype them alike, must not agree on them.
    """
    text = re.sub(r"[\s-]", "", raw).upper()
    m = _INSURED.fullmatch(text)
    if not m:
        return "", "", "unparsable" if text else ""
    number = m[1] + m[2]
    return (number, number, "") if _check_digit(number) else ("", "", "wrong_check_digit")


def _check_digit(number: str) -> bool:
    """Letter as two digits, weights 1, 2, 1, 2, ..., sum of the digit sums of the products, modulo 10."""
    digits = f"{ord(number[0]) - 64:02}{number[1:9]}"
    total = sum(sum(divmod(int(c) * (1 + i % 2), 10)) for i, c in enumerate(digits))
    return total % 10 == int(number[9])
