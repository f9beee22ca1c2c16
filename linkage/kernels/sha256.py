"""HMAC-SHA-256 of many short messages at once (FIPS 180-4, RFC 2104): sixteen side by side in vector registers.

`hashlib` spends a microsecond of Python a message, thirty times what the hashing itself takes here
(docs/adr/0013-hashing-many-messages-at-once.md). No branch and no address depends on the key or the message, only on
the lengths.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

U4 = NDArray[np.uint32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

LANES = 16  # messages side by side: one register of 512 bits, or two of 256
# Words of the working space, each LANES wide: message schedule, then what became of `a` and of `e` round by round.
_A, _E, _STATE, _WORDS = 64, 132, 200, 208


def _constants() -> tuple[list[int], list[int]]:
    """First 32 bits of the fractional parts of the roots of the first primes: square (8) and cube (64)."""
    primes = [p for p in range(2, 312) if all(p % q for q in range(2, isqrt(p) + 1))]
    square = [isqrt(p << 64) & 0xFFFFFFFF for p in primes[:8]]
    cube = []
    for p in primes:
        root = round(p ** (1 / 3) * 2**32)  # right but for the last few bits
        while root**3 > p << 96:
            root -= 1
        while (root + 1) ** 3 <= p << 96:
            root += 1
        cube.append(root & 0xFFFFFFFF)
    return square, cube


START = np.array(_constants()[0], np.uint32)
ROUND = np.array(_constants()[1], np.uint32)


@compiled("void(u4[::1], u4[::1])")
def compress(x: U4, rounds: U4) -> None:
    """One block of each lane.

    Args:
        x: (208 * 16,) u4, working space; the message block lies in its first 16 words, the state in its last 8, and
            the new state is left there.
        rounds: (64,) u4, `ROUND`.
    """
    u = np.uint32
    n = 16
    for i in range(4):
        for lane in range(n):
            x[(_A + 3 - i) * n + lane] = x[(_STATE + i) * n + lane]
            x[(_E + 3 - i) * n + lane] = x[(_STATE + 4 + i) * n + lane]
    for t in range(16, 64):
        for lane in range(n):
            p, q = x[(t - 15) * n + lane], x[(t - 2) * n + lane]
            s0 = ((p >> u(7)) | (p << u(25))) ^ ((p >> u(18)) | (p << u(14))) ^ (p >> u(3))
            s1 = ((q >> u(17)) | (q << u(15))) ^ ((q >> u(19)) | (q << u(13))) ^ (q >> u(10))
            x[t * n + lane] = u(x[(t - 16) * n + lane] + s0 + x[(t - 7) * n + lane] + s1)
    for t in range(64):
        k = rounds[t]
        for lane in range(n):
            a, b = x[(_A + t + 3) * n + lane], x[(_A + t + 2) * n + lane]
            c, d = x[(_A + t + 1) * n + lane], x[(_A + t) * n + lane]
            e, f = x[(_E + t + 3) * n + lane], x[(_E + t + 2) * n + lane]
            g, h = x[(_E + t + 1) * n + lane], x[(_E + t) * n + lane]
            s1 = ((e >> u(6)) | (e << u(26))) ^ ((e >> u(11)) | (e << u(21))) ^ ((e >> u(25)) | (e << u(7)))
            one = u(h + s1 + (g ^ (e & (f ^ g))) + k + x[t * n + lane])
            s0 = ((a >> u(2)) | (a << u(30))) ^ ((a >> u(13)) | (a << u(19))) ^ ((a >> u(22)) | (a << u(10)))
            two = u(s0 + ((a & b) | (c & (a | b))))
            x[(_A + t + 4) * n + lane] = u(one + two)
            x[(_E + t + 4) * n + lane] = u(d + one)
    for i in range(4):
        for lane in range(n):
            x[(_STATE + i) * n + lane] = u(x[(_STATE + i) * n + lane] + x[(_A + 67 - i) * n + lane])
            x[(_STATE + 4 + i) * n + lane] = u(x[(_STATE + 4 + i) * n + lane] + x[(_E + 67 - i) * n + lane])


@compiled("void(u4[::1], u4[::1], u4[::1], u1[::1], i8[::1], u1[:,::1])")
def hmac_many(inner: U4, outer: U4, rounds: U4, data: U8, starts: I64, out: U8) -> None:
    """HMAC of every message.

    Args:
        inner: (8,) u4, state after the block of the key and the inner pad (`state_after`).
        outer: (8,) u4, the same with the outer pad.
        rounds: (64,) u4, `ROUND`.
        data: the messages, one behind the other.
        starts: (n + 1,) i8, where each starts, and the end.
        out: (n, 32) u1, filled.
    """
    n = 16
    count = starts.shape[0] - 1
    x = np.zeros(_WORDS * n, np.uint32)
    kept = np.empty(8 * n, np.uint32)
    for first in range(0, count, n):
        here = min(n, count - first)
        most = 0
        for lane in range(here):
            most = max(most, (starts[first + lane + 1] - starts[first + lane] + 72) // 64)
        for i in range(8):
            for lane in range(n):
                x[(_STATE + i) * n + lane] = inner[i]
        for block in range(most):
            for lane in range(here):
                begin = starts[first + lane]
                size = starts[first + lane + 1] - begin
                blocks = (size + 72) // 64
                for word in range(16):
                    value = np.uint32(0)
                    at = block * 64 + word * 4
                    for byte in range(at, at + 4):
                        got = np.uint32(0)
                        if byte < size:
                            got = np.uint32(data[begin + byte])
                        elif byte == size:
                            got = np.uint32(0x80)
                        value = np.uint32((value << np.uint32(8)) | got)
                    if word == 15 and block == blocks - 1:
                        value = np.uint32((64 + size) * 8)  # bits, with the block of the key; messages are short
                    x[word * n + lane] = value
            for i in range(8 * n):
                kept[i] = x[_STATE * n + i]
            compress(x, rounds)
            for lane in range(here):
                # A message that ended in an earlier block keeps its state.
                if block >= (starts[first + lane + 1] - starts[first + lane] + 72) // 64:
                    for i in range(8):
                        x[(_STATE + i) * n + lane] = kept[i * n + lane]
        for i in range(8):
            for lane in range(n):
                x[i * n + lane] = x[(_STATE + i) * n + lane]
                x[(8 + i) * n + lane] = np.uint32(0)
                x[(_STATE + i) * n + lane] = outer[i]
        for lane in range(n):
            x[8 * n + lane] = np.uint32(0x80000000)
            x[15 * n + lane] = np.uint32((64 + 32) * 8)
        compress(x, rounds)
        for lane in range(here):
            for i in range(8):
                value = x[(_STATE + i) * n + lane]
                for byte in range(4):
                    out[first + lane, 4 * i + byte] = np.uint8((value >> np.uint32(24 - 8 * byte)) & np.uint32(255))


def state_after(block: bytes) -> U4:
    """(8,) u4: the state after one block of 64 bytes."""
    x = np.zeros((_WORDS, LANES), np.uint32)
    x[:16] = np.frombuffer(block, ">u4").astype(np.uint32)[:, None]
    x[_STATE:] = START[:, None]
    compress(x.reshape(-1), ROUND)
    return x[_STATE:, 0].copy()
