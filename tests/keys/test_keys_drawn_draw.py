"""Suite "drawn": drawing and reading whole pseudonyms."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import drawn
from keys.drawn import drawing
from keys.drawn.drawing import draw_symbols
from keys.errors import InvalidBatchError, MalformedPseudonymError, WrongCheckCharactersError

FILE = Path(__file__).parents[1] / "vectors" / "keys" / "drawn-texts.json"

FORMATS = [
    drawn.Format("", "numbers", 8, "none"),
    drawn.Format("", "numbers", 8, "damm"),
    drawn.Format("PSN-", "numbers", 9, "verhoeff"),
    drawn.Format("", "numbers-without-zero", 9, "damm"),
    drawn.Format("", "numbers-x", 8, "reed-solomon"),
    drawn.Format("dic_", "symbol32", 16, "reed-solomon"),
    drawn.Format("", "symbol31", 28, "reed-solomon"),
    drawn.Format("", "symbol32", 57, "hamming"),
    drawn.Format("x", "hex", 30, "hamming"),
    drawn.Format("", "ACDEFGHJKLMNPQRTUVWXY4", 7, "verhoeff"),
    drawn.Format("", "01", 40, "hamming"),
]


@pytest.fixture
def seeded(monkeypatch):
    """The same random bytes in every run: what is asserted of many draws must not fail by chance, however seldom."""
    source = np.random.Generator(np.random.Philox(20261128))
    monkeypatch.setattr(drawing.os, "urandom", source.bytes)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_what_is_drawn_is_valid_and_spread(fmt, seeded):
    strings = drawn.draw(fmt, 2000)
    assert len(strings) == 2000
    assert {len(s) for s in strings} == {fmt.total_length}
    assert all(s.startswith(fmt.prefix) for s in strings)
    assert not drawn.statuses(fmt, strings).any()
    for string in strings[:20]:
        drawn.validate(fmt, string)
    if drawn.capacity(fmt) > 10**12:
        assert len(set(strings)) == 2000


def test_nothing_drawn_is_an_empty_batch():
    assert drawn.draw(FORMATS[1], 0) == []
    assert drawn.statuses(FORMATS[1], []).shape == (0,)


@pytest.mark.parametrize("count", [-1, drawn.MAX_BATCH + 1])
def test_batches_are_bounded(count):
    with pytest.raises(InvalidBatchError):
        drawn.draw(FORMATS[0], count)


@pytest.mark.parametrize("size", [2, 7, 9, 10, 11, 16, 31, 32, 34])
def test_symbols_are_uniform_at_every_size(size, seeded):
    n = 200_000
    counts = np.bincount(draw_symbols(size, n), minlength=size)
    assert len(counts) == size
    chi2 = float(((counts - n / size) ** 2 / (n / size)).sum())
    # Mean size - 1, variance 2 (size - 1): within eight deviations. Bytes modulo 34 without rejection would give
    # about 1,700.
    assert chi2 < (size - 1) + 8 * (2 * (size - 1)) ** 0.5


@pytest.mark.parametrize("size", [2, 9, 10, 31, 32, 34])
def test_no_byte_favours_a_symbol(size, monkeypatch):
    """With every byte given equally often, the symbols come out equally often to the last one."""
    rounds = iter([np.repeat(np.arange(256, dtype=np.uint8), 40).tobytes()] + [b"\xff" * 20_000] * 3)
    asked = []

    def every_byte(count):
        asked.append(count)
        return next(rounds)

    monkeypatch.setattr(drawing.os, "urandom", every_byte)
    accepted = 256 // size * 40 * size
    counts = np.bincount(draw_symbols(size, accepted), minlength=size)
    assert counts.tolist() == [256 // size * 40] * size
    assert len(asked) == 1


def test_bytes_above_the_limit_are_drawn_again(monkeypatch):
    rounds = iter([bytes([255, 250, 7, 249]), bytes([251, 252]), bytes([20])])
    monkeypatch.setattr(drawing.os, "urandom", lambda count: next(rounds))
    assert draw_symbols(10, 3).tolist() == [7, 9, 0]


def test_every_string_of_a_small_format_comes_out(seeded):
    fmt = drawn.Format("", "numbers", 2, "damm")
    counts = Counter(drawn.draw(fmt, 20_000))
    assert len(counts) == drawn.capacity(fmt) == 100
    assert min(counts.values()) > 100


@given(st.lists(st.text(max_size=20), max_size=8))
def test_texts_of_any_content_are_marked_not_raised(texts):
    fmt = drawn.Format("P-", "numbers", 6, "damm")
    good = drawn.draw(fmt, 1)[0]
    statuses = drawn.statuses(fmt, [*texts, good])
    assert statuses[-1] == drawn.OK
    assert len(statuses) == len(texts) + 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P-57",
        "P-57244",
        "p-5724",
        "P_5724",
        "P-572 ",
        " P-572",
        "P-57२4",
        "P-572X",
        "57245724",
        "P-572\n",
        "P-572\0",
    ],
)
def test_texts_of_another_form_are_malformed(text):
    fmt = drawn.Format("P-", "numbers", 3, "damm")
    drawn.validate(fmt, "P-5724")
    with pytest.raises(MalformedPseudonymError) as caught:
        drawn.validate(fmt, text)
    assert text == "" or text not in caught.value.message + caught.value.hint


def test_a_wrong_check_character_is_told_apart():
    fmt = drawn.Format("P-", "numbers", 3, "damm")
    for check in "012356789":
        with pytest.raises(WrongCheckCharactersError) as caught:
            drawn.validate(fmt, "P-572" + check)
        assert "572" not in str(caught.value)
    assert drawn.statuses(fmt, ["P-5724", "P-5725", "P-572X", "P-57"]).tolist() == [0, 2, 1, 1]


def test_case_is_not_folded():
    with pytest.raises(MalformedPseudonymError):
        drawn.validate(drawn.Format("", "hex", 4, "none"), "abcd")


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    for case in document["cases"]:
        assert set(case) == {"name", "expect", "format", "text"}
        assert case["expect"] in {"ok", "malformed", "wrong check"}
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_texts(case):
    fmt = drawn.Format.parse(case["format"])
    expected = {"ok": drawn.OK, "malformed": drawn.MALFORMED, "wrong check": drawn.WRONG_CHECK}[case["expect"]]
    assert drawn.statuses(fmt, [case["text"]]).tolist() == [expected]
    if case["expect"] == "ok":
        information = case["text"][len(fmt.prefix) :][: fmt.length]
        symbols = np.array([[fmt.characters.index(c) for c in information]], np.uint8)
        assert drawing.write(fmt, symbols) == [case["text"]]
