"""Greedy one-to-one assignment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

I64 = NDArray[np.int64]


@compiled("void(i8[::1], i4[::1], i4[::1], b1[::1], b1[::1])")
def greedy(
    order: I64, a: NDArray[np.int32], b: NDArray[np.int32], used: NDArray[np.bool_], won: NDArray[np.bool_]
) -> None:
    """Walk the pairs in `order`; a pair wins if neither of its records is taken yet.

    Args:
        order: (m,) i8, best pair first.
        a: (m,) i4, record of the one source.
        b: (m,) i4, record of the other source.
        used: (records,) bool, all False on entry; taken records are set.
        won: (m,) bool, filled.
    """
    for k in range(order.shape[0]):
        i = order[k]
        if not used[a[i]] and not used[b[i]]:
            used[a[i]] = True
            used[b[i]] = True
            won[i] = True
        else:
            won[i] = False
