"""Error rates that a run expects of itself, held against the truth of synthetic sources."""

import hashlib

import numpy as np
import pytest

from linkage import Secrets, Source, load_schema, prepare
from linkage.decide import Expected
from linkage.encode import encode
from linkage.match import match
from linkage.synth import SiteSpec, SynthConfig, generate


@pytest.fixture(scope="module")
def outcome():
    """(result, true person of each record) of two sources of unequal size, two fifths of the smaller in common."""
    schema = load_schema("de-person/1")
    sites = (SiteSpec("left", 3000, overlap=0.4), SiteSpec("right", 1500, overlap=0.4))
    made = generate(SynthConfig("rates/1", sites, catchment=15))
    sources = []
    for site, table in made.sites.items():
        secrets = Secrets(b"\x07" * 32, hashlib.sha256(site.encode()).digest(), "study", 1)
        one = encode(schema, prepare(schema, table.select(schema.columns)), table.ids, secrets)
        sources.append(Source(site, one.rows, one.record_numbers, one.refs))
    numbers = {}
    return match(sources, schema), np.array([numbers.setdefault(p, len(numbers)) for _, _, p in made.truth])


def test_every_pair_of_the_sources_is_in_one_class(outcome):
    result, _ = outcome
    (expected,) = result.expected
    assert sum(expected.pairs) == 3000 * 1500
    assert expected.pairs[0] == result.counts["matches"]
    assert expected.pairs[1] == result.counts["possible"]


def test_what_is_expected_is_about_what_is_true(outcome):
    """600 people are in common; expected counts are within a few of the true ones."""
    result, persons = outcome
    (expected,) = result.expected
    same = persons[result.pairs["a"]] == persons[result.pairs["b"]]
    true = [int(same[result.pairs["class"] == c].sum()) for c in (2, 1, 0)]
    true.append(600 - sum(true))
    assert sum(expected.same) == pytest.approx(600, abs=20)
    assert expected.same[0] == pytest.approx(true[0], abs=10)
    assert expected.same[1] == pytest.approx(true[1], abs=15)
    assert expected.same[2] + expected.same[3] == pytest.approx(true[2] + true[3], abs=8)
    assert 0 < expected.false_matches < 0.05
    assert 0 < expected.missed < 0.05
    assert 0 < expected.false_non_matches < 1e-5


def test_nothing_matched_nothing_wrong():
    none = Expected((0, 1), (0, 0, 0, 100), (0.0, 0.0, 0.0, 0.0))
    assert (none.false_matches, none.false_possible, none.missed, none.false_non_matches) == (0, 0, 0, 0)
