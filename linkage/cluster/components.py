"""Which records are connected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


def components(records: int, a: NDArray[np.integer], b: NDArray[np.integer]) -> I64:
    """(records,) i8: the smallest record that is connected with each.

    Args:
        records: how many there are.
        a: one end of each connection.
        b: the other end.
    """
    root = np.arange(records, dtype=np.int64)
    while len(a):
        low = np.minimum(root[a], root[b])
        before = root.copy()
        # Both roots learn of the smaller one, then every record asks its root: paths halve in every round.
        np.minimum.at(root, before[a], low)
        np.minimum.at(root, before[b], low)
        while (root != root[root]).any():
            root = root[root]
        if (root == before).all():
            break
    return root
