"""What is noticed in a source is told in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trustcenter.cli import noticed

VECTORS = Path(__file__).parents[1] / "vectors"


def test_everything_that_normalisation_and_readers_notice_has_words() -> None:
    cases = json.loads((VECTORS / "linkage" / "normalise.json").read_text(encoding="utf-8"))
    exports = json.loads((VECTORS / "practice" / "xdt.json").read_text(encoding="utf-8"))
    found = {case["warning"] for case in cases if case.get("warning")}
    found |= {what.partition(":")[2] for case in exports["valid"] for what in case["warnings"]}
    assert len(found) > 10
    assert found <= noticed.WORDS.keys()


def test_counts_are_said_and_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    noticed.say(60, 2, {"surname:title_only": 1, "birth_date:two_digit_year": 3})
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "noticed birth_date (3): the year has two digits, so the date counts as missing",
        "noticed surname (1): a title and no name, so it counts as missing",
        "2 of 60 records with too few fields filled in (fewer than 3 live passes): can hardly be linked",
    ]
