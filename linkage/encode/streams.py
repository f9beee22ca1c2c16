"""AES-256-CTR streams of rows, many rows to a call (specification, section 5)."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from linkage.prf import Prf, lp
from linkage.schema import Schema

_ROWS = 128  # rows per AES call: block and stream together stay in a core's second-level cache


class Streams:
    """Turns nonces and base filters into row filters, pass by pass.

    CTR mode is written as the encryption of explicit counter blocks, so that one call serves many nonces;
    ECB appears for this reason and only here.
    """

    def __init__(self, schema: Schema, key: bytes) -> None:
        prf = Prf(key)
        self._taps = schema.encoding.taps
        self._blocks = 32 * self._taps + 2
        self._ciphers = [
            Cipher(algorithms.AES(prf(lp(p.name.encode()))), modes.ECB()).encryptor()  # noqa: S305
            for p in schema.passes
        ]
        counters = np.zeros((_ROWS, self._blocks, 2), "<u8")
        counters[:, :, 1] = np.arange(self._blocks, dtype=np.uint64).byteswap()
        self._input = counters
        self._output = np.zeros(_ROWS * self._blocks * 16 + 15, np.uint8)

    def filters(
        self, at: int, nonces: NDArray[np.uint8], base: NDArray[np.uint8], which: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Filters of the rows of pass `at`.

        Args:
            at: number of the pass.
            nonces: (m, 8) u1.
            base: (n, 2048) u1, expanded base filters.
            which: (m,) i8, the base filter of each row.

        Returns:
            (m, 32) u1.
        """
        from linkage.kernels.filters import expand_rows

        out = np.empty((len(nonces), 32), np.uint8)
        words = np.ascontiguousarray(nonces).view("<u8")[:, 0]
        for start in range(0, len(nonces), _ROWS):
            part = words[start : start + _ROWS]
            m = len(part)
            self._input[:m, :, 0] = part[:, None]
            size = m * self._blocks * 16
            self._ciphers[at].update_into(self._input[:m].data.cast("B"), self._output[: size + 15].data)
            stream = self._output[:size].view("<u2").reshape(m, -1)
            expand_rows(stream, base, which[start : start + _ROWS], self._taps, out[start : start + m])
        return out
