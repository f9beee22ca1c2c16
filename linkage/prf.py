"""Keyed hashing: the only source of pseudo-randomness in the encoding (docs/spec/keyed-passes.md, section 2).

HMAC-SHA-256 (RFC 2104) over length-prefixed inputs, under subkeys from HKDF-Expand (RFC 5869), one per purpose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from numpy.typing import NDArray

SUITE = b"trustcenter/keyed-passes/1/"
_BLOCK = 64  # bytes, input block of SHA-256


def lp(*parts: bytes) -> bytes:
    """Each part behind its length (4 bytes, big-endian), so that no two lists of parts give the same bytes."""
    if len(parts) == 1:  # the most frequent call by far
        return len(parts[0]).to_bytes(4, "big") + parts[0]
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def subkey(secret: bytes, label: str, study: str, version: int = 0) -> bytes:
    """The 32-byte key for one purpose in one study (and version; 0 where it outlives versions).

    Args:
        secret: 32 bytes, study secret or site key.
        label: one of the labels of the specification, ASCII.
        study: name of the study.
        version: version of the study secret, 0 to 2**32-1.
    """
    info = SUITE + label.encode("ascii") + b"\0" + lp(study.encode()) + version.to_bytes(4, "big")
    return HKDFExpand(algorithm=SHA256(), length=32, info=info).derive(secret)


class Prf:
    """HMAC-SHA-256 under one key, with the two keyed states computed once: three times as fast as `hmac.digest`."""

    __slots__ = ("_inner", "_key", "_outer", "_states")

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("a PRF key has 32 bytes")
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(b ^ 0x36 for b in padded))
        self._outer = hashlib.sha256(bytes(b ^ 0x5C for b in padded))
        self._key = padded
        self._states: tuple[NDArray[np.uint32], NDArray[np.uint32]] | None = None

    def __repr__(self) -> str:
        return "Prf(<redacted>)"

    def __call__(self, message: bytes) -> bytes:
        """32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    def many(self, messages: Iterable[bytes]) -> list[bytes]:
        """`[self(m) for m in messages]`, with the attribute look-ups outside the loop."""
        new_inner, new_outer = self._inner.copy, self._outer.copy
        out: list[bytes] = []
        append = out.append
        for message in messages:
            inner, outer = new_inner(), new_outer()
            inner.update(message)
            outer.update(inner.digest())
            append(outer.digest())
        return out

    def batch(self, data: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.uint8]:
        """HMACs of many messages in one compiled call.

        Args:
            data: the messages, one behind the other.
            starts: (n + 1,) i8, where each starts, and the end.

        Returns:
            (n, 32) u1.
        """
        from linkage.kernels.sha256 import ROUND, hmac_many, state_after

        if self._states is None:
            self._states = (
                state_after(bytes(b ^ 0x36 for b in self._key)),
                state_after(bytes(b ^ 0x5C for b in self._key)),
            )
        out = np.empty((len(starts) - 1, 32), np.uint8)
        hmac_many(*self._states, ROUND, data, starts, out)
        return out

    def rows(self, messages: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """HMACs of n messages of one length: (n, length) u1 to (n, 32) u1."""
        n, length = messages.shape
        return self.batch(np.ascontiguousarray(messages).reshape(-1), np.arange(n + 1) * length)

    def stretch(self, message: bytes, length: int) -> bytes:
        """`length` bytes: HMAC(message ‖ 0x00) ‖ HMAC(message ‖ 0x01) ‖ …, cut; at most 8,192 bytes."""
        blocks = -(-length // 32)
        return b"".join([self(message + bytes([i])) for i in range(blocks)])[:length]
