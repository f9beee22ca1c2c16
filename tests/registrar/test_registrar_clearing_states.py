"""The states of a clearing task, as a table."""

from __future__ import annotations

import pytest

from trustcenter.registrar.doubts.clearing_states import state_of

CASES = [
    ("single", "", "open", None),
    ("single", "s", "decided", "same"),
    ("single", "d", "decided", "different"),
    ("double", "", "open", None),
    ("double", "s", "second", None),
    ("double", "d", "second", None),
    ("double", "ss", "decided", "same"),
    ("double", "dd", "decided", "different"),
    ("double", "sd", "disagreement", None),
    ("double", "ds", "disagreement", None),
    ("double", "sds", "decided", "same"),
    ("double", "sdd", "decided", "different"),
    ("double", "dss", "decided", "same"),
]
WORDS = {"s": "same", "d": "different"}


@pytest.mark.parametrize(("mode", "answers", "state", "verdict"), CASES)
def test_state_of(mode: str, answers: str, state: str, verdict: str | None) -> None:
    assert state_of(mode, [WORDS[letter] for letter in answers]) == (state, verdict)
