"""Commitments to rows in the log: one HMAC per row under the row's own salt (docs/spec/pseudonym-rows.md, "Issue")."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BLOCK: Final = 64  # bytes, SHA-256
_SALT: Final = 16


def leaves(salts: NDArray[np.uint8], messages: NDArray[np.uint8]) -> list[bytes]:
    """HMAC-SHA-256 of each message under its salt; a third of the time of as many calls of `hmac.digest`.

    The padded keys of all rows are prepared at once, which leaves two hashes a row (RFC 2104). Salts are no
    long-lived secrets: they stand in the rows, and are erased with them.

    Args:
        salts: uint8 (n, 16).
        messages: uint8 (n, m).

    Returns:
        n digests of 32 bytes.
    """
    count, length = messages.shape
    inner = np.full((count, _BLOCK + length), 0x36, np.uint8)
    inner[:, :_SALT] ^= salts
    inner[:, _BLOCK:] = messages
    outer = np.full((count, _BLOCK), 0x5C, np.uint8)
    outer[:, :_SALT] ^= salts
    sha256 = hashlib.sha256
    return [
        sha256(around + sha256(within).digest()).digest() for within, around in zip(cut(inner), cut(outer), strict=True)
    ]


def cut(matrix: NDArray[np.uint8]) -> list[bytes]:
    """The rows of a matrix as strings of bytes."""
    count, width = matrix.shape
    raw = matrix.tobytes()
    return [raw[at : at + width] for at in range(0, count * width, width)] if width else [b""] * count
