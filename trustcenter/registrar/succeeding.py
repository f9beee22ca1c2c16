"""Whose person each record is after a run (docs/spec/persons.md, section 4), on what a worker process has read.

Nothing but a run changes persons, and one run of a study at most is under way. What a withdrawal takes away meanwhile
is gone when the run is applied, and stays so.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .pairs import Key


def successors(
    before: Mapping[Key, bytes], records: Sequence[Key], labels: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """The (n, 16) person of every record, and what happened to how many; records are senior in the order of their keys.

    Args:
        before: record → its person, of all records that were looked at.
        records: that were decided.
        labels: (n,) cluster of each.
    """
    from linkage.cluster import succession

    members: list[list[Key]] = [[] for _ in range(int(labels.max()) + 1 if len(labels) else 0)]
    for key, label in zip(records, labels.tolist(), strict=True):
        members[label].append(key)
    made = succession(before, members, lambda key: key, lambda _: os.urandom(16))
    persons = np.frombuffer(b"".join(made.persons), np.uint8).reshape(-1, 16)[labels]
    return persons, dict(sorted(Counter(event.kind.value for event in made.events).items()))
