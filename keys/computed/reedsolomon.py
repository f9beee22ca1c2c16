"""Reed-Solomon (28, 26) over GF(32) and its tables: docs/spec/pseudonym-computed.md, section 4.

The check symbols are linear over XOR, so a code word is checked by table look-ups on pairs of symbols.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FIELD: Final = 32
INFO_SYMBOLS: Final = 26
SYMBOLS: Final = 28
_REDUCTION: Final = 0b100101  # x^5 + x^2 + 1


def _powers() -> tuple[list[int], list[int]]:
    exp, value = [], 1
    for _ in range(FIELD - 1):
        exp.append(value)
        value <<= 1
        if value & FIELD:
            value ^= _REDUCTION
    log = [0] * FIELD
    for power, element in enumerate(exp):
        log[element] = power
    return exp * 2, log


_EXP, _LOG = _powers()


def multiply(a: int, b: int) -> int:
    """Product in GF(32)."""
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def divide(a: int, b: int) -> int:
    """Quotient in GF(32); b is not zero."""
    return _EXP[_LOG[a] + FIELD - 1 - _LOG[b]] if a else 0


def power(exponent: int) -> int:
    """a^exponent, a = 2."""
    return _EXP[exponent % (FIELD - 1)]


def log(element: int) -> int:
    """The exponent of a non-zero element, 0..30."""
    return _LOG[element]


def syndromes(symbols: list[int]) -> tuple[int, int]:
    """The code word polynomial at a and at a^2; (0, 0) for a valid word of 28 symbols."""
    first = second = 0
    for symbol in symbols:  # Horner
        first = multiply(first, power(1)) ^ symbol
        second = multiply(second, power(2)) ^ symbol
    return first, second


def check_symbols(info: list[int]) -> tuple[int, int]:
    """The two check symbols for 26 information symbols."""
    first, second = syndromes([*info, 0, 0])
    # s26*a + s27 = first and s26*a^2 + s27 = second, solved for both.
    s26 = divide(first ^ second, power(1) ^ power(2))
    return s26, first ^ multiply(s26, power(1))


def pair_check_tables() -> NDArray[np.uint16]:
    """For each of the 13 pairs of information symbols, its share in the check pair.

    Returns:
        uint16 (13, 1024): table[j, 32*s(2j) + s(2j+1)]; the XOR over j is 32*s26 + s27.
    """
    tables = np.zeros((INFO_SYMBOLS // 2, FIELD * FIELD), np.uint16)
    for place in range(INFO_SYMBOLS):
        share = np.zeros(FIELD, np.uint16)
        for symbol in range(FIELD):
            info = [0] * INFO_SYMBOLS
            info[place] = symbol
            s26, s27 = check_symbols(info)
            share[symbol] = FIELD * s26 + s27
        pairs = np.arange(FIELD * FIELD)
        tables[place // 2] ^= share[pairs // FIELD if place % 2 == 0 else pairs % FIELD]
    return tables
