"""Rows whose tokens collide often, the same on every machine: no random generator."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.rows import ROW, sort_order


def draw(name: str, *shape: int) -> NDArray[np.uint8]:
    """Bytes from SHAKE-256, the same everywhere."""
    size = int(np.prod(shape))
    return np.frombuffer(bytearray(hashlib.shake_256(name.encode()).digest(size)), np.uint8).reshape(shape)


def make_rows(name: str, n: int, passes: int = 15, *, ends: int = 1) -> NDArray[Any]:
    """(n,) ROW sorted by ref: few tokens over the whole range of prefixes, filters that are close to each other.

    Tokens of one prefix have one of `ends` last bytes.
    """
    rows = np.zeros(n, ROW)
    rows["ref"] = draw(f"ref {name}", n, 16)
    rows["pass"] = draw(f"pass {name}", n) % passes
    rows["token"][:, 0] = draw(f"token {name}", n) % 60 * (256 // 60)
    rows["token"][:, 15] = draw(f"end {name}", n) % ends
    rows["filter"] = draw(f"filter {name}", n, 32) & draw(f"mask {name}", n, 32)
    return rows[sort_order(rows["ref"])]
