"""The generator: determinism, and the figures that its configuration promises."""

import csv
import hashlib
from collections import Counter, defaultdict

import pytest

from linkage.errors import SynthError
from linkage.normalise import prepare
from linkage.normalise.identifiers import insured_number
from linkage.schema import load
from linkage.synth import SiteSpec, SynthConfig, generate, write_csv
from linkage.synth.copies import COLUMNS
from linkage.synth.words import frequencies, restore

THREE = (SiteSpec("clinic", 1500), SiteSpec("gp", 1000, "practice"), SiteSpec("ems", 500, "rescue"))
# Printed densities and benchmarks name a seed; they mean nothing if the bytes change unnoticed.
GOLDEN = "60ba01161c6c477d219e423286e102e3f3d5727d74017f98ae4e3bfe0c756fc7"


def persons(made):
    by_site = defaultdict(dict)
    for site, one, person in made.truth:
        by_site[site][one] = person
    return by_site


def test_byte_for_byte(tmp_path):
    made = generate(SynthConfig("golden", THREE, overlap=0.2))
    paths = write_csv(made, tmp_path)
    assert [p.name for p in paths] == ["clinic.csv", "gp.csv", "ems.csv", "truth.csv"]
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in paths)).hexdigest()
    assert digest == GOLDEN
    with pytest.raises(SynthError):
        write_csv(made, tmp_path)


def test_another_seed_gives_other_people():
    a, b = (generate(SynthConfig(seed, THREE)).sites["clinic"].columns["surname"] for seed in ("a", "b"))
    assert a != b


def test_sizes_overlap_and_ids():
    made = generate(SynthConfig("s", THREE, overlap=0.2))
    assert {s: len(t) for s, t in made.sites.items()} == {"clinic": 1500, "gp": 1000, "ems": 500}
    p = persons(made)
    assert len(set(p["clinic"].values()) & set(p["gp"].values())) == 200
    assert len(set(p["clinic"].values()) & set(p["ems"].values())) == 100
    for site, table in made.sites.items():
        assert list(p[site]) == table.ids
        assert len(set(p[site].values())) == len(table)  # nobody twice at one site
    # The same person has unrelated ids, and stands in unrelated rows.
    shared = [(k, v) for k, v in p["clinic"].items() if v in set(p["gp"].values())]
    of_gp = {v: k for k, v in p["gp"].items()}
    assert sum(k == of_gp[v] for k, v in shared) <= 1


def test_no_common_patients_but_relatives():
    sites = (SiteSpec("clinic", 4000), SiteSpec("gp", 300, relatives=1.0, overlap=0.0))
    made = generate(SynthConfig("r", sites, overlap=0.1, errors="none", moves=0, marriages=0, missing=0))
    p = persons(made)
    assert not set(p["clinic"].values()) & set(p["gp"].values())
    homes = [
        set(zip(*(made.sites[s].columns[c] for c in ("street", "house_number", "postcode")), strict=True))
        for s in ("clinic", "gp")
    ]
    assert len(homes[0] & homes[1]) > 150


def test_twins_share_all_but_the_given_name():
    config = SynthConfig("t", (SiteSpec("a", 4000),), errors="none", missing=0, moves=0, marriages=0, twins=0.5)
    c = generate(config).sites["a"].columns
    rows = Counter(zip(c["surname"], c["birth_date"], c["street"], c["house_number"], strict=True))
    twins = [k for k, n in rows.items() if n > 1]
    assert len(twins) > 50
    given = defaultdict(list)
    for name, *key in zip(c["given_name"], c["surname"], c["birth_date"], c["street"], c["house_number"], strict=True):
        given[tuple(key)].append(name.split()[0])
    assert sum(len(set(given[k])) == len(given[k]) for k in twins) > 0.9 * len(twins)


def test_a_postcode_has_one_town():
    c = generate(SynthConfig("p", (SiteSpec("a", 5000),), errors="none", missing=0)).sites["a"].columns
    towns = defaultdict(set)
    for code, town in zip(c["postcode"], c["town"], strict=True):
        assert len(code) == 5
        towns[code].add(town)
    assert all(len(t) == 1 for t in towns.values())


def test_a_catchment_bounds_the_postcodes():
    config = SynthConfig("c", (SiteSpec("a", 2000),), catchment=12, errors="none", missing=0)
    assert 2 < len(set(generate(config).sites["a"].columns["postcode"])) <= 12


@pytest.mark.parametrize(("profile", "low", "high"), [("none", 0, 0.02), ("light", 0.05, 0.2), ("heavy", 0.3, 0.7)])
def test_copies_differ_as_often_as_the_profile_says(profile, low, high):
    config = SynthConfig(
        "e", (SiteSpec("a", 2000), SiteSpec("b", 2000)), overlap=1, errors=profile, missing=0, moves=0, marriages=0
    )
    made = generate(config)
    p = persons(made)
    schema = load("de-person/1")
    surname, home = [], []
    for site in "ab":
        values = prepare(schema, made.sites[site].select(f.name for f in schema.fields)).values
        surname.append(dict(zip(p[site].values(), values["surname"], strict=True)))
        home.append(dict(zip(p[site].values(), values["street"], strict=True)))
    differ = sum(surname[0][k] != surname[1][k] or home[0][k] != home[1][k] for k in surname[0])
    assert low <= differ / 2000 <= high


