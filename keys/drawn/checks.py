"""Check characters over an alphabet of any size that the algorithm can do: docs/spec/pseudonym-drawn.md, section 3.

A check works on symbols, that is on positions in the alphabet, and on whole batches of them.
"""

from __future__ import annotations

from functools import cache
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from . import codes, groups

CHECKS: Final = ("none", "damm", "verhoeff", "hamming", "reed-solomon")


class Check(Protocol):
    """What appends check symbols to information symbols."""

    @property
    def symbols(self) -> int:
        """How many check symbols there are."""

    def compute(self, information: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Check symbols, uint8 (n, symbols), of information symbols, uint8 (n, length)."""


class NoCheck:
    """No check characters: a mistyped pseudonym is another pseudonym, or unknown."""

    symbols = 0

    def compute(self, information: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Nothing, in the right shape."""
        return np.empty((len(information), 0), np.uint8)


def refusal(name: str, size: int, length: int) -> tuple[str, str] | None:
    """Why `name` cannot protect `length` symbols of an alphabet of `size`: sentence and hint; None if it can."""
    if name == "damm":
        return groups.damm_refusal(size)
    if name == "verhoeff":
        return groups.verhoeff_refusal(size)
    if name == "hamming":
        return codes.hamming_refusal(size)
    if name == "reed-solomon":
        return codes.reed_solomon_refusal(size, length)
    return None


def symbols(name: str, size: int, length: int) -> int:
    """How many check symbols `name` appends; for what `refusal` has nothing against."""
    if name == "hamming":
        return codes.hamming_symbols(size, length)
    return {"none": 0, "damm": 1, "verhoeff": 1, "reed-solomon": codes.REED_SOLOMON_SYMBOLS}[name]


@cache
def check(name: str, size: int, length: int) -> Check:
    """The check `name` for an alphabet and length that `refusal` has nothing against."""
    assert refusal(name, size, length) is None
    if name == "damm":
        return groups.Damm(size, length)
    if name == "verhoeff":
        return groups.Verhoeff(size, length)
    if name == "hamming":
        return codes.hamming(size, length)
    if name == "reed-solomon":
        return codes.reed_solomon(size, length)
    return NoCheck()
