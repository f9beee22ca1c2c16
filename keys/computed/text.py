"""The text form of a pseudonym: docs/spec/pseudonym-computed.md, sections 4 to 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keys.errors import MalformedPseudonymError, WrongCheckCharactersError

from . import reedsolomon as rs
from .blocks import BLOCK_BYTES, _require_blocks

ALPHABET: Final = "0123456789ACDEFGHJKLMNPQRTUVWXYZ"
TEXT_CHARS: Final = rs.SYMBOLS
FIRST_SYMBOLS: Final = 8  # 130 bits hold a 128-bit block: the first symbol has three bits

OK: Final = 0
MALFORMED: Final = 1
WRONG_CHECK: Final = 2

_PAIRS: Final = rs.SYMBOLS // 2
_INFO_PAIRS: Final = rs.INFO_SYMBOLS // 2
_FOREIGN: Final = 0xFFFF
_CHUNK: Final = 8192  # rows; keeps the intermediate arrays in the cache
_VALUE: Final = {character: value for value, character in enumerate(ALPHABET)}
_PAIR_MASK: Final = np.uint64(0x3FF)


def _pair_characters() -> NDArray[np.uint16]:
    """Ten bits to two characters, as the little-endian number of their two bytes."""
    codes = np.frombuffer(ALPHABET.encode("ascii"), np.uint8).astype(np.uint16)
    return (codes[:, None] | (codes[None, :] << np.uint16(8))).reshape(-1)


def _pair_values(characters: NDArray[np.uint16]) -> NDArray[np.uint16]:
    values = np.full(1 << 16, _FOREIGN, np.uint16)
    values[characters] = np.arange(len(characters), dtype=np.uint16)
    return values


_CHARACTERS: Final = _pair_characters()
_VALUES: Final = _pair_values(_CHARACTERS)
_CHECKS: Final = rs.pair_check_tables()


def format_blocks(c: NDArray[np.uint8]) -> list[str]:
    """The text form of each block.

    Args:
        c: uint8 (n, 16).

    Returns:
        n strings of 28 characters.

    Raises:
        InvalidBatchError: wrong shape or dtype.
    """
    text = format_array(c).tobytes().decode("ascii")
    return [text[i : i + TEXT_CHARS] for i in range(0, len(text), TEXT_CHARS)]


def format_array(c: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As `format_blocks`, as ASCII codes: uint8 (n, 28)."""
    _require_blocks(c, "blocks")
    out = np.empty((len(c), _PAIRS), "<u2")
    for start in range(0, len(c), _CHUNK):
        _format_chunk(c[start : start + _CHUNK], out[start : start + _CHUNK])
    return out.view(np.uint8)


