"""Date-shift offsets: whole days per person and study (docs/spec/date-shift.md).

An offset is read off a keyed tag of the person, so it needs no table, is the same at every site and every day, and goes
with the study's key. The greatest offset only scales it: two maxima do not give two independent draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_DOMAIN: Final = b"trustcenter/date-shift/1\0"


def inputs(persons: Sequence[bytes]) -> list[bytes]:
    """What the study's key tags: a label, then the person's 16 bytes."""
    return [_DOMAIN + person for person in persons]


def offset(tag: bytes, greatest: int) -> int:
    """The offset in whole days, -greatest to greatest, of a person with this tag.

    Args:
        tag: at least 8 bytes.
        greatest: days, 0 or more.
    """
    return int.from_bytes(tag[:8], "big") * (2 * greatest + 1) // 2**64 - greatest
