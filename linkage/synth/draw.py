"""Random draws that are the same on every platform and with every version of numpy.

Only the raw 64-bit output of Philox is used, which numpy guarantees; its distributions it does not. For synthetic
data only: nothing secret is ever drawn here.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


class Draw:
    """A stream of draws, given by a seed and a label: two labels never share a stream."""

    def __init__(self, seed: str, label: str) -> None:
        digest = hashlib.sha256(f"{len(seed)}:{seed}{label}".encode()).digest()
        self._bits = np.random.Philox(key=np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64))

    def raw(self, n: int) -> NDArray[np.uint64]:
        """Draw n uniform 64-bit numbers."""
        return np.asarray(self._bits.random_raw(n), dtype=np.uint64)

    def uniform(self, n: int) -> NDArray[np.float64]:
        """Draw n numbers in [0, 1) with 53 bits."""
        return (self.raw(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def chance(self, n: int, p: float) -> NDArray[np.bool_]:
        """Draw n events of probability p."""
        return self.uniform(n) < p

    def below(self, n: int, k: int) -> NDArray[np.int64]:
        """Draw n integers in 0..k-1."""
        return np.asarray(self.uniform(n) * k, dtype=np.int64)

    def choose(self, n: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Draw n indices, drawn with these weights."""
        edges = np.cumsum(weights)
        drawn = np.searchsorted(edges, self.uniform(n) * edges[-1], side="right")
        return np.asarray(np.minimum(drawn, len(weights) - 1), dtype=np.int64)

    def order(self, n: int) -> NDArray[np.int64]:
        """A permutation of 0..n-1."""
        return np.asarray(np.argsort(self.raw(n), kind="stable"), dtype=np.int64)
