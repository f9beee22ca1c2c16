"""Whose person each record is after a run (docs/spec/persons.md, section 4), on what a worker process has read.

Nothing but a run changes persons, and one run of a study at most is under way. What a withdrawal takes away meanwhile
is gone when the run is applied, and stays so.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from trustcenter.store.keys import Keys, halves_of, order_of

from .pairs import Key
from .subjects import Subjects

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]


def successors(subjects: Subjects, labels: NDArray[np.int32]) -> tuple[U8, dict[str, int]]:
    """The (n, 16) person of every record, and what happened to how many; records are senior in the order of their keys.

    Most clusters are as they were, or have nobody who belonged to a person: only the others choose by seniority. Nobody
    else has a person of theirs to lose.

    Args:
        subjects: records that were decided about, and those that were looked at and take part no more.
        labels: (n,) cluster of each that was decided about, numbered from 0.
    """
    from linkage.cluster import EventKind

    known, had, gone = _numbered(subjects)
    sizes = np.bincount(np.concatenate((had[had >= 0], gone[gone >= 0])), minlength=len(known))
    order = np.argsort(labels, kind="stable")
    count = np.bincount(labels)
    starts = np.cumsum(count) - count
    least, most = (of.reduceat(had[order], starts) if len(count) else had for of in (np.minimum, np.maximum))
    new = most < 0  # nobody in it belonged to a person
    stays = (least == most) & ~new
    stays[stays] = sizes[most[stays]] == count[stays]  # who was in it is, and nobody else
    persons = np.empty((len(count), 16), np.uint8)
    persons[stays] = known[most[stays]]
    persons[new] = _drawn(int(new.sum()))
    changed = np.flatnonzero(~(new | stays))
    same = np.zeros(len(known), np.bool_)
    same[most[stays]] = True
    happened = _chosen(subjects, labels, changed, (known, had, gone), same, persons)
    happened[EventKind.CREATED.value] += int(new.sum())
    return persons[labels], {kind: many for kind, many in sorted(happened.items()) if many}


def _numbered(subjects: Subjects) -> tuple[U8, I64, I64]:
    """All persons that there were, and the number of that of each record, here and gone; -1: nobody."""
    tables = subjects.persons, subjects.gone_persons
    belongs = [table.any(axis=1) for table in tables]
    keys = Keys.of(np.concatenate([table[some] for table, some in zip(tables, belongs, strict=True)]))
    numbers = []
    for table, some in zip(tables, belongs, strict=True):
        mine = np.full(len(table), -1, np.int64)
        mine[some] = keys.places(table[some])
        numbers.append(mine)
    known = np.stack((keys.first, keys.second), axis=1).astype(">u8").view(np.uint8).reshape(-1, 16)
    return known, numbers[0], numbers[1]


def _drawn(count: int) -> U8:
    """(count, 16) new persons, ascending: records that follow each other get such as stand together in the index."""
    made = np.frombuffer(os.urandom(16 * count), np.uint8).reshape(-1, 16)
    return made[order_of(*halves_of(made))]


def _chosen(
    subjects: Subjects,
    labels: NDArray[np.int32],
    changed: I64,
    numbered: tuple[U8, I64, I64],
    same: NDArray[np.bool_],
    persons: U8,
) -> Counter[str]:
    """Fill in the persons of the clusters that changed, by seniority; what happened to how many.

    Args:
        subjects: as `successors`.
        labels: the same.
        changed: those clusters.
        numbered: as `_numbered`.
        same: which persons have the records that they had.
        persons: (clusters, 16).
    """
    from linkage.cluster import succession

    known, had, gone = numbered
    members: dict[int, list[Key]] = {label: [] for label in changed.tolist()}
    inside = np.flatnonzero(np.isin(labels, changed))
    for label, (domain, serial) in zip(labels[inside].tolist(), subjects.keys[inside].tolist(), strict=True):
        members[label].append((domain, serial))
    before: dict[Key, bytes] = {}
    for keys, numbers in ((subjects.keys, had), (subjects.gone, gone)):
        some = np.flatnonzero(numbers >= 0)
        some = some[~same[numbers[some]]]
        for (domain, serial), number in zip(keys[some].tolist(), numbers[some].tolist(), strict=True):
            before[domain, serial] = known[number].tobytes()
    made = succession(before, list(members.values()), lambda key: key, lambda _: os.urandom(16))
    for label, person in zip(members, made.persons, strict=True):
        persons[label] = np.frombuffer(person, np.uint8)
    return Counter(event.kind.value for event in made.events)
