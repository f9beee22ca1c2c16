"""The registrar's half: pairs of records, densities, weights, decision."""

from __future__ import annotations

from linkage.decide.aggregate import Pairs, add_up, aggregate, resolve
from linkage.decide.careful import hold_back, one_name_differs, other_names
from linkage.decide.decision import CUT, Class, Decision, Limits, Weights, cut_for, decide
from linkage.decide.densities import Counts, Densities, parse, shipped, smooth
from linkage.decide.onetoone import tie_ranks
from linkage.decide.parameters import Parameters, decide_with, parse_parameters
from linkage.decide.rates import Expected, expected_rates
from linkage.decide.refs import RefIndex
from linkage.decide.sharing import pooled, require_shareable, shareable

__all__ = [
    "CUT",
    "Class",
    "Counts",
    "Decision",
    "Densities",
    "Expected",
    "Limits",
    "Pairs",
    "Parameters",
    "RefIndex",
    "Weights",
    "add_up",
    "aggregate",
    "cut_for",
    "decide",
    "decide_with",
    "expected_rates",
    "hold_back",
    "one_name_differs",
    "other_names",
    "parse",
    "parse_parameters",
    "pooled",
    "require_shareable",
    "resolve",
    "shareable",
    "shipped",
    "smooth",
    "tie_ranks",
]
