"""Letters: what the spec's vectors say of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from letter_support import FILE, made

from trustcenter.audit import letter
from trustcenter.errors import VerificationError

VECTORS = json.loads(FILE.read_text(encoding="utf-8"))


def outcome(case: dict[str, Any]) -> str:
    said = letter.read(json.dumps(case["letter"]))
    if said is None:
        return "unsigned"
    about = letter.Sealed(case["kind"], case["study"], case["name"], case["sha256"])
    try:
        letter.verify(said, [case["fingerprint"]], about)
    except VerificationError as error:
        return error.code
    return "verified"


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["case"])
def test_vectors_of_letters(case: dict[str, Any]) -> None:
    assert outcome(case) == case["expect"]


def test_the_vectors_are_what_the_program_writes() -> None:
    assert made() == VECTORS
    case = VECTORS["cases"][0]
    about = letter.Sealed(case["kind"], case["study"], case["name"], case["sha256"])
    origin = case["letter"]["vkey"].split("+")[0]
    assert about.statement(origin, case["letter"]["recipient"]).decode() == VECTORS["statement"]
