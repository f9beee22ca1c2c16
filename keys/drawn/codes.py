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
_CHUNK: Final = 4096  # rows; keeps the intermediate arrays in the cache


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
        self.shares = shares
        self.symbols = shares.shape[1]
        self._base = base
        length = len(shares)
        # Every digit of every check symbol, to the base p, is a sum of what the information symbols contribute.
        # The sums of one word stand side by side in 64 bits, wide enough not to run over; bits add by XOR.
        self._width = 1 if base.prime == 2 else (length * (base.prime - 1)).bit_length()
        assert self.symbols * base.degree * self._width <= 64
        contributions = base.digits[base.multiply[shares.T]]  # (symbols, length, information symbol, digit)
        packed = np.zeros((length, base.order), np.uint64)
        for of_symbol in contributions:
            for digit in range(base.degree):
                packed = packed << np.uint64(self._width) | of_symbol[:, :, digit].astype(np.uint64)
        self._packed = packed.reshape(-1)
        self._places = np.arange(length, dtype=np.intp) * base.order

    def compute(self, information: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Check symbols, uint8 (n, symbols)."""
        out = np.zeros((len(information), self.symbols), np.uint8)
        add = np.bitwise_xor if self._base.prime == 2 else np.add
        for start in range(0, len(out), _CHUNK):
            part = information[start : start + _CHUNK]
            sums = add.reduce(self._packed.take(self._places + part), axis=1)
            self._unpack(sums, out[start : start + _CHUNK])
        return out

    def _unpack(self, sums: NDArray[np.uint64], out: NDArray[np.uint8]) -> None:
        prime, width = self._base.prime, np.uint64(self._width)
        mask = np.uint64((1 << self._width) - 1)
        for symbol in reversed(range(self.symbols)):
            weight = 1
            for _ in range(self._base.degree):
                out[:, symbol] += ((sums & mask) % np.uint64(prime)).astype(np.uint8) * np.uint8(weight)
                sums, weight = sums >> width, weight * prime


def hamming_symbols(size: int, length: int) -> int:
    """How many check symbols `length` information symbols over GF(size) need."""
    rows = 1
    while (size**rows - 1) // (size - 1) - rows < length:
        rows += 1
    return rows


def hamming(size: int, length: int) -> LinearCode:
    """The shortened Hamming code over GF(size) with `length` information symbols."""
    f = field(size)
    rows = hamming_symbols(size, length)
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
