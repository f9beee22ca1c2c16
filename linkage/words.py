"""Rows as eight numbers of 64 bits: what the inner loop of the comparison works on.

A row is one cache line: token (2 words), filter (4), ref (2). Token and ref are read big-endian, so that the order of
the numbers is the order of the bytes; the filter is only ever XORed, so its order does not matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

BYTES = 64  # of a packed row


def pack(tokens: U8, filters: U8, refs: U8) -> U64:
    """(n, 8) u8 from (n, 16), (n, 32) and (n, 16) u1."""
    words = np.empty((len(tokens), 8), np.uint64)
    words[:, 0:2] = np.ascontiguousarray(tokens).view(">u8")
    words[:, 2:6] = np.ascontiguousarray(filters).view("<u8")
    words[:, 6:8] = np.ascontiguousarray(refs).view(">u8")
    return words
