"""Lists of retired refs: sorted, written once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linkage.errors import TokenIndexDamagedError
from linkage.rows import as_words

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

MAGIC = b"TCDELS1\n"


def write(path: Path, refs: U8) -> tuple[int, str]:
    """Write (k, 16) u1 sorted, each once, durably → their number and the SHA-256 of the body."""
    body = np.unique(refs, axis=0).tobytes()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(MAGIC + body)
        file.flush()
        os.fsync(file.fileno())
    return len(body) // 16, hashlib.sha256(body).hexdigest()


def read(path: Path, n: int, sha256: str) -> U8:
    """(n, 16) u1.

    Raises:
        TokenIndexDamagedError: missing or changed.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise TokenIndexDamagedError("a file of the index is missing", hint="build it again") from None
    body = data[len(MAGIC) :]
    if not data.startswith(MAGIC) or len(body) != 16 * n or hashlib.sha256(body).hexdigest() != sha256:
        raise TokenIndexDamagedError("a file of the index was cut or changed", hint="build it again")
    return np.frombuffer(body, np.uint8).reshape(n, 16)


def members(high: U64, low: U64, refs: U8) -> NDArray[np.bool_]:
    """Which of (m,) refs, given by halves, are among (k, 16) sorted refs."""
    if not len(refs):
        return np.zeros(len(high), np.bool_)
    known = np.ascontiguousarray(refs).view("S16").reshape(-1)
    asked = np.ascontiguousarray(np.stack((high, low), axis=1).astype(">u8")).view("S16").reshape(-1)
    first, _ = as_words(refs)
    near = np.minimum(np.searchsorted(first, high), len(first) - 1)
    found: NDArray[np.bool_] = first[near] == high
    where = np.flatnonzero(found)  # few: the second halves decide
    found[where] = np.isin(asked[where], known)
    return found
