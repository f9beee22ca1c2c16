"""Text form of pseudonyms: strict reading, every single and double error, "did you mean"."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import computed
from keys.computed import ALPHABET
from keys.errors import InvalidPseudonymError, MalformedPseudonymError, WrongCheckCharactersError

GOOD = "7DKLPHW5FV25H6RLDXVRM8Z6P7M4"
FILE = Path(__file__).parents[1] / "vectors" / "keys" / "pseudonym-text.json"
ERRORS = {"malformed": MalformedPseudonymError, "wrong check": WrongCheckCharactersError}


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    for case in document["cases"]:
        assert set(case) == {"name", "expect", "text", "block", "suggest"}
        assert case["expect"] in {"ok", *ERRORS}
    assert {case["expect"] for case in document["cases"]} == {"ok", *ERRORS}
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_the_text_form(case):
    assert computed.suggest(case["text"]) == case["suggest"]
    parsed = computed.parse([case["text"]])
    if case["expect"] == "ok":
        computed.check(case["text"])
        assert parsed.status.tolist() == [computed.OK]
        assert parsed.blocks.tobytes().hex() == case["block"]
        assert computed.format_blocks(parsed.blocks) == [case["text"]]
    else:
        with pytest.raises(ERRORS[case["expect"]]) as caught:
            computed.check(case["text"])
        assert caught.value.code == {"malformed": "malformed_pseudonym"}.get(case["expect"], "wrong_check_characters")
        assert case["block"] is None
        assert not parsed.blocks.any()


def _substituted(word: str, places: tuple[int, ...]) -> list[str]:
    """Every word that differs from `word` in exactly these places."""
    wrong = [[c for c in ALPHABET if c != word[place]] for place in places]
    result = []
    for characters in itertools.product(*wrong):
        changed = list(word)
        for place, character in zip(places, characters, strict=True):
            changed[place] = character
        result.append("".join(changed))
    return result


def test_all_single_and_double_errors_of_one_word_are_found():
    singles = [w for place in range(28) for w in _substituted(GOOD, (place,))]
    doubles = [w for places in itertools.combinations(range(28), 2) for w in _substituted(GOOD, places)]
    assert (len(singles), len(doubles)) == (868, 363_258)
    assert not (computed.parse(singles).status == computed.OK).any()
    assert not (computed.parse(doubles).status == computed.OK).any()


def test_all_swaps_of_two_different_characters_are_found():
    swaps = []
    for i, j in itertools.combinations(range(28), 2):
        changed = list(GOOD)
        changed[i], changed[j] = changed[j], changed[i]
        if changed != list(GOOD):
            swaps.append("".join(changed))
    assert not (computed.parse(swaps).status == computed.OK).any()


def test_every_single_error_is_suggested_back_and_nothing_else():
    for place in range(28):
        for word in _substituted(GOOD, (place,)):
            assert computed.suggest(word) == [GOOD]
        for foreign in "oOIBSx é\n":
            assert computed.suggest(GOOD[:place] + foreign + GOOD[place + 1 :]) == [GOOD]
    assert computed.suggest(GOOD) == []
    assert computed.suggest(GOOD.lower()) == []
    assert computed.suggest(GOOD[:-1]) == []


@given(st.one_of(st.text(max_size=40), st.text(ALPHABET, min_size=28, max_size=28)))
def test_a_suggestion_is_valid_and_differs_in_one_place(text):
    for suggestion in computed.suggest(text):
        computed.check(suggestion)
        assert sum(a != b for a, b in zip(text, suggestion, strict=True)) == 1


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=40))
def test_every_block_comes_back_from_its_text(blocks):
    array = np.frombuffer(b"".join(blocks), np.uint8).reshape(-1, 16)
    texts = computed.format_blocks(array)
    assert all(len(t) == 28 and set(t) <= set(ALPHABET) and t[0] in ALPHABET[:8] for t in texts)
    parsed = computed.parse(texts)
    assert np.array_equal(parsed.blocks, array)
    assert not parsed.status.any()


@given(st.lists(st.one_of(st.text(max_size=30), st.text(ALPHABET, min_size=28, max_size=28), st.just(GOOD))))
def test_a_batch_reads_each_item_as_if_it_were_alone(texts):
    parsed = computed.parse(texts)
    assert len(parsed.status) == len(parsed.blocks) == len(texts)
    for text, status, block in zip(texts, parsed.status, parsed.blocks, strict=True):
        alone = computed.parse([text])
        assert alone.status[0] == status
        assert np.array_equal(alone.blocks[0], block)
        if text != GOOD and status == computed.OK:
            assert computed.format_blocks(block.reshape(1, 16)) == [text]


def test_lengths_that_add_up_do_not_hide_a_shifted_batch():
    assert computed.parse([GOOD[:-1], GOOD + GOOD[-1]]).status.tolist() == [computed.MALFORMED] * 2


def test_errors_never_repeat_the_text():
    for text in (GOOD.lower(), GOOD[:-1] + "5", GOOD + "\n"):
        with pytest.raises(InvalidPseudonymError) as caught:
            computed.check(text)
        for shown in (str(caught.value), caught.value.hint, caught.value.where):
            assert text.strip() not in shown
