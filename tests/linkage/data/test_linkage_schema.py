"""Schemas: what ships, what is refused, what the fingerprint depends on."""

import hashlib
import json

import pytest

from linkage.errors import SchemaError, UnknownSchemaError
from linkage.profiles import NAMED
from linkage.schema import PROFILES, Schema, load, shipped
from linkage.tables import FURTHER

GOOD = json.loads(load("de-person/1").canonical())
# Whoever changes a shipped schema breaks every study that was made with it: give the changed one a new version.
FINGERPRINTS = {
    "de-person/1": "431d65445cc16b61bec806c1532954e847025052537b55d48bc0aafeb8709ad2",
    "febrl/1": "04333e98149f36c4b68d8126894ec057dbc9394105b470612fd57ed487297a48",
    "de-person/2": "2bcf662793d4685e5f62abeb250881e266a6cc36e7b83b5ffe9c03613ef5607c",
    "de-large/1": "021c6cd8d9e72e8be92dce25222d28951311967b2e4c8cba3fa61f9eb2c3761e",
    "de-lone/1": "be0e3a8e5cfe13a4a90367ceb8a4b3d9139c8a1df0dc4bd2512c83e4061bbcc2",
    "de-person/3": "d64f05668616250878d4df8f00d5a3fcaa694a54a6cb3cf063549df3e189f749",
    "de-person/4": "1ba6d2d9898b0843bf596a211b62bec4d87be55beac8bc1a300c6c1c1bbdccc3",
    "de-names/1": "d631867898edea3e007cf13f33958092546efb19f63742aa5c337c517751d35f",
}


def changed(**top):
    return json.dumps({**GOOD, **top}).encode()


@pytest.mark.parametrize("name", sorted(FINGERPRINTS))
def test_shipped_schemas_stay_as_they_are(name):
    schema = load(name)
    assert schema.name == name
    assert schema.fingerprint == FINGERPRINTS[name]


@pytest.mark.parametrize("name", ["de-person/1", "febrl/1"])
def test_the_default_profile(name):
    schema = load(name)
    assert schema.P == 15
    assert schema.profile == "hyb15"
    assert [p.cap for p in schema.passes] == [2] * 3 + [10] * 12
    assert {f.name: f.k for f in schema.fields} == {
        "given_name": 4,
        "surname": 4,
        "birth_date": 4,
        "street": 1,
        "house_number": 1,
        "postcode": 2,
        "town": 2,
    }


def test_every_shipped_schema_is_pinned():
    assert set(shipped()) == set(FINGERPRINTS)


