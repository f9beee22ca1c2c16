"""Formats of the suite "drawn": what is taken, what is refused and by which field."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import drawn
from keys.drawn import Format, InvalidFormatError

FILE = Path(__file__).parents[1] / "vectors" / "keys" / "drawn-formats.json"


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    for case in document["cases"]:
        assert set(case) == {"name", "expect", "format", "where", "total_length", "capacity"}
        assert case["expect"] in {"accepted", "refused"}
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_formats(case):
    if case["expect"] == "refused":
        with pytest.raises(InvalidFormatError) as caught:
            Format.parse(case["format"])
        assert caught.value.where == case["where"]
        assert caught.value.code == "invalid_pseudonym_format"
        return
    fmt = Format.parse(case["format"])
    assert fmt.total_length == case["total_length"]
    assert drawn.capacity(fmt) == int(case["capacity"])
    assert Format.parse(fmt.to_json()) == fmt
    assert {len(s) for s in drawn.draw(fmt, 3)} == {fmt.total_length}


def test_named_alphabets_have_the_sizes_their_names_say():
    sizes = {name: len(characters) for name, characters in drawn.ALPHABETS.items()}
    assert sizes == {
        "hex": 16,
        "numbers": 10,
        "numbers-without-zero": 9,
        "numbers-x": 11,
        "symbol31": 31,
        "symbol32": 32,
    }
    assert all(len(set(characters)) == len(characters) for characters in drawn.ALPHABETS.values())
    assert set(drawn.ALPHABETS["symbol32"]) - set(drawn.ALPHABETS["symbol31"]) == {"V"}


@pytest.mark.parametrize(
    ("gpas", "ours"),
    [
        ("Hex", "hex"),
        ("Numbers", "numbers"),
        ("NumbersWithoutZero", "numbers-without-zero"),
        ("NumbersX", "numbers-x"),
        ("Symbol31", "symbol31"),
        ("Symbol32", "symbol32"),
    ],
)
def test_the_spelling_of_gpas_is_taken_and_replaced(gpas, ours):
    assert Format("", gpas, 8, "none") == Format("", ours, 8, "none")
    assert Format("", gpas, 8, "none").to_json()["alphabet"] == ours


@pytest.mark.parametrize("name", ["HEX", "Symbol_32", "symbol-31", "numbersx", "Numbers-X", "numberswithoutzero"])
def test_a_misspelt_name_is_not_taken_for_a_list_of_characters(name):
    with pytest.raises(InvalidFormatError) as caught:
        Format("", name, 8, "none")
    assert caught.value.where == "alphabet"


@pytest.mark.parametrize("character", list("()\\/:*?\"<>|;% \t\n\r\0\x1b\x7f,'&#+=@$!~^`[]{}äßАⅨ０"))
def test_characters_that_are_rewritten_on_the_way_are_refused(character):
    for fields, where in [
        ({"alphabet": "ACDE" + character}, "alphabet"),
        ({"prefix": "P" + character}, "prefix"),
        ({"prefix": character}, "prefix"),
    ]:
        with pytest.raises(InvalidFormatError) as caught:
            Format.parse({"alphabet": "hex", "length": 8, **fields})
        assert caught.value.where == where
        assert repr(character) not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "A", "psn_", "P-1.2-", "9", "z" * 56])
def test_prefixes_that_are_taken(prefix):
    assert Format(prefix, "hex", 8, "none").total_length == len(prefix) + 8


@pytest.mark.parametrize("prefix", ["-", "-A", ".", "..", "_x", "z" * 57])
def test_prefixes_that_begin_wrong_or_are_too_long(prefix):
    with pytest.raises(InvalidFormatError):
        Format(prefix, "hex", 8, "none")


@pytest.mark.parametrize("size", range(2, 36))
def test_every_length_of_every_check_is_usable_or_refused(size):
    alphabet = "01i23456789ABCDEFGHJKLMNPQRSTUVWXYZ"[:size]
    for check in drawn.CHECKS:
        usable = 0
        for length in range(1, 66):
            try:
                fmt = Format("", alphabet, length, check)
            except InvalidFormatError as refused:
                last = refused.where
            else:
                usable += 1
                if length in {1, 17, 57, 62, 63, 64}:
                    strings = drawn.draw(fmt, 3)
                    assert {len(s) for s in strings} == {fmt.total_length}
                    assert not drawn.statuses(fmt, strings).any()
        assert last in {"length", "check"}
        assert usable or check != "none"


def test_a_format_does_not_change():
    fmt = Format("", "hex", 8, "none")
    with pytest.raises(dataclasses.FrozenInstanceError):
        fmt.length = 9
    assert hash(fmt) == hash(Format("", "hex", 8, "none"))
    with pytest.raises(InvalidFormatError):
        dataclasses.replace(fmt, check="damm", alphabet="ACDEFGHJKLMNPQ")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), lambda s: st.lists(s, max_size=3)
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prefix": _JSON | st.just("P"),
            "alphabet": _JSON | st.sampled_from(sorted(drawn.ALPHABETS)),
            "length": _JSON | st.integers(1, 70),
            "check": _JSON | st.sampled_from(["none", "damm", "verhoeff", "hamming", "reed-solomon"]),
            "colour": _JSON,
        },
    )
    | _JSON
)
def test_any_json_is_a_usable_format_or_refused(document):
    where = ""
    try:
        fmt = Format.parse(document)
    except InvalidFormatError as refused:
        where = refused.where
    if where:
        assert where in {"format", "prefix", "alphabet", "length", "check"}
    else:
        string = drawn.draw(fmt, 1)[0]
        drawn.validate(fmt, string)
        assert len(string) == fmt.total_length <= drawn.MAX_TOTAL_LENGTH
