"""Drawing pseudonyms uniformly: docs/spec/pseudonym-drawn.md, section 4."""

from __future__ import annotations

import os
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keys.errors import InvalidBatchError

from .formats import Format

MAX_BATCH: Final = 1_000_000
_BYTE: Final = 256


def capacity(fmt: Format) -> int:
    """How many different pseudonyms the format has; may have more than 64 bits."""
    strings: int = len(fmt.characters) ** fmt.length
    return strings


def draw(fmt: Format, count: int) -> list[str]:
    """Draw `count` pseudonyms, independent and uniform, from the operating system's generator.

    Two of them can be equal, and equal to one drawn before: who stores them looks, and draws again.

    Raises:
        InvalidBatchError: count is not 0 to 1,000,000.
    """
    if not 0 <= count <= MAX_BATCH:
        raise InvalidBatchError("a batch has 0 to 1,000,000 pseudonyms", where="count")
    information = draw_symbols(len(fmt.characters), count * fmt.length).reshape(count, fmt.length)
    return write(fmt, information)


def write(fmt: Format, information: NDArray[np.uint8]) -> list[str]:
    """Pseudonyms of given information symbols, uint8 (n, length), each below the alphabet's size."""
    characters = np.frombuffer(fmt.characters.encode("ascii"), np.uint8)
    start, width = len(fmt.prefix), fmt.total_length
    out = np.empty((len(information), width), np.uint8)
    out[:, :start] = np.frombuffer(fmt.prefix.encode("ascii"), np.uint8)
    out[:, start : start + fmt.length] = characters[information]
    out[:, start + fmt.length :] = characters[fmt.checker.compute(information)]
    text = out.tobytes().decode("ascii")
    return [text[i : i + width] for i in range(0, len(text), width)]


def draw_symbols(size: int, count: int) -> NDArray[np.uint8]:
    """uint8 (count,): uniform on 0 .. size - 1, from os.urandom by rejection.

    A byte at or above the largest multiple of `size` is thrown away; the rest modulo `size` is uniform.
    """
    limit = _BYTE - _BYTE % size
    out = np.empty(count, np.uint8)
    filled = 0
    while filled < count:
        # A few more than needed on average: mostly one round.
        wanted = (count - filled) * _BYTE // limit + 64
        drawn = np.frombuffer(os.urandom(wanted), np.uint8)
        if limit < _BYTE:
            drawn = drawn[drawn < limit]
        taken = drawn[: count - filled] % np.uint8(size)
        out[filled : filled + len(taken)] = taken
        filled += len(taken)
    return out