def test_the_fingerprint_is_over_canonical_json():
    schema = load("febrl/1")
    plain = json.dumps(json.loads(schema.canonical()), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert schema.canonical() == plain.encode()
    assert schema.fingerprint == hashlib.sha256(plain.encode()).hexdigest()


def test_order_of_keys_and_white_space_do_not_count_but_every_value_does():
    same = Schema.parse(json.dumps(dict(reversed(GOOD.items())), indent=7).encode())
    assert same.fingerprint == FINGERPRINTS["de-person/1"]
    other = Schema.parse(changed(levels=[25, 51, 76, 103]))
    assert other.fingerprint != FINGERPRINTS["de-person/1"]


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(changed(name="mine/3", profile="mine", passes=GOOD["passes"][:4]))
    schema = load(path)
    assert (schema.name, schema.P, schema.components) == ("mine/3", 4, ("y", "md~", "{g3,s3}", "ad4", "no", "G"))


def test_fine16_is_fine12_and_four_more():
    assert len(PROFILES["fine16"]) == 16
    assert PROFILES["fine16"][:12] == PROFILES["hyb15"][3:]


_MANY = [["S", "no"], ["S", "ad4"], ["G", "pc"], ["G", "no"], ["G", "ad4"], ["g3"]]
_LAST_TWICE = [*GOOD["passes"][:-1], {**GOOD["passes"][-1], "values": 2}]
PASS = {"name": "x", "parts": ["y"], "cap": 2}
REFUSED = {
    "one value, written": changed(passes=[{**PASS, "parts": ["S"], "values": 1}], profile="mine"),
    "nine values": changed(passes=[{**PASS, "parts": ["S"], "values": 9}], profile="mine"),
    "two values of a birth date": changed(passes=[{**PASS, "values": 2}], profile="mine"),
    "several values under rules without them": changed(
        rules="febrl/1", passes=[{**PASS, "parts": ["S"], "values": 2}], profile="mine"
    ),
    "more rows than 64": changed(
        passes=[{"name": str(k), "parts": ["S", "pc", "y"][: k % 3 + 1], "cap": k + 1, "values": 8} for k in range(3)]
        + [{"name": f"x{k}", "parts": p, "cap": 9, "values": 8} for k, p in enumerate(_MANY)],
        profile="mine",
    ),
    "several values where the profile has one": changed(passes=_LAST_TWICE),
    "unknown key": changed(extra=1),
    "unknown key inside": changed(encoding={**GOOD["encoding"], "salt": 1}),
    "missing key": json.dumps({k: v for k, v in GOOD.items() if k != "levels"}).encode(),
    "another suite": changed(encoding={**GOOD["encoding"], "suite": "keyed-passes/2"}),
    "another length of filter": changed(encoding={**GOOD["encoding"], "bits": 512}),
    "unknown component": changed(profile="own", passes=[{**PASS, "parts": ["iban"]}]),
    "component without its field": changed(profile="own", passes=[{**PASS, "parts": ["kv"]}]),
    "part twice": changed(profile="own", passes=[{**PASS, "parts": ["y", "y"]}]),
    "no parts": changed(profile="own", passes=[{**PASS, "parts": []}]),
    "no passes": changed(profile="own", passes=[]),
    "pass twice": changed(profile="own", passes=[PASS, {**PASS, "parts": ["S"]}]),
    "same parts twice": changed(profile="own", passes=[PASS, {**PASS, "name": "z"}]),
    "cap of nothing": changed(profile="own", passes=[{**PASS, "cap": 0}]),
    "field twice": changed(fields=[*GOOD["fields"], GOOD["fields"][0]]),
    "two fields of a kind": changed(fields=[*GOOD["fields"], {**GOOD["fields"][0], "name": "nickname"}]),
    "levels that fall": changed(levels=[51, 25, 76, 102]),
    "three levels": changed(levels=[25, 51, 76]),
    "level beyond the filter": changed(levels=[25, 51, 76, 256]),
    "other passes under a known profile": changed(passes=GOOD["passes"][:4]),
    "k of zero": changed(fields=[{**GOOD["fields"][0], "k": 0}, *GOOD["fields"][1:]]),
    "name without a version": changed(name="mine"),
    "name with a line break": changed(name="mine/1\n"),
    "not JSON": b"name: mine/1",
    "not UTF-8": b'{"name": "\xff"}',
    "empty": b"",
}


@pytest.mark.parametrize("why", sorted(REFUSED))
def test_refused(why):
    with pytest.raises(SchemaError) as e:
        Schema.parse(REFUSED[why])
    assert e.value.code == "bad_schema"
    for word in ("extra", "iban", "salt", "nickname", "mine"):
        assert word not in e.value.message + e.value.hint + e.value.where


def test_an_unknown_name_lists_what_ships(tmp_path):
    for name in ("de-person/9", str(tmp_path / "none.json")):
        with pytest.raises(UnknownSchemaError) as e:
            load(name)
        assert e.value.kind == "not_found"
        assert "febrl/1" in e.value.hint


def test_values_make_rows_and_name_the_columns_that_are_needed():
    passes = [{**p, "values": 2} if p["name"] == "S+pc" else p for p in GOOD["passes"]]
    schema = Schema.parse(changed(name="mine/1", profile="mine", passes=passes))
    assert (schema.P, len(schema.passes), schema.several) == (16, 15, True)
    assert schema.columns[-6:] == FURTHER
    assert b'"values":2' in schema.canonical()
    assert len(schema.caps) == schema.P
    assert b"values" not in load("de-person/1").canonical()
    assert load("de-person/1").columns == tuple(f.name for f in load("de-person/1").fields)


def test_every_named_profile_says_what_it_is_for():
    assert set(PROFILES) == set(NAMED)
    for name, profile in NAMED.items():
        assert profile.name == name
        assert profile.about
        assert profile.measured
        assert 1 <= profile.rows <= 64
        assert len(set(profile.shape)) == len(profile.passes)


@pytest.mark.parametrize(
    ("name", "profile", "rows"),
    [
        ("de-person/2", "wide22", 22),
        ("de-large/1", "fine16", 16),
        ("de-names/1", "names12", 12),
        ("de-lone/1", "lone15", 15),
        ("de-person/3", "self15", 15),
        ("de-person/4", "self22", 22),
    ],
)
def test_the_other_schemas_have_densities_that_were_counted_with_them(name, profile, rows):
    from linkage.decide.densities import shipped_counts

    schema = load(name)
    assert (schema.profile, schema.P) == (profile, rows)
    assert [p.cap for p in schema.passes] == [p.cap for p in NAMED[profile].passes]
    counts = shipped_counts(profile)
    assert counts.passes == rows
    assert counts.provenance["schema"] == f"{name} {schema.fingerprint}"
    assert counts.table()[0].sum(axis=(1, 2)).min() > 1000
