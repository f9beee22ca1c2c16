"""A study that starts with two hospitals and gets practices later: what is frozen, and what it comes to."""

from __future__ import annotations

import numpy as np
import pytest

from linkage import Source, load_schema, prepare
from linkage.encode import encode
from linkage.match import match
from linkage.synth import SiteSpec, SynthConfig, generate

PRACTICES = ("p1", "p2", "p3")


@pytest.fixture(scope="module")
def sources(secrets):
    """Two hospitals with much in common, and practices that have a third of their patients from there."""
    schema = load_schema("de-person/1")
    sites = (SiteSpec("h1", 900), SiteSpec("h2", 900), *(SiteSpec(p, 250, "practice", overlap=0.3) for p in PRACTICES))
    made = generate(SynthConfig("joining/1", sites, overlap=0.35, catchment=15))
    found = []
    for site, table in made.sites.items():
        one = encode(schema, prepare(schema, table.select(schema.columns)), table.ids, secrets(site))
        found.append(Source(site, one.rows, one.record_numbers, one.refs))
    return schema, found


def test_practices_that_join_one_by_one_are_decided_as_in_a_run_over_all(sources):
    """The weights of two sources are estimated when both are there, from all of their records; the cut follows."""
    schema, every = sources
    bulk = match(every, schema)
    run = match(every[:2], schema)
    assert run.parameters.cut == 0.5
    hospitals = run.parameters.weights[0]
    assert hospitals.frozen
    for known in range(3, 6):
        run = match(every[:known], schema, parameters=run.parameters)
        assert run.parameters.cut == 0.8
    assert run.parameters.weights[0] == hospitals, "what was frozen stays"
    assert (run.labels == bulk.labels).all()
    assert len(set(run.labels.tolist())) < len(run.labels) - 400
    # Under the cut of two the persons would be others.
    with_cut = match(every, schema, cut=0.5)
    assert not np.array_equal(with_cut.labels, bulk.labels)


def test_what_was_frozen_decides_the_two_sites_alone_as_before(sources):
    schema, every = sources
    first = match(every[:2], schema)
    again = match(every[:2], schema, parameters=first.parameters)
    assert again.parameters == first.parameters
    assert (again.labels == first.labels).all()
