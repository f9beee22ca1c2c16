"""Pseudonym suite "drawn": docs/spec/pseudonym-drawn.md.

Formats of random pseudonyms, drawing them from the operating system's generator, and reading them strictly.
Nothing here keeps a key or knows what was issued: that a string is new is the registrar's to see.
"""

from __future__ import annotations

from .checks import CHECKS
from .drawing import MAX_BATCH, capacity, draw
from .formats import ALPHABETS, MAX_TOTAL_LENGTH, Format, InvalidFormatError
from .reading import MALFORMED, OK, WRONG_CHECK, statuses, validate

SUITE = "drawn"
SUITE_VERSION = 1

__all__ = [
    "ALPHABETS",
    "CHECKS",
    "MALFORMED",
    "MAX_BATCH",
    "MAX_TOTAL_LENGTH",
    "OK",
    "SUITE",
    "SUITE_VERSION",
    "WRONG_CHECK",
    "Format",
    "InvalidFormatError",
    "capacity",
    "draw",
    "statuses",
    "validate",
]
