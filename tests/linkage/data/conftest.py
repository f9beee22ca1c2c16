"""Vectors and small helpers for the tests of schemas, tables, normalisation and the generator."""

import json
from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2] / "vectors" / "linkage"


def load_vectors(name: str, allowed: set[str], required: set[str], expects: set[str]) -> list[dict]:
    """Cases of a vector file; unknown keys and expectations fail, so that no case is silently passed over."""
    cases = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    assert cases
    for i, case in enumerate(cases):
        assert required <= set(case) <= allowed, f"case {i} of {name}"
        assert case["expect"] in expects, f"case {i} of {name}"
    return cases


@pytest.fixture(scope="session")
def vectors():
    return load_vectors
