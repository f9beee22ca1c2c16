"""What a run is decided with: the parameters of the run before, and what the study settles."""

from dataclasses import replace

import numpy as np
import pytest

from linkage import load_schema
from linkage.decide import Counts, Parameters, other_names, parse_parameters, pooled, shareable, shipped
from trustcenter.registrar.linking.deciding import _basis, _parameters
from trustcenter.registrar.linking.pairs import Standing
from trustcenter.registrar.linking.reading import Setting

SCHEMA = "de-person/1"
SETTING = Setting(
    study="s",
    schema=SCHEMA,
    passes=15,
    bounds=(0.05, 0.95),
    careful=False,
    calibrations=(),
    sites=("north", "south"),
    domains=(1, 2),
    deduplicated=(True, True),
    verdicts=(),
    versions=(1,),
)


@pytest.fixture(scope="module")
def earlier():
    """What a run left: parameters of three sites, so that their cut is another one."""
    left = Parameters.of(shipped("hyb15"), (0.05, 0.95), 3)
    return left, Standing("", left.canonical(), "", 1000)


def test_the_first_run_takes_what_ships_and_what_the_study_settles():
    assert _parameters(SETTING, None, anew=False) == Parameters.of(shipped("hyb15"), (0.05, 0.95), 2)
    careful = _parameters(replace(SETTING, careful=True), None, anew=False)
    assert careful.left == other_names(load_schema(SCHEMA))


def test_tables_of_sites_are_pooled_at_the_first_estimate_and_at_the_next_one(earlier):
    counts = shareable(Counts.of(np.full((2, 3, 15, 12), 40), ("own",), ("own",), (50,), "hyb15", {}))
    calibrated = replace(SETTING, calibrations=(counts.encode(),))
    first = _parameters(calibrated, None, anew=False)
    assert "own" in first.grades
    assert first.tables().sha256 == pooled("hyb15", 15, [counts]).sha256
    left, standing = earlier
    assert _parameters(calibrated, standing, anew=False) == left, "what comes later waits"
    assert _parameters(calibrated, standing, anew=True) == first


def test_later_runs_keep_what_was_frozen_and_follow_the_study(earlier):
    left, standing = earlier
    assert _parameters(SETTING, standing, anew=False) == left
    careful = _parameters(replace(SETTING, careful=True, bounds=(0.1, 0.9)), standing, anew=False)
    assert (careful.cut, careful.bounds) == (0.8, (0.1, 0.9))
    assert careful.left == other_names(load_schema(SCHEMA))
    assert parse_parameters(careful.canonical()) == careful
    back = _parameters(SETTING, Standing("", careful.canonical(), "", 1000), anew=False)
    assert back == left
    assert _parameters(SETTING, standing, anew=True).cut == 0.5, "estimated anew: the sites there are now"


def test_the_cut_of_two_sites_goes_when_a_third_joins():
    """Everything is decided anew then: sites are in the basis of a run."""
    two = _parameters(SETTING, None, anew=False)
    standing = Standing("", two.canonical(), "", 1000)
    three = replace(SETTING, sites=("north", "south", "west"), domains=(1, 2, 3), deduplicated=(True,) * 3)
    assert _parameters(three, standing, anew=False).cut == 0.8
    assert _parameters(SETTING, standing, anew=False).cut == 0.5
    assert _basis(three, "hash") != _basis(SETTING, "hash")


def test_what_the_study_settles_is_in_the_basis_of_a_run():
    """Otherwise only what a window touches would follow it."""
    settings = [
        SETTING,
        replace(SETTING, careful=True),
        replace(SETTING, bounds=(0.1, 0.95)),
        replace(SETTING, deduplicated=(True, False)),
    ]
    assert len({_basis(s, "hash") for s in settings}) == len(settings)
