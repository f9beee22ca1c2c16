"""Which segments are worth merging, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from linkage.index.live import each_once, living
from linkage.index.manifest import Manifest, Part
from linkage.index.segment import Segment, in_order

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

_MERGE = 4  # segments of like size are merged when there are so many of them
_RANGE_ROWS = 1 << 18  # rows merged at a time


def worth_merging(sizes: Sequence[int]) -> int:
    """From which segment on to merge: a run at the end, each at most twice as large as all after it together."""
    first, total = len(sizes) - 1, sizes[-1] if sizes else 0
    while first > 0 and sizes[first - 1] <= 2 * total:
        first -= 1
        total += sizes[first]
    return first if len(sizes) - first >= _MERGE else len(sizes)


def merged(
    state: Manifest, chosen: Sequence[tuple[Part, Segment]], retired: Sequence[tuple[int, U8]]
) -> Iterator[tuple[int, U64]]:
    """(pass, sorted live entries) of some segments together, a range of tokens at a time."""
    total = sum(part.n for part, _ in chosen)
    bits = max(0, (total // len(state.caps) // _RANGE_ROWS).bit_length())
    for number in range(len(state.caps)):
        for prefix in range(1 << bits):
            parts = [
                living(one.range(number, prefix, prefix + 1, bits), part.sequence, retired) for part, one in chosen
            ]
            yield number, in_order(each_once(parts))
