"""Check characters of the suite "drawn": published examples, what they find, and a second computation of each."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.computed import reedsolomon
from keys.drawn import checks, codes, fields, groups

FILE = Path(__file__).parents[1] / "vectors" / "keys" / "drawn-checks.json"
SIZES = range(2, 36)
FIELDS = [q for q in SIZES if fields.is_field_order(q)]


def _combinations():
    found = []
    for name in checks.CHECKS[1:]:
        for size in SIZES:
            if checks.refusal(name, size, 1) is None:
                longest = size - 3 if name == "reed-solomon" else 12
                found.append(pytest.param(name, size, longest, id=f"{name}-{size}"))
    return found


def _word(name, size, information):
    """The whole code word, a list of symbols."""
    block = np.array([information], np.uint8)
    return [*information, *checks.check(name, size, len(information)).compute(block)[0].tolist()]


def _valid(name, size, length, words):
    words = np.array(words, np.uint8)
    found = checks.check(name, size, length).compute(words[:, :length])
    return (found == words[:, length:]).all(axis=1)


@pytest.mark.parametrize(("digits", "check"), [("572", 4), ("11294", 6), ("0", 0), ("", 0)])
def test_published_examples_of_damm(digits, check):
    assert _word("damm", 10, [int(d) for d in digits])[-1] == check


@pytest.mark.parametrize(("digits", "check"), [("236", 3), ("12345", 1), ("142857", 0), ("123456789012", 0)])
def test_published_examples_of_verhoeff(digits, check):
    assert _word("verhoeff", 10, [int(d) for d in digits])[-1] == check


@pytest.mark.parametrize(("name", "size", "longest"), _combinations())
def test_every_single_wrong_character_is_found(name, size, longest):
    generator = np.random.Generator(np.random.Philox(size))
    for length in sorted({1, min(2, longest), longest // 2 or 1, longest}):
        for _ in range(5):
            word = _word(name, size, generator.integers(0, size, length).tolist())
            wrong = [
                [*word[:i], other, *word[i + 1 :]]
                for i in range(len(word))
                for other in range(size)
                if other != word[i]
            ]
            assert not _valid(name, size, length, wrong).any()
            assert _valid(name, size, length, [word]).all()


@pytest.mark.parametrize(("name", "size", "longest"), _combinations())
def test_every_swap_of_neighbours_is_found(name, size, longest):
    generator = np.random.Generator(np.random.Philox(size))
    for _ in range(30):
        word = _word(name, size, generator.integers(0, size, longest).tolist())
        swapped = [
            [*word[:i], word[i + 1], word[i], *word[i + 2 :]] for i in range(len(word) - 1) if word[i] != word[i + 1]
        ]
        assert not swapped or not _valid(name, size, longest, swapped).any()


@pytest.mark.parametrize("name", ["hamming", "reed-solomon"])
@pytest.mark.parametrize("size", [4, 5, 7, 8, 9, 11])
def test_codes_of_distance_three_find_every_pair_of_wrong_characters(name, size):
    length = 1 if size == 4 else 2
    words = [_word(name, size, list(info)) for info in itertools.product(range(size), repeat=length)]
    table = np.array(words, np.uint8)
    for word in table:
        distances = (table != word).sum(axis=1)
        assert sorted(distances)[1] >= 3


@pytest.mark.parametrize(("name", "size"), [("hamming", 32), ("reed-solomon", 32), ("hamming", 16), ("hamming", 2)])
def test_no_random_pair_of_wrong_characters_passes_a_long_code(name, size):
    length = {"hamming": 40, "reed-solomon": 28}[name]
    generator = np.random.Generator(np.random.Philox(1))
    word = np.array(_word(name, size, generator.integers(0, size, length).tolist()), np.uint8)
    pairs = list(itertools.combinations(range(len(word)), 2))
    wrong = np.repeat(word[None, :], len(pairs), axis=0)
    for row, places in enumerate(pairs):
        for place in places:
            wrong[row, place] = (wrong[row, place] + generator.integers(1, size)) % size
    assert not _valid(name, size, length, wrong).any()


@pytest.mark.parametrize("size", SIZES)
def test_damm_and_verhoeff_share_the_sizes_between_them(size):
    damm, verhoeff = groups.damm_refusal(size), groups.verhoeff_refusal(size)
    if size == 2:
        assert damm is not None
        assert verhoeff is not None
    elif size == 10:
        assert damm is None
        assert verhoeff is None
    else:
        assert (damm is None) != (verhoeff is None)


@pytest.mark.parametrize("size", [n for n in range(3, 65) if groups.damm_refusal(n) is None])
def test_every_damm_table_is_an_anti_symmetric_quasigroup(size):
    table = groups.damm_table(size)
    everything = list(range(size))
    assert not np.diag(table).any()
    assert all(sorted(row) == everything for row in table)
    assert all(sorted(column) == everything for column in table.T)
    for state in everything:
        after = table[table[state]]
        assert (after == after.T).sum() == size, "two symbols may be swapped unseen"


@pytest.mark.parametrize("size", range(6, 65, 4))
def test_every_verhoeff_permutation_is_anti_symmetric_in_its_group(size):
    table, permutation = groups.dihedral_table(size), groups.verhoeff_permutation(size)
    assert sorted(permutation) == list(range(size))
    for x, y, z in itertools.islice(itertools.product(range(size), repeat=3), 4000):
        assert table[table[x, y], z] == table[x, table[y, z]]
    after = table[np.arange(size)[:, None], permutation[None, :]]
    assert (after == after.T).sum() == size


@pytest.mark.parametrize("order", [2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 19, 23, 25, 27, 29, 31, 32, 49, 64])
def test_fields_are_fields(order):
    f = fields.field(order)
    n = np.arange(order)
    assert (f.add[0] == n).all()
    assert (f.multiply[1] == n).all()
    assert not f.multiply[0].any()
    assert not f.add[n, f.negative].any()
    for table in (f.add, f.multiply):
        assert (table == table.T).all()
        assert (table[table] == table[:, table]).all(), "associative"
    assert all(sorted(row) == n.tolist() for row in f.add)
    assert all(sorted(row) == n.tolist() for row in f.multiply[1:])
    left = f.multiply[:, f.add]
    right = f.add[f.multiply[:, :, None], f.multiply[:, None, :]]
    assert (left == right).all()
    assert sorted(f.powers) == list(range(1, order))


@given(st.lists(st.integers(0, 31), min_size=26, max_size=26))
def test_reed_solomon_agrees_with_the_computed_suite(information):
    assert _word("reed-solomon", 32, information)[-2:] == list(reedsolomon.check_symbols(information))


@given(st.sampled_from([5, 7, 11, 13, 17, 19, 23, 29, 31]), st.data())
def test_reed_solomon_over_a_prime_vanishes_where_it_should(prime, data):
    information = data.draw(st.lists(st.integers(0, prime - 1), min_size=1, max_size=prime - 3))
    word = _word("reed-solomon", prime, information)
    a = next(g for g in range(1, prime) if len({pow(g, e, prime) for e in range(prime - 1)}) == prime - 1)
    for root in (a, a * a):
        assert sum(s * pow(root, e, prime) for e, s in enumerate(reversed(word))) % prime == 0


@given(st.sampled_from([2, 3, 5, 7, 11, 13, 31]), st.data())
def test_hamming_over_a_prime_has_the_syndrome_zero(prime, data):
    information = data.draw(st.lists(st.integers(0, prime - 1), min_size=1, max_size=57))
    word = _word("hamming", prime, information)
    rows = len(word) - len(information)
    assert (prime**rows - 1) // (prime - 1) >= len(word)
    assert rows <= 2 or (prime ** (rows - 1) - 1) // (prime - 1) < len(word) - 1, "one check symbol would be spare"
    weighty = (
        v
        for v in itertools.product(range(prime), repeat=rows)
        if sum(map(bool, v)) > 1 and next(x for x in v if x) == 1
    )
    unit = [tuple(int(i == j) for j in range(rows)) for i in range(rows)]
    columns = [*itertools.islice(weighty, len(information)), *unit]
    for row in range(rows):
        assert sum(s * column[row] for s, column in zip(word, columns, strict=True)) % prime == 0


@pytest.mark.parametrize(
    ("name", "size", "length"),
    [
        ("damm", 2, 5),
        ("damm", 14, 5),
        ("damm", 26, 5),
        ("verhoeff", 2, 5),
        ("verhoeff", 9, 5),
        ("verhoeff", 16, 5),
        ("verhoeff", 32, 5),
        ("hamming", 10, 5),
        ("hamming", 12, 5),
        ("reed-solomon", 10, 5),
        ("reed-solomon", 2, 1),
        ("reed-solomon", 3, 1),
        ("reed-solomon", 4, 2),
        ("reed-solomon", 16, 14),
        ("reed-solomon", 32, 30),
    ],
)
def test_what_an_algorithm_cannot_do_is_refused_with_a_way_out(name, size, length):
    message, hint = checks.refusal(name, size, length)
    assert message.lower().startswith(name)
    assert hint


@pytest.mark.parametrize(("name", "size", "length"), [("reed-solomon", 16, 13), ("reed-solomon", 32, 29)])
def test_the_longest_reed_solomon_word_is_taken(name, size, length):
    assert checks.refusal(name, size, length) is None
    assert codes.reed_solomon(size, length).symbols == 2


@pytest.mark.parametrize(
    ("size", "length", "symbols"), [(2, 1, 2), (2, 4, 3), (2, 11, 4), (2, 26, 5), (2, 57, 6), (16, 15, 2), (16, 16, 3)]
)
def test_hamming_needs_no_more_check_symbols_than_the_bound(size, length, symbols):
    assert codes.hamming(size, length).symbols == symbols


@pytest.mark.parametrize("size", FIELDS)
def test_the_longest_hamming_word_of_64_characters_is_exact(size):
    """The sums of a word stand side by side in 64 bits: they must not run over, whatever the symbols."""
    length = max(n for n in range(1, 64) if n + codes.hamming_symbols(size, n) <= 64)
    code = codes.hamming(size, length)
    f = fields.field(size)
    generator = np.random.Generator(np.random.Philox(size))
    rows = [np.full(length, size - 1), np.zeros(length, int), *generator.integers(0, size, (30, length))]
    for row in rows:
        expected = np.zeros(code.symbols, np.uint8)
        for symbol, shares in zip(row, code.shares, strict=True):
            expected = f.add[expected, f.multiply[symbol, shares]]
        assert code.compute(row.astype(np.uint8).reshape(1, -1))[0].tolist() == expected.tolist()
        assert checks.symbols("hamming", size, length) == code.symbols


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    for case in document["cases"]:
        assert set(case) == {"name", "expect", "check", "size", "information", "symbols"}
        assert case["expect"] in {"symbols", "refused"}
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_check_symbols(case):
    refused = checks.refusal(case["check"], case["size"], len(case["information"]))
    assert (refused is not None) == (case["expect"] == "refused")
    if refused is None:
        length = len(case["information"])
        assert _word(case["check"], case["size"], case["information"])[length:] == case["symbols"]
