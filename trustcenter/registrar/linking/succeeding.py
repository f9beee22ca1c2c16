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

    Most clusters are as they were, or have nobody who belonged to a person: only the others choose by seniority. Nobody
    else has a person of theirs to lose.

    Args:
        before: record → its person, of all records that were looked at.
        records: that were decided.
        labels: (n,) cluster of each.
    """
    from linkage.cluster import EventKind, succession

    numbers: dict[bytes, int] = {}
    had = np.array([numbers.setdefault(before[k], len(numbers)) if k in before else -1 for k in records], np.int64)
    known = np.frombuffer(b"".join(numbers), np.uint8).reshape(-1, 16)
    held = Counter(before.values())  # with records that left
    sizes = np.array([held[person] for person in numbers], np.int64)
    order = np.argsort(labels, kind="stable")
    count = np.bincount(labels)
    starts = np.cumsum(count) - count
    least, most = (of.reduceat(had[order], starts) if len(count) else had for of in (np.minimum, np.maximum))
    new = most < 0  # nobody in it belonged to a person
    stays = (least == most) & ~new
    stays[stays] = sizes[most[stays]] == count[stays]  # who was in it is, and nobody else
    persons = np.empty((len(count), 16), np.uint8)
    persons[stays] = known[most[stays]]
    persons[new] = np.frombuffer(os.urandom(16 * int(new.sum())), np.uint8).reshape(-1, 16)
    changed = np.flatnonzero(~(new | stays)).tolist()
    members: dict[int, list[Key]] = {label: [] for label in changed}
    for at in np.flatnonzero(np.isin(labels, changed)).tolist():
        members[int(labels[at])].append(records[at])
    same = {known[number].tobytes() for number in most[stays].tolist()}
    rest = {key: person for key, person in before.items() if person not in same}
    made = succession(rest, list(members.values()), lambda key: key, lambda _: os.urandom(16))
    for label, person in zip(changed, made.persons, strict=True):
        persons[label] = np.frombuffer(person, np.uint8)
    happened = Counter(event.kind.value for event in made.events)
    happened[EventKind.CREATED.value] += int(new.sum())
    return persons[labels], {kind: many for kind, many in sorted(happened.items()) if many}
