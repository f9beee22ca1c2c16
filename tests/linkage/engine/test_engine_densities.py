"""Densities and weights: tables of counts, smoothing, estimation, and what ships."""

import json

import numpy as np
import pytest

from linkage.decide import parse, shipped
from linkage.decide.densities import BINS, Counts, shipped_counts, smoothed
from linkage.decide.weights import estimate, groups
from linkage.errors import DensitiesError

HYB15 = shipped("hyb15")


def test_smoothing_keeps_what_is_well_counted_and_fills_the_rest():
    table = np.zeros((3, 15, BINS), np.int64)
    table[0, 7, 3] = 100
    table[1, 7, 3] = 1_000_000
    table[2, 0, 0] = 1
    density = smoothed(table)
    assert density.sum(axis=(1, 2)).tolist() == pytest.approx([1, 1, 1])
    assert (density > 0).all()
    assert density[0, 7, 3] < 0.4 < 0.99 < density[1, 7, 3]
    assert density[0, 6, 3] == pytest.approx(density[0, 8, 3]) == pytest.approx(density[0, 7, 2])


def test_weights_are_recovered():
    """A population drawn from the densities themselves: 300 matches, 500 relatives, 9,200 strangers."""
    grades = len(HYB15.grades)
    match, relative, stranger = groups(len(HYB15.winners), grades)
    true = np.zeros(len(HYB15.winners))
    true[0], true[relative.start], true[stranger.start] = 0.03, 0.05, 0.92
    counts = np.rint(1e6 * np.tensordot(true, HYB15.winners, 1)).astype(np.int64).reshape(-1)
    weights, likelihood = estimate(counts, HYB15.winners, grades)
    assert [weights[part].sum() for part in (match, relative, stranger)] == pytest.approx([0.03, 0.05, 0.92], abs=0.005)
    without, lower = estimate(counts, HYB15.winners, grades, matches=False)
    assert without[match].tolist() == [0] * grades
    assert likelihood - lower > 10_000


def test_estimation_ends_where_the_likelihood_is_greatest():
    """At a maximum no class would gain: density over mixture is 1 on average where there is weight, at most 1 else."""
    grades = len(HYB15.grades)
    true = np.arange(1.0, len(HYB15.winners) + 1)
    counts = np.rint(2000 * np.tensordot(true / true.sum(), HYB15.winners, 1)).astype(np.int64).reshape(-1)
    weights, _ = estimate(counts, HYB15.winners, grades)
    table = HYB15.winners.reshape(len(weights), -1)
    gain = (counts * table / (weights @ table)).sum(axis=1) / counts.sum()
    assert gain.max() < 1.001
    assert gain[weights > 0.01] == pytest.approx(1, abs=1e-3)


def test_pooling_adds_and_refuses_other_passes():
    one = Counts.of(np.ones((2, 3, 15, BINS), np.int64), ("own",), ("own",), (3,), "hyb15", {})
    other = Counts.of(np.ones((2, 6, 15, BINS), np.int64), ("heavy", "own"), ("city", "own"), (4, 5), "hyb15", {})
    both = one + other
    assert (both.grades, both.kinds) == (("heavy", "own"), ("city", "own"))
    assert both.table()[0, :, 0, 0].tolist() == [1, 2, 1, 2, 1, 2]
    assert both.unseen == {"heavy": 4, "own": 8}
    assert parse(both.encode()) == both
    with pytest.raises(DensitiesError):
        one + Counts.of(np.ones((2, 3, 16, BINS), np.int64), ("own",), ("own",), (0,), "fine16", {})


def test_bad_tables_are_refused():
    good = json.loads(Counts.of(np.ones((2, 3, 2, BINS), np.int64), ("own",), ("own",), (0,), "x", {}).encode())
    assert parse(json.dumps(good).encode()).passes == 2
    bad = [
        {**good, "passes": 3},
        {**good, "more": 1},
        {**good, "format": "trustcenter/densities/1"},
        {**good, "pairs": {**good["pairs"], "match": {}}},
        {**good, "pairs": {**good["pairs"], "relative": {}}},
        {**good, "unseen": {}},
        {**good, "unseen": {"own": -1}},
        {**good, "pairs": {**good["pairs"], "stranger": {"other": [[1] * 12] * 2}}},
        {**good, "pairs": {**good["pairs"], "stranger": {"own": [[0] * 12] * 2}}},
        {**good, "pairs": {**good["pairs"], "stranger": {"own": [[1] * 11] * 2}}},
        {**good, "pairs": {**good["pairs"], "stranger": {"own": [[-1] * 12] * 2}}},
    ]
    for data in (*bad, None, []):
        with pytest.raises(DensitiesError):
            parse(json.dumps(data).encode())
    for profile in ("none", "../x", ""):
        with pytest.raises(DensitiesError):
            shipped(profile)


@pytest.mark.parametrize(
    ("profile", "schema"),
    [
        ("hyb15", "de-person/1"),
        ("self15", "de-person/3"),
        ("self22", "de-person/4"),
        ("fine16", "de-large/1"),
        ("names12", "de-names/1"),
        ("wide22", "de-person/2"),
    ],
)
def test_shipped_tables_say_where_they_come_from(profile, schema):
    counts = shipped_counts(profile)
    assert counts.provenance["command"] == f"python -m linkage.ship_densities {schema}"
    assert counts.kinds == ("city", "country", "town")
    assert {grade.split("-")[0] for grade in counts.grades} == {"light", "moderate", "heavy"}
    every, winners = (table.sum(axis=(1, 2)) for table in counts.table())
    assert winners.min() > 500
    assert (winners <= every).all()
    # Who writes worse, and years apart, has more pairs of one person without any edge.
    unseen = dict(zip(counts.grades, shipped(profile).unseen, strict=True))
    assert 0 < unseen["light"] < unseen["moderate"] < unseen["heavy"] < unseen["heavy-apart"] < 0.1