def _format_chunk(c: NDArray[np.uint8], out: NDArray[np.uint16]) -> None:
    words = np.ascontiguousarray(c).view(">u8").astype(np.uint64)
    high, low = words[:, 0], words[:, 1]
    checks = np.zeros(len(c), np.uint16)
    for pair in range(_INFO_PAIRS):
        shift = 10 * (_INFO_PAIRS - 1 - pair)
        if shift >= 64:
            bits = high >> np.uint64(shift - 64)
        elif shift > 54:  # the pair that straddles both words
            bits = (low >> np.uint64(shift)) | (high << np.uint64(64 - shift))
        else:
            bits = low >> np.uint64(shift)
        value = (bits & _PAIR_MASK).astype(np.intp)
        out[:, pair] = _CHARACTERS[value]
        checks ^= _CHECKS[pair][value]
    out[:, _INFO_PAIRS] = _CHARACTERS[checks]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What `parse` read.

    Attributes:
        blocks: uint8 (n, 16), zeros where status is not OK.
        status: int8 (n,): OK, MALFORMED or WRONG_CHECK.
    """

    blocks: NDArray[np.uint8]
    status: NDArray[np.int8]


def parse(strings: Sequence[str]) -> Parsed:
    """Read texts strictly: nothing is trimmed, folded or corrected; bad items are marked, not raised.

    Args:
        strings: n texts of any content.
    """
    joined = "".join(strings)
    if len(joined) != TEXT_CHARS * len(strings) or any(len(s) != TEXT_CHARS for s in strings):
        filler = "?" * TEXT_CHARS  # foreign to the alphabet, so it comes out as malformed
        joined = "".join([s if len(s) == TEXT_CHARS else filler for s in strings])
    # One byte for each code point, whatever it was: anything beyond ASCII becomes "?".
    return parse_array(np.frombuffer(joined.encode("ascii", "replace"), np.uint8).reshape(-1, TEXT_CHARS))


def parse_array(codes: NDArray[np.uint8]) -> Parsed:
    """As `parse`, for texts of the right length as ASCII codes: uint8 (n, 28)."""
    raw = np.ascontiguousarray(codes).view("<u2")
    blocks = np.empty((len(raw), BLOCK_BYTES), np.uint8)
    status = np.empty(len(raw), np.int8)
    for start in range(0, len(raw), _CHUNK):
        stop = start + _CHUNK
        _parse_chunk(raw[start:stop], blocks[start:stop], status[start:stop])
    return Parsed(blocks=blocks, status=status)


def _parse_chunk(raw: NDArray[np.uint16], blocks: NDArray[np.uint8], status: NDArray[np.int8]) -> None:
    rows = len(raw)
    high, low = np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)
    checks = np.zeros(rows, np.uint16)
    malformed = np.zeros(rows, np.bool_)
    for pair in range(_INFO_PAIRS):
        value = _VALUES[raw[:, pair]]
        malformed |= value == _FOREIGN
        value &= np.uint16(0x3FF)  # foreign pairs are marked; keep the look-ups below in range
        checks ^= _CHECKS[pair][value]
        bits = value.astype(np.uint64)
        shift = 10 * (_INFO_PAIRS - 1 - pair)
        if shift >= 64:
            high |= bits << np.uint64(shift - 64)
        else:
            low |= bits << np.uint64(shift)
            if shift > 54:
                high |= bits >> np.uint64(64 - shift)
        if pair == 0:
            malformed |= bits >= FIRST_SYMBOLS * rs.FIELD
    check = _VALUES[raw[:, _INFO_PAIRS]]
    malformed |= check == _FOREIGN
    wrong = (check != checks) & ~malformed
    words = np.stack([high, low], axis=1).astype(">u8")
    blocks[:] = words.view(np.uint8).reshape(-1, BLOCK_BYTES)
    status[:] = OK
    status[malformed] = MALFORMED
    status[wrong] = WRONG_CHECK
    blocks[malformed | wrong] = 0


def check(string: str) -> None:
    """Test one text offline.

    Raises:
        MalformedPseudonymError: length, alphabet or first character.
        WrongCheckCharactersError: well formed, but mistyped.
    """
    status = int(parse([string]).status[0])
    if status == MALFORMED:
        raise MalformedPseudonymError(
            "this is not a pseudonym",
            hint="a pseudonym has 28 characters: digits and capital letters without B, I, O and S",
        )
    if status == WRONG_CHECK:
        raise WrongCheckCharactersError(
            "the check characters do not fit", hint="compare it with its source; a character is wrong"
        )


def suggest(string: str) -> list[str]:
    """The one valid text that differs from `string` in exactly one place, if there is one.

    A question for a person, never to be applied: with two wrong characters it is some other valid text,
    perhaps another patient's pseudonym. It uses the code alone and asks no store.

    Returns:
        One text or none; none if `string` is valid or differs in more than one place.
    """
    if len(string) != TEXT_CHARS:
        return []
    foreign = [place for place, character in enumerate(string) if character not in _VALUE]
    if len(foreign) > 1:
        return []
    symbols = [_VALUE.get(character, 0) for character in string]
    first, second = rs.syndromes(symbols)
    if foreign:
        place = foreign[0]
        degree = TEXT_CHARS - 1 - place
        error = rs.divide(first, rs.power(degree))
        if second != rs.multiply(error, rs.power(2 * degree)):
            return []
    else:
        if not first or not second:
            return []  # valid, or no single error explains it
        degree = rs.log(rs.divide(second, first))
        if degree >= TEXT_CHARS:
            return []
        place = TEXT_CHARS - 1 - degree
        error = rs.divide(first, rs.power(degree))
    symbols[place] ^= error
    if symbols[0] >= FIRST_SYMBOLS:
        return []
    return ["".join(ALPHABET[symbol] for symbol in symbols)]
