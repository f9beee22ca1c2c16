"""Persons after a run: the same as where every cluster chooses by seniority (docs/spec/persons.md, section 4)."""

from __future__ import annotations

import os
import random
from collections import Counter

import numpy as np
import pytest

from linkage.cluster import succession
from linkage.decide import Pairs
from trustcenter.registrar.linking.pairs import Key
from trustcenter.registrar.linking.subjects import NOBODY, Subjects
from trustcenter.registrar.linking.succeeding import successors

PERSONS = [bytes([number]) * 16 for number in range(1, 12)]


def case(chance: random.Random, kept: float) -> tuple[dict[Key, bytes], list[Key], np.ndarray]:
    """Who belonged to whom, the records that there are now, and the cluster of each."""
    records = sorted({(chance.randrange(3), chance.randrange(30)) for _ in range(chance.randrange(40))})
    numbers: dict[int, int] = {}
    drawn = [chance.randrange(max(1, len(records))) for _ in records]
    labels = [numbers.setdefault(label, len(numbers)) for label in drawn]
    before = {}
    for key, label in zip(records, labels, strict=True):
        if chance.random() < kept:
            before[key] = bytes([label + 20]) * 16  # as it was
        elif chance.random() < 0.5:
            before[key] = chance.choice(PERSONS)
    before |= {(5, number): chance.choice(PERSONS) for number in range(chance.randrange(4))}  # who left
    return before, records, np.array(labels, np.int32)


def columns(before: dict[Key, bytes], records: list[Key]) -> Subjects:
    """The same as columns; those of `before` that are no records have gone."""
    left = sorted(before.keys() - set(records))
    persons = [
        np.frombuffer(b"".join(before.get(key, NOBODY) for key in keys), np.uint8).reshape(-1, 16)
        for keys in (records, left)
    ]
    keys, gone = (np.array(some, np.int64).reshape(-1, 2) for some in (records, left))
    none = np.empty(0, np.int32)
    return Subjects(
        keys=keys,
        sources=keys[:, 0].astype(np.int32),
        tags=np.zeros((len(keys), 16), np.uint8),
        persons=persons[0],
        quality=np.full(len(keys), np.nan),
        pairs=Pairs(none, none, none, none),
        gone=gone,
        gone_persons=persons[1],
    )


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.95])
def test_persons_are_those_of_the_rule(kept: float) -> None:
    chance = random.Random(str(kept))
    for _ in range(150):
        before, records, labels = case(chance, kept)
        members: list[list[Key]] = [[] for _ in range(len(set(labels.tolist())))]
        for key, label in zip(records, labels.tolist(), strict=True):
            members[label].append(key)
        expected = succession(before, members, lambda key: key, lambda _: b"new" + os.urandom(13))
        persons, happened = successors(columns(before, records), labels)
        assert happened == dict(sorted(Counter(event.kind.value for event in expected.events).items()))
        old, new = set(before.values()), {}
        for found, label in zip(persons, labels.tolist(), strict=True):
            wanted = expected.persons[label]
            if wanted in old:
                assert found.tobytes() == wanted
            else:
                assert new.setdefault(wanted, found.tobytes()) == found.tobytes() not in old
        assert len(set(new.values())) == len(new)


def test_new_persons_stand_in_the_index_as_their_records_stand() -> None:
    """Millions of a first run in no order would change every page of the index again and again."""
    records = [(1, number) for number in range(50)]
    persons, happened = successors(columns({}, records), np.arange(50, dtype=np.int32))
    assert happened == {"created": 50}
    assert [person.tobytes() for person in persons] == sorted({person.tobytes() for person in persons})
