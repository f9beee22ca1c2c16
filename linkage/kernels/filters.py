"""From base filter and key stream to the filter of a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

U8 = NDArray[np.uint8]


@compiled("void(u2[:,::1], u1[:,::1], i8[::1], i8, u1[:,::1])")
def expand_rows(stream: NDArray[np.uint16], base: U8, which: NDArray[np.int64], taps: int, out: U8) -> None:
    """Filter of each row: XOR of `taps` base bits per output bit, XOR the mask (specification, section 5).

    Args:
        stream: (m, 256 * taps + 16) u2, the AES-CTR stream of each row as little-endian words.
        base: (n, 2048) u1, one byte (0 or 1) per bit of the base filters.
        which: (m,) i8, index into `base` for each row.
        taps: base bits per output bit.
        out: (m, 32) u1, filled.
    """
    for r in range(stream.shape[0]):
        keys = stream[r]
        bits = base[which[r]]
        for byte in range(32):
            acc = np.uint32(0)
            at = byte * 8 * taps
            for bit in range(8):
                x = np.uint32(0)
                if taps == 8:  # the shipped suite, unrolled
                    x = (
                        bits[np.uintp(keys[at] & np.uint16(2047))]
                        ^ bits[np.uintp(keys[at + 1] & np.uint16(2047))]
                        ^ bits[np.uintp(keys[at + 2] & np.uint16(2047))]
                        ^ bits[np.uintp(keys[at + 3] & np.uint16(2047))]
                        ^ bits[np.uintp(keys[at + 4] & np.uint16(2047))]
                        ^ bits[np.uintp(keys[at + 5] & np.uint16(2047))]
                        ^ bits[np.uintp(keys[at + 6] & np.uint16(2047))]
                        ^ bits[np.uintp(keys[at + 7] & np.uint16(2047))]
                    )
                else:
                    for i in range(taps):
                        x ^= bits[np.uintp(keys[at + i] & np.uint16(2047))]
                at += taps
                acc |= np.uint32(x) << np.uint32(bit)
            mask = np.uint32(keys[256 * taps + byte // 2]) >> np.uint32(8 * (byte % 2))
            out[r, byte] = np.uint8((acc ^ mask) & np.uint32(255))
