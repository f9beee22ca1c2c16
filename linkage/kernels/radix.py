"""Sorting numbers digit by digit: three to four times as fast as by comparing, once there are millions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

U64 = NDArray[np.uint64]

_DIGIT = 11  # bits: the ends of 2,048 buckets stay in a core's second-level cache


@compiled("u8[::1](u8[::1], i8)")
def sort_numbers(keys: U64, bits: int) -> U64:
    """The numbers in ascending order; `keys` itself serves as the other half of the room, and is spoilt.

    Args:
        keys: (n,) u8, each below 2**bits.
        bits: 1 to 64.
    """
    n = keys.shape[0]
    size = 1 << _DIGIT
    mask = np.uint64(size - 1)
    digits = (bits + _DIGIT - 1) // _DIGIT
    counts = np.zeros((digits, size), np.int64)
    for i in range(n):
        key = keys[i]
        for digit in range(digits):
            counts[digit, np.int64((key >> np.uint64(digit * _DIGIT)) & mask)] += 1
    here, there = keys, np.empty(n, np.uint64)
    for digit in range(digits):
        shift = np.uint64(digit * _DIGIT)
        ends = counts[digit]
        if ends.max() == n:  # all have the same digit here
            continue
        total = 0
        for k in range(size):
            total, ends[k] = total + ends[k], total
        for i in range(n):
            key = here[i]
            bucket = np.int64((key >> shift) & mask)
            there[ends[bucket]] = key
            ends[bucket] += 1
        here, there = there, here
    return here
