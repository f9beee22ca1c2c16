"""Counts in sentences: one thing, and any other number of them."""

from __future__ import annotations

import pytest

from linkage.wording import counted


@pytest.mark.parametrize(
    ("number", "words", "told"),
    [
        (0, ("record",), "0 records"),
        (1, ("record",), "1 record"),
        (2000, ("entry",), "2,000 entries"),
        (2, ("batch",), "2 batches"),
        (1, ("value is", "values are"), "1 value is"),
        (3, ("value is", "values are"), "3 values are"),
    ],
)
def test_one_and_many(number: int, words: tuple[str, ...], told: str) -> None:
    assert counted(number, *words) == told
