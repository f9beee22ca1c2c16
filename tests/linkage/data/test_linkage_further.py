"""Further values: the vectors, and that they leave the record itself alone."""

from hypothesis import given
from hypothesis import strategies as st

from linkage.normalise import prepare
from linkage.schema import load
from linkage.tables import FURTHER

DE, FEBRL = load("de-person/1"), load("febrl/1")
FIELDS = [f.name for f in DE.fields]


def prepared(record, schema=DE):
    return prepare(schema, {f: [record.get(f, "")] for f in (*FIELDS, *FURTHER)}, further=True)


def test_vectors(vectors):
    cases = vectors(
        "normalise-further.json",
        allowed={"record", "expect", "surname", "given_name", "address"},
        required={"record", "expect"},
        expects={"further", "none"},
    )
    for case in cases:
        found = {f.group: f for f in prepared(case["record"]).further}
        lists = {
            "surname": found["surname"].values["surname"],
            "given_name": found["given_name"].values["given_name"],
            "address": [list(row) for row in zip(*found["address"].values.values(), strict=True)],
        }
        assert (case["expect"] == "further") == any(lists.values()), case
        for group, values in lists.items():
            assert values == case.get(group, []), case
            assert found[group].record == [0] * len(values)


def test_components_are_those_of_the_further_value():
    record = {
        "surname": "Meier",
        "birth_name": "Müller-Öztürk",
        "former_street": "Ringstr. 012b",
        "former_postcode": "1067",
    }
    surname, _, address = prepared(record).further
    assert surname.values["surname"] == ["muller ozturk", "ozturk"]
    assert surname.components == {"S": ["657", "08274"], "s3": ["mul", "ozt"]}
    assert address.components == {"ad4": ["ring"], "no": ["12"], "pc": ["01067"]}


@given(st.lists(st.fixed_dictionaries({f: st.text(max_size=12) for f in (*FIELDS, *FURTHER)}), max_size=4))
def test_any_text_is_accepted_and_the_record_itself_stays(records):
    columns = {f: [r[f] for r in records] for f in (*FIELDS, *FURTHER)}
    p = prepare(DE, columns, further=True)
    plain = prepare(DE, {f: columns[f] for f in FIELDS})
    assert (p.values, p.components) == (plain.values, plain.components)
    for f in p.further:
        assert f.record == sorted(f.record)
        assert all(len(column) == len(f.record) for column in (*f.values.values(), *f.components.values()))
    for i, value in enumerate(p.values["surname"]):
        mine = [v for r, v in zip(p.further[0].record, p.further[0].values["surname"], strict=True) if r == i]
        assert len(set(mine)) == len(mine)
        assert value not in mine
        assert "" not in mine


def test_febrl_has_none():
    assert prepared({"surname": "meier-schulz", "birth_name": "x"}, FEBRL).further == ()
