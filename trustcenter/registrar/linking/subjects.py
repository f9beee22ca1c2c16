"""Records that are decided about, with the pairs of them, as columns: of a first run there are millions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from .pairs import Key
from .reading import Records, Resolved, count

if TYPE_CHECKING:
    from linkage.decide import Pairs

I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

NOBODY: Final = bytes(16)  # stands for the person of a record that belongs to none


@dataclass(frozen=True)
class Subjects:
    """Records that take part, ascending by (domain, serial).

    Attributes:
        keys: (n, 2) domain row id and serial.
        sources: (n,) number of each one's source.
        tags: (n, 16) keyed lookup tag of each one's record number.
        persons: (n, 16) of each, as it stands, or `NOBODY`.
        quality: (n,) of each, as it stands; NaN where there is none.
        pairs: of them, by their places here.
        gone: (k, 2) records that were looked at and take part no more.
        gone_persons: (k, 16) of each, or `NOBODY`.
    """

    keys: I64
    sources: NDArray[np.int32]
    tags: U8
    persons: U8
    quality: NDArray[np.float64]
    pairs: Pairs
    gone: I64
    gone_persons: U8

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, inside: Iterable[Key], records: Records, found: Resolved) -> Subjects:
        """Of the records that a window decides, as it read them."""
        from linkage.decide import Pairs

        ordered = sorted(inside)
        numbers = np.array([records.numbers[key] for key in ordered], np.int64)
        part = np.array(records.part, np.bool_)[numbers]
        keys = np.array(ordered, np.int64).reshape(-1, 2)
        persons = _packed([records.persons[n] or NOBODY for n in numbers.tolist()])
        gone, numbers = ~part, numbers[part]
        place = np.full(len(records.keys), -1, np.int64)
        place[numbers] = np.arange(len(numbers))
        counted = count(found, records)
        here = (place[counted.a] >= 0) & (place[counted.b] >= 0)
        one, other = place[counted.a[here]], place[counted.b[here]]
        first, second = np.minimum(one, other).astype(np.int32), np.maximum(one, other).astype(np.int32)
        order = np.lexsort((second, first))
        return cls(
            keys=keys[part],
            sources=np.array(records.sources, np.int32)[numbers],
            tags=_packed([records.tags[n] for n in numbers.tolist()]),
            persons=persons[part],
            quality=np.array([records.qualities[n] for n in numbers.tolist()], np.float64),  # None becomes NaN
            pairs=Pairs(first[order], second[order], counted.c[here][order], counted.s[here][order]),
            gone=keys[gone],
            gone_persons=persons[gone],
        )

    def places(self, keys: Iterable[Key]) -> I64:
        """The place of each of some records, -1 if it does not take part."""
        asked = np.array(list(keys), np.int64).reshape(-1, 2)
        found = np.full(len(asked), -1, np.int64)
        for domain in np.unique(asked[:, 0]).tolist():
            start, end = np.searchsorted(self.keys[:, 0], [domain, domain + 1]).tolist()
            if start == end:
                continue
            mine = np.flatnonzero(asked[:, 0] == domain)
            serials, wanted = self.keys[start:end, 1], asked[mine, 1]
            at = np.minimum(np.searchsorted(serials, wanted), len(serials) - 1)
            found[mine] = np.where(serials[at] == wanted, start + at, -1)
        return found


def _packed(values: list[bytes]) -> U8:
    """Values of 16 bytes, below one another."""
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, 16)
