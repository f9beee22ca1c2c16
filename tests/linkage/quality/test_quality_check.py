"""The check of a source: the counts against a second count, the charts, and what is advised."""

import re
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest

from linkage.check import check, collect
from linkage.check.html import page
from linkage.encode.blocks import plan
from linkage.normalise import prepare
from linkage.schema import load
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.tables import Chunk

DE, WIDE, FEBRL = load("de-person/1"), load("de-person/2"), load("febrl/1")
FIELDS = [f.name for f in DE.fields]


@pytest.fixture(scope="module")
def source():
    made = generate(SynthConfig("tests/check", (SiteSpec("one", 1500),), errors="heavy", catchment=3))
    return {f: made.sites["one"].columns[f] for f in FIELDS}


@pytest.fixture(scope="module")
def further():
    sites = (SiteSpec("one", 800),)
    config = SynthConfig("tests/check/further", sites, catchment=3, moves=0.3, marriages=0.2, history=0.7, insured=0.5)
    return generate(config).sites["one"].columns


def chunks(columns, size=400, ids=None):
    n = len(next(iter(columns.values())))
    ids = ids or [str(i) for i in range(n)]
    return [
        Chunk(i + 1, ids[i : i + size], {k: v[i : i + size] for k, v in columns.items()})
        for i in range(0, max(n, 1), size)
    ]


@pytest.mark.parametrize("part", [2_000_000, 100])
def test_the_counts_are_those_of_the_encoder(source, monkeypatch, part):
    monkeypatch.setattr(collect, "_PART", part)
    report = check(DE, chunks(source))
    prepared = prepare(DE, source)
    truth = plan(DE, prepared.components, prepared.n)
    own = report.passes[: DE.P]
    assert [p.name for p in own] == [p.name for p in DE.passes]
    assert tuple(p.missing for p in own) == truth.missing
    assert tuple(p.capped for p in own) == truth.capped
    assert sum(truth.capped) > 0
    live = truth.live.sum(axis=0)
    assert report.profiles[0].live == np.bincount(live, minlength=DE.P + 1).tolist()
    assert report.profiles[0].few == int((live < 3).sum())
    assert [f.missing for f in report.fields] == [prepared.values[f].count("") for f in FIELDS]
    pairs = Counter(v for v in prepared.components["{g3,s3}"] if v)
    told = own[1]
    assert (told.largest, told.blocks, sum(told.sizes)) == (max(pairs.values()), len(pairs), sum(pairs.values()))
    assert told.sizes[0] == sum(1 for c in pairs.values() if c == 1)


def test_further_values_make_rows_and_are_counted(further):
    """Birth names, double names, former addresses: the counts of passes of two values are those of the encoder."""
    report = check(WIDE, chunks(further))
    prepared = prepare(WIDE, further)
    truth = plan(WIDE, prepared.components, prepared.n, prepared.further)
    own = report.passes[: len(WIDE.passes)]
    assert [(p.name, p.values) for p in own] == [(p.name, p.values) for p in WIDE.passes]
    assert (tuple(p.missing for p in own), tuple(p.capped for p in own)) == (truth.missing, truth.capped)
    assert report.profiles[0].live == np.bincount(truth.live.sum(axis=0), minlength=WIDE.P + 1).tolist()
    assert report.further == {group.group: len(set(group.record)) for group in prepared.further}
    assert report.further["surname"] > 50
    assert report.further["address"] > 50
    assert check(WIDE, chunks(further, 37)) == report
    without = check(WIDE, chunks({k: v for k, v in further.items() if not k.startswith(("birth_n", "former"))}))
    assert without.further["surname"] < report.further["surname"]
    assert "address" not in without.further or not without.further["address"]
    # The offered profiles have passes of one value, also where the schema's own ones have two.
    narrow = check(DE, chunks({k: v for k, v in further.items() if k in FIELDS}))
    assert [p.live for p in report.profiles if p.profile == "hyb15"] == [narrow.profiles[0].live]
    assert "Further values" in page(report)
    assert "Further values" not in page(narrow)


def test_chunks_do_not_count(source):
    assert check(DE, chunks(source, 37)) == check(DE, chunks(source, 5000))


def test_repetitions(source):
    columns = {k: [*v, *v[:30]] for k, v in source.items()}
    columns["street"] = [*columns["street"][:-10], *["Am Ende"] * 10]
    before, report = check(DE, chunks(source)), check(DE, chunks(columns))
    assert report.same_in_all - before.same_in_all == 20
    whole = prepare(DE, source).values
    full = [all(whole[k][i] for k in ("given_name", "surname")) and len(whole["birth_date"][i]) == 8 for i in range(30)]
    assert report.same_person - before.same_person == sum(full)
    assert any("dedupe" in a for a in report.advice)


