"""Statement, digest and commitment against vectors that were made without this code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trustcenter.messages import reidentification as wire
from trustcenter.registrar.reversal.reidentify import statement_hash

FILE = Path(__file__).parents[1] / "vectors" / "audit" / "reidentification.json"
WORDS = {
    "digest": {"salt", "pseudonyms", "digest"},
    "statement": {"fields", "text", "sha256"},
    "commitment": {"salt", "domain_uuid", "reidentification", "row_id", "pseudonym", "commitment"},
}


def cases() -> list[dict[str, Any]]:
    loaded = json.loads(FILE.read_text(encoding="utf-8"))
    assert loaded.keys() == {"description", "cases"}
    for case in loaded["cases"]:
        assert case.keys() == {"name", "kind", "expect"} | WORDS[case["kind"]], case["name"]
        assert case["expect"] in ("equal", "different")
    return list(loaded["cases"])


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['kind']}: {case['name']}")
def test_vectors(case: dict[str, Any]) -> None:
    if case["kind"] == "digest":
        same = wire.digest(bytes.fromhex(case["salt"]), case["pseudonyms"]) == case["digest"]
    elif case["kind"] == "statement":
        text = wire.Statement(**case["fields"]).text
        same = text == case["text"]
        assert (statement_hash(text) == case["sha256"]) == same
    else:
        made = wire.commitment(
            bytes.fromhex(case["salt"]),
            case["domain_uuid"],
            case["reidentification"],
            bytes.fromhex(case["row_id"]),
            case["pseudonym"],
        )
        same = made == case["commitment"]
    assert same == (case["expect"] == "equal")
