"""Numbers as ranges."""

from __future__ import annotations

import numpy as np

from trustcenter.store import ranges


def test_runs_become_ranges_and_scattered_numbers_do_not() -> None:
    assert ranges(np.arange(5, 25)) == [range(5, 25)]
    parts = [range(1, 30), range(40, 41), range(42, 70)]
    assert ranges(np.concatenate([np.arange(p.start, p.stop) for p in parts])) == parts
    assert ranges(np.arange(0, 100, 2)) is None
    assert ranges(np.empty(0, np.int64)) is None