def test_each_kind_of_site_writes_in_its_own_way():
    sites = tuple(SiteSpec(k, 2000, k) for k in ("hospital", "practice", "rescue", "care", "payer"))
    made = generate(SynthConfig("k", sites, overlap=0.0))
    c = {s: t.columns for s, t in made.sites.items()}
    assert all(len(v) in (0, 10) and v[4:5] in ("", "-") for v in c["hospital"]["birth_date"])
    assert all(v == "" or (len(v) == 8 and v.isdigit()) for v in c["practice"]["birth_date"])
    assert sum(len(v) == 4 for v in c["rescue"]["birth_date"]) > 40
    assert max(map(len, c["practice"]["street"])) <= 28
    assert c["practice"]["house_number"].count("") > 1900
    assert c["rescue"]["street"].count("") > 3 * c["hospital"]["street"].count("")
    assert sum(" " in v for v in c["payer"]["given_name"]) > 2 * sum(" " in v for v in c["hospital"]["given_name"])
    assert list(c["payer"]) == list(COLUMNS)


def test_the_file_is_what_the_table_is(tmp_path):
    made = generate(SynthConfig("f", (SiteSpec("a", 50),)))
    path, _ = write_csv(made, tmp_path)
    with path.open(encoding="utf-8", newline="") as f:
        header, *rows = csv.reader(f)
    assert header == ["id", *made.sites["a"].columns]
    assert [r[0] for r in rows] == made.sites["a"].ids


@pytest.mark.parametrize(
    ("word", "restored"),
    [
        ("mueller", "Müller"),
        ("bauer", "Bauer"),
        ("neugebauer", "Neugebauer"),
        ("michael", "Michael"),
        ("manuela", "Manuela"),
        ("karl-heinz", "Karl-Heinz"),
        ("hans-juergen", "Hans-Jürgen"),
        ("weiss", "Weiß"),
        ("hess", "Hess"),
        ("gross-gerau", "Groß-Gerau"),
        ("soest", "Soest"),
        ("itzehoe", "Itzehoe"),
        ("moenchengladbach", "Mönchengladbach"),
        ("janssen", "Janssen"),
    ],
)
def test_umlauts_are_restored_where_they_were(word, restored):
    assert restore(word) == restored


def test_damaged_entries_of_the_list_are_left_out():
    names, counts = frequencies("FIRSTNAME")
    assert len(names) == len(counts) > 980
    assert not {"gedup", "raineah", "hanst"} & set(names)


@pytest.mark.parametrize(
    "config",
    [
        SynthConfig("x", ()),
        SynthConfig("x", (SiteSpec("a", 0),)),
        SynthConfig("x", (SiteSpec("A b", 5),)),
        SynthConfig("x", (SiteSpec("truth", 5),)),
        SynthConfig("x", (SiteSpec("a", 5), SiteSpec("a", 5))),
        SynthConfig("x", (SiteSpec("a", 5),), overlap=1.5),
        SynthConfig("x", (SiteSpec("a", 5, relatives=-1),)),
        SynthConfig("x", (SiteSpec("a", 5),), missing=11),
        SynthConfig("x", (SiteSpec("a", 5),), catchment=-1),
    ],
)
def test_what_cannot_be_fulfilled_is_refused(config):
    with pytest.raises(SynthError):
        generate(config)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 1.0])
def test_tiny_sites(size, overlap):
    made = generate(SynthConfig("tiny", (SiteSpec("a", size), SiteSpec("b", 2 * size)), overlap=overlap))
    assert [len(t) for t in made.sites.values()] == [size, 2 * size]


def test_insured_numbers_and_history_are_columns_of_their_own():
    sites = (SiteSpec("a", 2000), SiteSpec("b", 2000))
    plain = generate(SynthConfig("more", sites, overlap=1.0, marriages=0.2, moves=0.3))
    more = generate(SynthConfig("more", sites, overlap=1.0, marriages=0.2, moves=0.3, insured=0.5, history=0.5))
    assert more.truth == plain.truth
    for site, table in more.sites.items():
        assert {k: v for k, v in table.columns.items() if k in COLUMNS} == plain.sites[site].columns
    numbers = more.sites["a"].columns["insured_number"]
    there = [n for n in numbers if n]
    assert 900 < len(there) < 1100
    right = [n for n in there if insured_number(n)[0]]
    assert 0.98 * len(there) < len(right) < len(there), "a few are wrong, and their check digit tells"
    assert len(set(there)) == len(there)
    assert "" in more.sites["a"].columns["birth_name"]
    assert any(more.sites["a"].columns["former_street"])
    of = {}
    for (_, _, person), number in zip(more.truth, numbers + more.sites["b"].columns["insured_number"], strict=True):
        if insured_number(number)[0]:
            of.setdefault(person, set()).add(number)
    assert sum(len(v) > 1 for v in of.values()) <= 2, "one person has one number"
