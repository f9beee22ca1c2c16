"""Ranges of consecutive numbers, as rows have that were made together: one costs less than a list of its members."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

_WORTH: Final = 8  # numbers of a range, on average, from which on it costs less


def ranges(numbers: NDArray[np.int64]) -> list[range] | None:
    """Ascending numbers as ranges; None if they are too scattered."""
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    if (len(cuts) + 1) * _WORTH > len(numbers):
        return None
    first = numbers[[0, *cuts]].tolist()
    counts = [end - start for start, end in itertools.pairwise([0, *cuts.tolist(), len(numbers)])]
    return [range(start, start + count) for start, count in zip(first, counts, strict=True)]
