"""Persons: no bridge, no doubles, no dependence on order."""

from itertools import permutations

import numpy as np
import pytest

from linkage.cluster import agglomerate, cluster
from linkage.decide import Class, Decision, Pairs
from linkage.evaluate import by_pair_of_sources, cluster_sizes, conflicts, pairwise


def decision(*rows, refused=()):
    """Rows (a, b, posterior) → Decision; above 0.8 is a match."""
    a, b, posterior = zip(*sorted(rows), strict=True)
    n = len(rows)
    ends = [np.array(x, np.int32) for x in (a, b)]
    p = np.array(posterior)
    many = np.full(n, 10, np.int32)
    cls = np.where(p > 0.8, Class.MATCH, Class.NON_MATCH).astype(np.uint8)
    yes = np.ones(n, np.bool_)
    return Decision(Pairs(*ends, many, many), p, yes, cls, ~yes, (), refused)


def keys(n):
    return np.arange(16 * n, dtype=np.uint8).reshape(n, 16)


def groups(labels):
    return {frozenset(np.flatnonzero(labels == x).tolist()) for x in set(labels.tolist())}


def test_a_person_at_three_sites():
    made = cluster(
        decision((0, 1, 0.99), (1, 2, 0.9), (0, 2, 0.95)), np.array([0, 1, 2], np.int32), [True] * 3, keys(3)
    )
    assert made.tolist() == [0, 0, 0]
    assert made.dtype == np.int32


def test_a_bridge_joins_one_of_two():
    """Record 1 resembles both 0 and 2, who have nothing in common: it goes to the better, the rest to clearing."""
    made = agglomerate(decision((0, 1, 0.97), (1, 2, 0.99)), np.array([0, 1, 2], np.int32), [True] * 3, keys(3))
    assert groups(made.labels) == {frozenset({0}), frozenset({1, 2})}
    assert made.refused.tolist() == [0]


def test_a_bridge_between_whole_persons():
    """Persons {0, 1, 2} and {3, 4, 5} at sites 0, 1, 2 and 3, 4, 5; record 6 at site 6 resembles one of each."""
    full = [(a, b, 0.99) for base in (0, 3) for a, b in ((base, base + 1), (base + 1, base + 2), (base, base + 2))]
    bridge = [(2, 6, 0.98), (3, 6, 0.97)]
    made = cluster(decision(*full, *bridge), np.arange(7, dtype=np.int32), [True] * 7, keys(7))
    assert {frozenset({0, 1, 2}), frozenset({3, 4, 5})} <= groups(made)


def test_two_records_of_a_deduplicated_source_stay_apart():
    sources = np.array([0, 0, 1, 2], np.int32)
    rows = decision((0, 2, 0.99), (2, 3, 0.98), (1, 3, 0.97), (0, 3, 0.9), (1, 2, 0.9))
    assert conflicts(cluster(rows, sources, [True] * 3, keys(4)), sources) == 0


def test_order_of_records_does_not_matter():
    rows = [(0, 1, 0.9), (1, 2, 0.9), (2, 3, 0.9), (0, 3, 0.9), (0, 2, 0.85), (1, 3, 0.81)]
    sources, ties = np.array([0, 1, 0, 2], np.int32), keys(4)
    seen = set()
    for order in permutations(range(4)):
        place = {old: new for new, old in enumerate(order)}
        moved = decision(*[(*sorted((place[a], place[b])), p) for a, b, p in rows])
        labels = cluster(moved, sources[list(order)], [True] * 3, ties[list(order)])
        seen.add(frozenset(frozenset(order[i] for i in g) for g in groups(labels)))
    assert len(seen) == 1


def test_nothing_matched():
    assert cluster(decision((0, 1, 0.1)), np.array([0, 1], np.int32), [True] * 2, keys(2)).tolist() == [0, 1]


def test_quality_by_hand():
    """Persons AAB|AB over sites 001|12…: found pairs (0,2), (3,4); true pairs (0,3), (1,3), (2,4)."""
    labels, persons, sources = [0, 1, 0, 2, 2], [7, 7, 8, 7, 8], [0, 0, 1, 1, 2]
    quality = pairwise(labels, persons, sources)
    assert (quality.found, quality.true, quality.right) == (2, 3, 0)
    perfect = pairwise(persons, persons, sources)
    assert (perfect.precision, perfect.recall, perfect.f1) == (1, 1, 1)
    nothing = pairwise(range(5), range(5), sources)
    assert (nothing.precision, nothing.recall, nothing.f1) == (1, 1, 1)
    half = pairwise([0, 0, 1, 1], [0, 0, 1, 2], [0, 1, 0, 1])
    assert (half.precision, half.recall, half.f1) == pytest.approx((0.5, 1, 2 / 3))
    assert by_pair_of_sources(labels, persons, sources)[1, 2].found == 1
    assert cluster_sizes(labels) == {1: 1, 2: 2}
