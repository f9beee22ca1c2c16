"""From rows as they lie in a file to packed rows sorted by bucket, in two passes over memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

ROW_BYTES = 65  # ref 16, pass 1, token 16, filter 32


@compiled("u8(u1[::1], u8)", inline="always")
def big(raw: U8, at: Any) -> Any:
    """Eight bytes as a number, big-endian; unsigned positions, so that numba looks for no negative ones."""
    x = np.uint64(0)
    for k in range(8):
        x = (x << np.uint64(8)) | np.uint64(raw[at + np.uint64(k)])
    return x


@compiled("u8(u1[::1], u8)", inline="always")
def little(raw: U8, at: Any) -> Any:
    """Eight bytes as a number, little-endian."""
    x = np.uint64(0)
    for k in range(8):
        x |= np.uint64(raw[at + np.uint64(k)]) << np.uint64(8 * k)
    return x


@compiled("void(u1[::1], i8, i8, u2[::1], i8[::1], u8[:,::1])")
def cut_rows(raw: U8, n: int, bits: int, bucket: NDArray[np.uint16], counts: NDArray[np.int64], out: U64) -> None:
    """Pack rows as `linkage.words` does, sorted by bucket; rows of one bucket keep their order.

    Args:
        raw: at least 65 n bytes of rows.
        n: rows.
        bits: a bucket is the pass and this many first bits of the token.
        bucket: (n,) u2, scratch.
        counts: (buckets,) i8, filled with rows per bucket; every row's bucket must be below its length.
        out: (n, 8) u8, filled.
    """
    counts[:] = 0
    shift = np.uint64(64 - bits)
    for i in range(n):
        at = np.uint64(i * ROW_BYTES)
        b = np.int64(raw[at + np.uint64(16)]) << bits
        if bits:
            b |= np.int64(big(raw, at + np.uint64(17)) >> shift)
        bucket[i] = b
        counts[b] += 1
    ends = np.cumsum(counts) - counts
    for i in range(n):
        at = np.uint64(i * ROW_BYTES)
        b = bucket[i]
        to = ends[b]
        ends[b] += 1
        out[to, 0] = big(raw, at + np.uint64(17))
        out[to, 1] = big(raw, at + np.uint64(25))
        out[to, 2] = little(raw, at + np.uint64(33))
        out[to, 3] = little(raw, at + np.uint64(41))
        out[to, 4] = little(raw, at + np.uint64(49))
        out[to, 5] = little(raw, at + np.uint64(57))
        out[to, 6] = big(raw, at)
        out[to, 7] = big(raw, at + np.uint64(8))