def test_ids(source):
    report = check(DE, chunks(source, ids=["", "7", "7", *map(str, range(10, 1507))]))
    assert (report.ids_empty, report.ids_repeated) == (1, 1)
    assert report.advice[0].startswith("2 records without an id of their own: encoding will refuse")
    once = check(DE, chunks(source, ids=["", *map(str, range(1, 1500))]))
    assert once.advice[0].startswith("1 record without an id")


def test_default_values_are_told(source):
    columns = {**source, "birth_date": ["01.01.1985" if i % 10 == 0 else v for i, v in enumerate(source["birth_date"])]}
    columns["postcode"] = ["00000"] * 1500
    advice = " ".join(check(DE, chunks(columns)).advice)
    assert "one value in the pass dob~" in advice
    assert "postcode: 1,500 with a placeholder" in advice


def test_names_and_birth_date_only_is_said(source):
    report = check(DE, chunks({k: source[k] for k in ("given_name", "surname", "birth_date")}))
    assert any("names and birth date only" in a for a in report.advice)
    assert any(a.startswith("town: the file has no such column") for a in report.advice)


def test_fine_passes_are_recommended_where_caps_blank_the_coarse_ones(source):
    columns = {k: v * 4 for k, v in source.items()}
    report = check(DE, chunks(columns))
    assert {p.profile for p in report.profiles} == {"hyb15", "fine16", "self15"}
    assert all(p.densities for p in report.profiles)
    assert report.recommended in ("hyb15", "fine16", "self15")


@pytest.mark.parametrize("households", [0.6, 0.0], ids=["families", "strangers"])
def test_where_families_live_the_profile_is_one_on_which_they_agree_less(households):
    made = generate(SynthConfig("check/homes", (SiteSpec("a", 600),), households=households)).sites["a"]
    report = check(DE, chunks(made.select(DE.columns)))
    assert (report.recommended == "self15") == (households > 0)
    told = "the schema de-person/3 (profile self15) suits this source better"
    assert any(a.startswith(told) for a in report.advice) == (households > 0)
    assert report.recommended_schema == ("de-person/3" if households else "de-person/1")


def test_a_schema_with_more_fields_stays_one(further):
    """Nobody with birth names and insured numbers is sent to a profile without them."""
    report = check(WIDE, chunks(further))
    assert (report.recommended, report.recommended_schema) == ("self22", "de-person/4")
    assert {p.profile for p in report.profiles} == {"wide22", "hyb15", "fine16", "self15", "self22"}
    own = check(load("de-person/4"), chunks(further))
    assert (own.recommended, own.profiles[0].profile) == ("self22", "self22")
    assert next(p for p in report.profiles if p.profile == "self22").live == own.profiles[0].live


@pytest.mark.parametrize(
    "columns", [{"surname": []}, {"surname": ["", ""]}, {"surname": ["NN"] * 10}, {"sex": ["w"] * 3}]
)
@pytest.mark.parametrize("schema", [DE, FEBRL], ids=["german", "febrl"])
def test_empty_sources_and_sources_of_nothing(columns, schema):
    report = check(schema, chunks(columns))
    assert report.records == len(next(iter(columns.values())))
    assert report.advice
    assert "<svg" in page(report)


def test_the_page_is_whole_offline_and_holds_no_value(source):
    columns = {**source, "surname": ["<Geheimrätin>&" if i < 60 else v for i, v in enumerate(source["surname"])]}
    text = page(check(DE, chunks(columns)), "a <title>")
    body = text.split("<body>")[1].split("</body>")[0]
    root = ET.fromstring(f"<r>{body}</r>")
    assert len(root.findall(".//svg")) >= 5
    assert not re.search(r"<script|<link|<img|https?:|@import|url\(", text)
    assert "geheim" not in text.lower()
    assert "<title>a &lt;title&gt;" in text
    for bar in root.iter("rect"):
        assert 0 <= float(bar.get("width")) <= 561


def test_no_value_reaches_the_temporary_files(source, monkeypatch):
    written = bytearray()
    real = collect.tempfile.TemporaryFile

    def spying():
        file = real()
        write = file.write

        class Spy:
            def __getattr__(self, name):
                return getattr(file, name)

            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()

            def write(self, data):
                written.extend(data)
                return write(data)

        return Spy()

    monkeypatch.setattr(collect.tempfile, "TemporaryFile", spying)
    monkeypatch.setattr(collect, "_back", lambda spool: (spool.seek(0), np.frombuffer(spool.read(), np.uint64))[1])
    check(DE, chunks(source))
    assert len(written) > 1500 * 8 * DE.P
    names = {v for v in prepare(DE, source).values["surname"] if len(v) > 5}
    assert not any(name.encode() in written for name in names)
