"""Reading drawn pseudonyms strictly: docs/spec/pseudonym-drawn.md, section 5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keys.errors import MalformedPseudonymError, WrongCheckCharactersError

from .formats import Format

OK: Final = 0
MALFORMED: Final = 1
WRONG_CHECK: Final = 2

_FOREIGN: Final = 0xFF


def validate(fmt: Format, string: str) -> None:
    """Test one pseudonym; nothing is trimmed, folded or corrected, and nothing issued is asked.

    Raises:
        MalformedPseudonymError: length, prefix or a character is wrong.
        WrongCheckCharactersError: it was mistyped.
    """
    status = int(statuses(fmt, [string])[0])
    if status == MALFORMED:
        raise MalformedPseudonymError(
            "the text does not have the format of this domain's pseudonyms",
            hint="it has a fixed prefix, a fixed length and the characters of one alphabet; large and small differ",
        )
    if status == WRONG_CHECK:
        raise WrongCheckCharactersError(
            "the check characters do not fit: the pseudonym was mistyped", hint="compare it with where it was copied"
        )


def statuses(fmt: Format, strings: Sequence[str]) -> NDArray[np.int8]:
    """int8 (n,): OK, MALFORMED or WRONG_CHECK for each text of any content."""
    width, start = fmt.total_length, len(fmt.prefix)
    filler = "?" * width  # foreign to every alphabet
    joined = "".join([s if len(s) == width else filler for s in strings])
    # One byte for each code point, whatever it was: anything beyond ASCII becomes "?".
    raw = np.frombuffer(joined.encode("ascii", "replace"), np.uint8).reshape(-1, width)
    values = np.full(256, _FOREIGN, np.uint8)
    values[np.frombuffer(fmt.characters.encode("ascii"), np.uint8)] = np.arange(len(fmt.characters))
    symbols = values[raw[:, start:]]
    foreign = symbols == _FOREIGN
    malformed = foreign.any(axis=1)
    malformed |= (raw[:, :start] != np.frombuffer(fmt.prefix.encode("ascii"), np.uint8)).any(axis=1)
    symbols[foreign] = 0
    wrong = (fmt.checker.compute(symbols[:, : fmt.length]) != symbols[:, fmt.length :]).any(axis=1)
    status = np.where(wrong, WRONG_CHECK, OK)
    status[malformed] = MALFORMED
    return status.astype(np.int8)
