"""Counts in sentences for people."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """1 entry, 2,000 entries.

    Args:
        number: how many.
        one: the words behind a one.
        many: those behind any other number, where another ending does not make them: "record has", "records have".
    """
    if number == 1:
        return f"1 {one}"
    return f"{number:,} {many or _plural(one)}"


def _plural(one: str) -> str:
    if one.endswith("ry"):
        return one[:-1] + "ies"
    return one + ("es" if one.endswith("ch") else "s")
