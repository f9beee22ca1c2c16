"""A large request is committed in parts: in order, each with its entry; a quota refuses it whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trustcenter.errors import QuotaExceededError
from trustcenter.registrar.pseudonyms import issue


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue, "PART", 50)


async def test_parts_make_one_answer_in_order(house: Any) -> None:
    originals = [f"p-{n}" for n in range(100)] + ["p-3", "bad\n"] + [f"p-{n}" for n in range(90, 120)]
    answer = await house.ask(house.north, "north", "r", *originals)
    assert answer.created == 120
    assert [(error.index, error.code) for error in answer.errors] == [(101, "invalid_original")]
    strings = dict(zip(originals, answer.pseudonyms, strict=True))
    assert [strings[original] for original in originals] == answer.pseudonyms
    assert len(set(answer.pseudonyms)) == 121  # and None
    assert [entry["count"] for entry in await house.issued()] == [50, 50, 20]
    again = await house.ask(house.north, "north", "r", *originals)
    assert (again.created, again.pseudonyms) == (0, answer.pseudonyms)


async def test_a_quota_that_does_not_suffice_refuses_the_whole_request(house: Any) -> None:
    with pytest.raises(QuotaExceededError):
        await house.ask(house.north, "north", "r", *[f"q-{n}" for n in range(house.quota + 1)])
    assert await house.issued() == []
    answer = await house.ask(house.north, "north", "r", *[f"q-{n}" for n in range(house.quota)])
    assert answer.created == house.quota


def test_after_a_rotation_in_between_no_string_of_the_old_version_is_kept() -> None:
    def part(version: int, text: str) -> issue.Issued:
        return issue.Issued(np.ones(1, np.uint64), np.ones((1, 5), np.uint8), 1, version, [text])

    same, mixed = issue._joined([part(1, "a"), part(1, "b")]), issue._joined([part(1, "a"), part(2, "b")])
    assert (same.version, same.created, same.strings) == (1, 2, ["a", "b"])
    assert (mixed.version, mixed.created, mixed.strings) == (2, 2, None)
    assert mixed.serials.shape == (2,)
    assert mixed.nonces.shape == (2, 5)
