"""Whose each row is that a window reads: its source, and whether it is new."""

from __future__ import annotations

import numpy as np

from trustcenter.comparator.frozen import Frozen
from trustcenter.comparator.pieces import _of_uploads


def frozen(uploads: tuple[tuple[int, int], ...], fresh: frozenset[int]) -> Frozen:
    return Frozen("heart", 1, 2, 15, (1, 2, 3, 4), (9,) * 15, uploads, fresh, ("a", "b"), (0, 0), 0)


def test_rows_of_uploads_that_are_not_live_are_nobodys() -> None:
    found, fresh = _of_uploads(
        frozen(((7, 1), (9, 0)), frozenset({9})), np.array([9, 7, 8, 1, 4_000_000_000], np.uint32)
    )
    assert found.tolist() == [0, 1, -1, -1, -1]
    assert fresh.tolist() == [True, False, False, False, False]


def test_without_uploads_there_are_no_rows() -> None:
    found, fresh = _of_uploads(frozen((), frozenset()), np.array([0, 3], np.uint32))
    assert (found.tolist(), fresh.tolist()) == ([-1, -1], [False, False])
