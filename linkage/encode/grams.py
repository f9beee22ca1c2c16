"""Base filters: the q-grams of all fields of a record, as set bits (specification, section 4)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from linkage.prf import Prf, lp
from linkage.schema import Field, Schema

K = TypeVar("K", bound=Hashable)

_CACHE_MAX = 1 << 15  # masks of 2,048 bits per cache: about 10 MB


Gram = tuple[int, str]  # position (0 for bigrams, where it does not count) and characters


def grams(field: Field, value: str) -> list[Gram]:
    """The q-grams of a value; none if it is missing."""
    if not value:
        return []
    if field.grams == "positional":
        return list(enumerate(value))
    padded = f"_{value}_"
    return [(0, padded[i : i + 2]) for i in range(len(padded) - 1)]


class BaseFilters:
    """Makes base filters; remembers masks of grams and of whole values, because names repeat."""

    def __init__(self, schema: Schema, key: bytes) -> None:
        self._prf = Prf(key)
        self._fields = schema.fields
        self._bits = schema.encoding.base_bits
        self._prefixes = [lp(f.name.encode(), f.grams.encode()) for f in schema.fields]
        self._gram_masks: list[dict[Gram, int]] = [{} for _ in schema.fields]
        self._value_masks: list[dict[str, int]] = [{} for _ in schema.fields]

    def _gram_mask(self, at: int, gram: Gram) -> int:
        field = self._fields[at]
        position, characters = gram
        coded = characters.encode()
        if field.grams == "positional":
            message = self._prefixes[at] + lp(position.to_bytes(4, "big"), coded)
        else:
            message = self._prefixes[at] + lp(coded)
        digest = self._prf.stretch(message, 2 * field.k)
        mask = 0
        for i in range(field.k):
            mask |= 1 << (int.from_bytes(digest[2 * i : 2 * i + 2], "little") % self._bits)
        return mask

    def _value_mask(self, at: int, value: str) -> int:
        known = self._gram_masks[at]
        mask = 0
        for gram in grams(self._fields[at], value):
            bits = known.get(gram)
            if bits is None:
                bits = _remember(known, gram, self._gram_mask(at, gram))
            mask |= bits
        return _remember(self._value_masks[at], value, mask)

    def make(self, columns: Sequence[Sequence[str]]) -> NDArray[np.uint8]:
        """Base filters of records, given as one column per field.

        Returns:
            (records, base_bits) u1, one byte (0 or 1) per bit.
        """
        masks = [0] * len(columns[0])
        for at, column in enumerate(columns):
            known = self._value_masks[at]
            for i, value in enumerate(column):
                if value:
                    # An empty mask cannot come from a value, so `or` means "not seen yet".
                    masks[i] |= known.get(value) or self._value_mask(at, value)
        size = self._bits // 8
        packed = np.frombuffer(b"".join([m.to_bytes(size, "little") for m in masks]), np.uint8)
        return np.unpackbits(packed.reshape(-1, size), axis=1, bitorder="little")


def _remember(cache: dict[K, int], key: K, mask: int) -> int:
    if len(cache) >= _CACHE_MAX:
        cache.clear()
    cache[key] = mask
    return mask
