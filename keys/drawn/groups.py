"""Damm and Verhoeff: one check symbol by a walk through an operation table.

H. M. Damm, "Totally anti-symmetric quasigroups for all orders n != 2, 6", Discrete Mathematics 307 (2007);
J. Verhoeff, "Error detecting decimal codes", Mathematical Centre Tracts 29 (1969), generalised to other
dihedral groups after H. P. Gumm, IEEE Transactions on Information Theory 31 (1985).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .fields import field, prime_powers

# Row: state, column: symbol. The table of Damm's thesis (2004), on which all published examples rest.
_DAMM_10: Final = (
    "0317598642",
    "7092154863",
    "4206871359",
    "1750983426",
    "6123045978",
    "3674209581",
    "5869720134",
    "8945362017",
    "9438617205",
    "2581436790",
)
_VERHOEFF_10: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def damm_refusal(size: int) -> tuple[str, str] | None:
    """Sizes that are twice an odd number have no operation built from fields; ten has Damm's own."""
    if size == 10 or (size > 2 and size % 4 != 2):
        return None
    return (
        "Damm check characters need an alphabet of ten characters or of a number that is not twice an odd one",
        "use verhoeff, which takes exactly the other sizes",
    )


def verhoeff_refusal(size: int) -> tuple[str, str] | None:
    """The dihedral groups in question have twice an odd number of elements."""
    if size >= 6 and size % 4 == 2:
        return None
    return (
        "Verhoeff check characters need an alphabet of six, ten, fourteen ... characters: twice an odd number",
        "use damm, which takes the other sizes",
    )


class Damm:
    """The state starts at 0 and moves to table[state, symbol]; the last state is the check symbol."""

    symbols = 1

    def __init__(self, size: int, length: int) -> None:
        self._size = size
        self._tables = [damm_table(size).reshape(-1)] * length

    def compute(self, information: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Check symbols, uint8 (n, 1)."""
        return _walk(self._size, information.T, self._tables)


def _walk(size: int, symbols: NDArray[np.uint8], tables: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """uint8 (n, 1): the last state. Symbols (places, n) in the order of the walk, one flat table for each place."""
    state = np.zeros(symbols.shape[1], np.uint8)
    for symbol, table in zip(np.ascontiguousarray(symbols), tables, strict=True):
        state = table.take(state.astype(np.intp) * size + symbol)
    return state.reshape(-1, 1)


def damm_table(size: int) -> NDArray[np.uint8]:
    """uint8 (size, size): a weakly totally anti-symmetric quasigroup with a diagonal of zeros.

    Other sizes than ten: the direct product over the prime powers of `size` of state, symbol -> a (state - symbol)
    in the field, a its primitive element.
    """
    if size == 10:
        return np.array([[int(symbol) for symbol in row] for row in _DAMM_10], np.uint8)
    table = np.zeros((size, size), np.uint8)
    parts: NDArray[np.intp] = np.arange(size)
    weight = 1
    for prime, exponent in prime_powers(size):
        f = field(prime**exponent)
        part = parts % f.order
        difference = f.add[part[:, None], f.negative[part][None, :]]
        table += (weight * f.multiply[f.powers[1 % (f.order - 1)]][difference]).astype(np.uint8)
        parts, weight = parts // f.order, weight * f.order
    return table


class Verhoeff:
    """Multiplication in a dihedral group, each symbol permuted as often as it stands from the right."""

    symbols = 1

    def __init__(self, size: int, length: int) -> None:
        self._size = size
        table = dihedral_table(size)
        permutation = powers = verhoeff_permutation(size)
        self._inverse: NDArray[np.uint8] = np.argmin(table, axis=1).astype(np.uint8)
        self._tables = []
        for _ in range(length):
            self._tables.append(table[:, powers].reshape(-1))
            powers = permutation[powers]

    def compute(self, information: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Check symbols, uint8 (n, 1): what makes the product the neutral element."""
        inverse: NDArray[np.uint8] = self._inverse[_walk(self._size, information.T[::-1], self._tables)]
        return inverse


def dihedral_table(size: int) -> NDArray[np.uint8]:
    """uint8 (size, size): products in the dihedral group; rotations come first, then reflections."""
    half = size // 2
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    sign = np.where(x < half, 1, -1)
    turn = (x + sign * y) % half
    product: NDArray[np.uint8] = (turn + half * ((x < half) != (y < half))).astype(np.uint8)
    return product


def verhoeff_permutation(size: int) -> NDArray[np.uint8]:
    """uint8 (size,): Verhoeff's own for ten symbols, else an anti-symmetric one after Gumm."""
    if size == 10:
        return np.array(_VERHOEFF_10, np.uint8)
    half = size // 2
    turns = np.arange(half)
    # r^j goes to r^(1-j) and r^j s to r^(j+1) s: x p(y) = y p(x) then holds for x = y only, half being odd.
    both: NDArray[np.uint8] = np.concatenate([(1 - turns) % half, half + (turns + 1) % half]).astype(np.uint8)
    return both
