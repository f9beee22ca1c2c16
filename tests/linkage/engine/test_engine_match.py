"""Whole linkages: FEBRL 4 and synthetic German patients, against what is promised."""

import numpy as np
import pytest

from linkage import Source, load_schema, prepare
from linkage.calibrate import calibrate
from linkage.decide import smooth
from linkage.encode import encode
from linkage.errors import DensitiesError, MatchInputError
from linkage.evaluate import conflicts, pairwise
from linkage.match import match
from linkage.synth import SiteSpec, SynthConfig, generate

FEBRL = load_schema("febrl/1")


def source(name, made, deduplicated=True):
    return Source(name, made.rows, made.record_numbers, made.refs, deduplicated)


def link(encoded, keep_a, keep_b):
    a, persons_a = encoded("a", keep_a)
    b, persons_b = encoded("b", keep_b)
    result = match([source("a", a), source("b", b)], FEBRL)
    return result, pairwise(result.labels, persons_a + persons_b, result.sources)


@pytest.mark.parametrize(
    ("keep_a", "keep_b", "f1"),
    [
        (lambda p: True, lambda p: True, 0.995),
        (lambda p: p < 3333, lambda p: p >= 1667, 0.985),
        (lambda p: p < 2750, lambda p: p >= 2250, 0.97),
    ],
    ids=["overlap 100 %", "overlap 50 %", "overlap 18 %"],
)
def test_febrl(encoded, keep_a, keep_b, f1):
    result, quality = link(encoded, keep_a, keep_b)
    assert quality.f1 >= f1, str(quality)
    assert quality.precision >= 0.99, str(quality)
    assert conflicts(result.labels, result.sources) == 0
    assert result.refused == ()


def test_no_overlap_nobody_found(encoded):
    result, _ = link(encoded, lambda p: p < 2500, lambda p: p >= 2500)
    assert result.counts["pairs"] > 100
    assert result.counts["matches"] == 0
    assert result.counts["persons"] == 5000


def test_ten_records_in_five_thousand(encoded):
    _, quality = link(encoded, lambda p: p < 10, lambda p: True)
    assert (quality.found, quality.right) == (10, 10)
    result, _ = link(encoded, lambda p: p < 10, lambda p: p >= 10)
    assert result.counts["matches"] == 0


def test_order_and_workers_do_not_matter(encoded):
    a, _ = encoded("a", lambda p: p < 400)
    b, _ = encoded("b", lambda p: p < 400)
    one = match([source("a", a), source("b", b)], FEBRL)
    other = match([source("b", b), source("a", a)], FEBRL, parts=3, workers=2)
    n, m = len(a.record_numbers), len(b.record_numbers)
    moved = np.concatenate([other.labels[m:], other.labels[:m]])
    together = one.labels[:, None] == one.labels[None]
    assert (together == (moved[:, None] == moved[None])).all()
    assert n == m == 400
    assert match([source("a", a), source("b", b)], FEBRL).pairs.tobytes() == one.pairs.tobytes()


def test_duplicates_are_found_out(encoded):
    """A source that brings its corrected copies along and still declares itself deduplicated."""
    a, _ = encoded("a", lambda p: p < 600)
    b, _ = encoded("b", lambda p: p < 300)
    double = Source(
        "double",
        np.concatenate([a.rows, b.rows]),
        np.concatenate([a.record_numbers, b.record_numbers]),
        np.concatenate([a.refs, b.refs]),
    )
    clean, _ = encoded("a", lambda p: p < 600, site="clean")
    result = match([double, source("clean", clean)], FEBRL)
    assert result.refused == ("double",)
    assert result.counts["matches"] == 0
    assert result.counts["possible"] > 600


def german(config, secrets, schema):
    made = generate(config)
    known = {f.name for f in schema.fields}
    sources = []
    for site, table in made.sites.items():
        columns = {k: v for k, v in table.columns.items() if k in known}
        sources.append(source(site, encode(schema, prepare(schema, columns), table.ids, secrets(site))))
    numbers = {}
    return sources, [numbers.setdefault(person, len(numbers)) for _, _, person in made.truth]


def test_three_german_sites_with_households(secrets):
    schema = load_schema("de-person/1")
    sites = tuple(SiteSpec(x, 2000) for x in ("north", "south", "west"))
    sources, persons = german(SynthConfig("engine/three", sites, overlap=0.5), secrets, schema)
    result = match(sources, schema)
    quality = pairwise(result.labels, persons, result.sources)
    assert quality.f1 >= 0.95, str(quality)
    assert quality.precision >= 0.99, str(quality)
    assert conflicts(result.labels, result.sources) == 0
    assert result.refused == ()


def test_a_practice_of_relatives_gets_no_match(secrets):
    """No patient in common, and as many as possible live with the hospital's."""
    schema = load_schema("de-person/1")
    sites = (SiteSpec("hospital", 4000), SiteSpec("practice", 300, "practice", relatives=1.0))
    config = SynthConfig("engine/relatives", sites, overlap=0.0, catchment=20)
    result = match(german(config, secrets, schema)[0], schema)
    assert result.counts["pairs"] > 200
    assert result.counts["matches"] == 0


def test_own_calibration(febrl, secrets):
    """A site calibrates on itself and a copy of two thirds of it; a third of the copy are others."""
    columns, _, persons = febrl("a")
    other, _, persons_b = febrl("b")
    left = [i for i, p in enumerate(persons) if p < 1000]
    right = [i for i, p in enumerate(persons_b) if 300 <= p < 1300]
    take = lambda table, chosen: prepare(FEBRL, {k: [v[i] for i in chosen] for k, v in table.items()})  # noqa: E731
    home = {persons[i]: at for at, i in enumerate(left)}
    whose = [home.get(persons_b[i], -1) for i in right]
    counts = calibrate(FEBRL, take(columns, left), take(other, right), whose)
    matches, relatives, strangers = counts.table()[0].sum(axis=(1, 2)).tolist()
    assert 680 <= matches <= 700
    assert strangers > relatives
    assert (counts.table()[1] <= counts.table()[0]).all()
    if relatives:
        assert smooth(counts).passes == 15


def test_refused(encoded):
    a, _ = encoded("a", lambda p: p < 20)
    b, _ = encoded("b", lambda p: p < 20)
    for sources in (
        [source("a", a)],
        [source("a", a), source("a", b)],
        [source("a", a), source("again", a)],
        [source("a", a), Source("b", b.rows[:-1], b.record_numbers, b.refs)],
        [source("a", a), Source("b", b.rows, b.record_numbers, b.refs[:, :3])],
    ):
        with pytest.raises(MatchInputError):
            match(sources, FEBRL)
    import msgspec

    with pytest.raises(DensitiesError):
        match([source("a", a), source("b", b)], msgspec.structs.replace(FEBRL, profile="mine"))


def test_progress_may_cancel(encoded):
    class Enough(Exception):
        pass

    seen = []

    def progress(stage, done, total):
        seen.append((stage, done, total))
        if stage == "decide":
            raise Enough

    a, _ = encoded("a", lambda p: p < 20)
    b, _ = encoded("b", lambda p: p < 20)
    with pytest.raises(Enough):
        match([source("a", a), source("b", b)], FEBRL, progress=progress)
    assert ("compare", 15, 15) in seen
