"""Hamming and Reed-Solomon codes over a finite field: linear codes of distance three.

R. W. Hamming, Bell System Technical Journal 29 (1950), over GF(q) after M. J. E. Golay, Proc. IRE 37 (1949);
I. S. Reed and G. Solomon, Journal of the SIAM 8 (1960). Both find every one or two wrong characters.
"""

from __future__ import annotations

from itertools import islice, product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .fields import Field, field, is_field_order

REED_SOLOMON_SYMBOLS: Final = 2


def hamming_refusal(size: int) -> tuple[str, str] | None:
    """Any field does, and any length: the number of check symbols grows with it."""
    if is_field_order(size):
        return None
    return (
        "Hamming check characters need an alphabet whose size is a power of a prime",
        "2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 19, 23, 25, 27, 29, 31 or 32 characters; or use damm or verhoeff",
    )


def reed_solomon_refusal(size: int, length: int) -> tuple[str, str] | None:
    """A field, and no more symbols than it has elements beside zero."""
    if not is_field_order(size):
        return (
            "Reed-Solomon check characters need an alphabet whose size is a power of a prime",
            "5, 7, 8, 9, 11, 13, 16, 17, 19, 23, 25, 27, 29, 31 or 32 characters; or use damm or verhoeff",
        )
    if length > size - 1 - REED_SOLOMON_SYMBOLS:
        return (
            "Reed-Solomon check characters protect at most three characters fewer than the alphabet has",
            "shorten the format, take a larger alphabet, or use hamming",
        )
    return None


class LinearCode:
    """Check symbols that are sums of multiples of the information symbols.

    Attributes:
        symbols: number of check symbols.
        shares: uint8 (length, symbols), the factor of each information symbol in each check symbol.
    """

    def __init__(self, base: Field, shares: NDArray[np.uint8]) -> None:
        self._field = base
        self.shares = shares
        self.symbols = shares.shape[1]

    def compute(self, information: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Check symbols, uint8 (n, symbols)."""
        out = np.zeros((len(information), self.symbols), np.uint8)
        for place, factors in enumerate(self.shares):
            symbol = information[:, place]
            for k, factor in enumerate(factors):
                if factor:
                    out[:, k] = self._field.add[out[:, k], self._field.multiply[factor][symbol]]
        return out


def hamming(size: int, length: int) -> LinearCode:
    """The shortened Hamming code over GF(size) with `length` information symbols."""
    f = field(size)
    rows = 1
    while (size**rows - 1) // (size - 1) - rows < length:
        rows += 1
    # Check matrix (columns | unit matrix): no column a multiple of another, so no two wrong symbols cancel.
    # The check symbols are minus the columns' sums.
    normed = (v for v in product(range(size), repeat=rows) if np.count_nonzero(v) > 1 and next(filter(None, v)) == 1)
    columns = np.array(list(islice(normed, length)), np.uint8)
    return LinearCode(f, f.negative[columns])


def reed_solomon(size: int, length: int) -> LinearCode:
    """Two check symbols so that the code polynomial, first character highest, vanishes at a and a^2."""
    f = field(size)
    a, a2 = f.powers[1 % (size - 1)], f.powers[2 % (size - 1)]
    shares = np.empty((length, REED_SOLOMON_SYMBOLS), np.uint8)
    for place in range(length):
        exponent = length + 1 - place
        first, second = f.powers[exponent % (size - 1)], f.powers[2 * exponent % (size - 1)]
        # c1 a + c0 = -first and c1 a^2 + c0 = -second for a symbol of value one, so c1 (a^2 - a) = first - second.
        c1 = _divide(f, _minus(f, first, second), _minus(f, a2, a))
        shares[place] = c1, f.negative[f.add[first, f.multiply[c1, a]]]
    return LinearCode(f, shares)


def _minus(f: Field, x: int, y: int) -> int:
    return int(f.add[x, f.negative[y]])


def _divide(f: Field, x: int, y: int) -> int:
    return int(np.flatnonzero(f.multiply[y] == x)[0])
