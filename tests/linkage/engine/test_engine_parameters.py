"""Frozen parameters: exact in JSON, kept from run to run, and the partition a function of the records alone."""

import base64
import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linkage import load_schema
from linkage.cluster import agglomerate, components, recluster
from linkage.decide import (
    Class,
    Pairs,
    Parameters,
    decide_with,
    other_names,
    parse_parameters,
    shipped,
    tie_ranks,
)
from linkage.decide.near import near, only
from linkage.errors import ParametersError

HYB15 = shipped("hyb15")
BOUNDS = (0.05, 0.95)
FIRST = Parameters.of(HYB15, BOUNDS, 2)


def pairs(rows):
    """Rows (a, b, c, s) → Pairs."""
    a, b, c, s = np.array(sorted(rows), np.int32).reshape(-1, 4).T.copy()
    return Pairs(a, b, c, s)


def world(n, common, names=("a", "b")):
    """n records at each of the sources, the first `common` of them the same people; some are related, some alike."""
    sources = np.repeat(np.arange(len(names), dtype=np.int32), n)
    rows = []
    for x in range(len(names)):
        for y in range(x + 1, len(names)):
            for i in range(n):
                a, b = x * n + i, y * n + i
                if i < common:
                    rows.append((a, b, 5 + i % 10, 5 + i % 10 + (i * 7) % (6 + i % 10)))
                if i % 3 == 0:  # relatives, or a stranger of the same name
                    rows.append((a, y * n + (i + 1) % n, 1 + i % 4, 4 * (1 + i % 4) - i % 2))
    return sources, rows


def keys(sources):
    return np.array([list(hashlib.sha256(b"%d" % i).digest()[:16]) for i in range(len(sources))], np.uint8)


def run(parameters, sources, rows, names=("a", "b")):
    tags = keys(sources)
    found = pairs(rows)
    decision, after = decide_with(parameters, found, sources, names, [True] * len(names), ties=tie_ranks(tags))
    return decision, after, agglomerate(decision, sources, [True] * len(names), tags)


def test_they_are_exact_in_json_and_every_one_counts():
    told = json.loads(FIRST.canonical())
    assert (told["profile"], told["cut"], told["bounds"]) == ("hyb15", FIRST.cut, [0.05, 0.95])
    assert FIRST.sha256 == hashlib.sha256(FIRST.canonical()).hexdigest()
    _, used, _ = run(FIRST, *world(400, 200))
    again = parse_parameters(used.canonical())
    assert again == used
    assert (again.tables().table == HYB15.table).all()
    assert (again.tables().winners == HYB15.winners).all()
    others = [
        Parameters.of(HYB15, BOUNDS, 3),
        Parameters.of(HYB15, (0.05, 0.9), 2),
        Parameters.of(HYB15, BOUNDS, 2, cut=0.7),
        Parameters.of(replace(HYB15, winners=HYB15.winners * (1 + 1e-15)), BOUNDS, 2),
        Parameters.of(shipped("fine16"), BOUNDS, 2),
        used,
    ]
    assert len({FIRST.sha256, *(o.sha256 for o in others)}) == 7


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("cut"),
        lambda d: d.update(format="trustcenter/decision/1"),
        lambda d: d.update(passes=14),
        lambda d: d["weights"][0].update(won=[1.0]),
        lambda d: d.update(cut=1.5),
    ],
    ids=["missing", "older format", "another number of passes", "too few weights", "no share"],
)
def test_what_is_no_parameters_is_refused(change):
    _, used, _ = run(FIRST, *world(400, 200))
    told = json.loads(used.canonical())
    change(told)
    with pytest.raises(ParametersError):
        parse_parameters(json.dumps(told).encode())


def test_the_next_run_decides_as_this_one_did_and_estimates_nothing():
    sources, rows = world(400, 200)
    decision, used, clusters = run(FIRST, sources, rows)
    again, after, same = run(used, sources, rows)
    assert after == used
    assert used.weights[0].frozen
    assert (again.posterior == decision.posterior).all()
    assert (same.labels == clusters.labels).all()
    # Another mixture of people would have other weights, were it asked.
    _, after, _ = run(used, *world(400, 390))
    assert after == used
    assert run(FIRST, *world(400, 390))[1].weights != used.weights


def test_many_windows_make_the_persons_of_one():
    """Records come in windows; what hangs together with new ones is formed anew, nothing else."""
    sources, rows = world(600, 300)
    _, parameters, _ = run(FIRST, *world(400, 200))
    _, _, bulk = run(parameters, sources, rows)
    tags = keys(sources)
    labels = np.arange(len(sources), dtype=np.int32)  # everybody alone
    there = np.zeros(len(sources), np.bool_)
    for window in range(5):
        new = tags[:, 0] % 5 == window
        there |= new
        seen = pairs([r for r in rows if there[r[0]] and there[r[1]]])
        decision, after = decide_with(parameters, seen, sources, ("a", "b"), [True, True], ties=tie_ranks(tags))
        assert after == parameters
        assert decision.refused == ()
        labels = recluster(labels, new, decision, sources, [True, True], tags).labels
    assert (labels == bulk.labels).all()
    assert len(set(labels.tolist())) < len(sources) - 200


def test_what_is_too_little_to_trust_is_estimated_anew():
    _, few, _ = run(FIRST, *world(100, 50))
    assert [w.frozen for w in few.weights] == [False]
    sources, rows = world(400, 0)
    _, nobody, _ = run(few, sources, rows)
    assert [w.frozen for w in nobody.weights] == [False], "else nobody would be found ever after"
    _, later, _ = run(nobody, *world(400, 200))
    assert [w.frozen for w in later.weights] == [True]
    assert later == run(FIRST, *world(400, 200))[1], "what was not frozen leaves no trace"


def test_a_source_that_comes_later_gets_weights_of_its_own():
    """Its name puts it before the others: what is kept is kept by name."""
    _, used, _ = run(FIRST, *world(400, 200), names=("b", "c"))
    _, more, _ = run(used, *world(400, 200, "abc"), names=("a", "b", "c"))
    assert [(w.sources, w.frozen) for w in more.weights] == [
        (("a", "b"), True),
        (("a", "c"), True),
        (("b", "c"), True),
    ]
    assert more.weights[2] == used.weights[0]
    assert more.cut == used.cut == 0.5, "the cut is that of the first run"
    _, without, _ = run(more, *world(400, 200), names=("a", "c"))
    assert without == more, "a source that takes no part keeps its weights"


def test_it_is_told_when_two_sources_have_outgrown_their_weights():
    _, used, _ = run(FIRST, *world(400, 200))
    more, _, _ = run(used, *world(700, 350))
    assert used.outgrown(more, ("a", "b")) == []
    most, after, _ = run(used, *world(1000, 500))
    assert used.outgrown(most, ("a", "b")) == [("a", "b")]
    assert after.weights == used.weights, "they stay frozen until somebody has them estimated anew"
    assert run(FIRST, *world(100, 50))[1].outgrown(most, ("a", "b")) == [], "what is not frozen follows by itself"


def test_a_part_is_decided_as_in_the_whole():
    """Some components alone, also under weights that are not frozen and with a refused declaration."""
    sources, rows = world(100, 50)
    doubled = [(i, 100 + i + 50, 14, 15) for i in range(20)]  # `b` holds the first twenty of `a` twice
    whole, used, _ = run(FIRST, sources, [*rows, *doubled])
    assert used.refused == ("b",)
    assert not used.settled(("a", "b"))
    assert run(FIRST, *world(400, 200))[1].settled(("a", "b"))
    root = components(len(sources), whole.pairs.a, whole.pairs.b)
    inside = np.flatnonzero(np.isin(root[whole.pairs.a], np.unique(root)[::7]))
    assert 5 < len(inside) < len(root) / 2
    some = Pairs(*(x[inside] for x in (whole.pairs.a, whole.pairs.b, whole.pairs.c, whole.pairs.s)))
    ties = tie_ranks(keys(sources))
    made, after = decide_with(used, some, sources, ("a", "b"), [True, True], ties=ties, part=True)
    assert after is used
    assert (made.posterior == whole.posterior[inside]).all()
    assert (made.cls == whole.cls[inside]).all()
    with pytest.raises(ParametersError, match="no weights"):
        decide_with(FIRST, some, sources, ("a", "b"), [True, True], part=True)


def test_a_careful_study_says_so_in_its_parameters():
    """Far pairs with as many edges as twins or a changed surname have are left to people, whatever their posterior."""
    schema = load_schema("de-person/1")
    careful = Parameters.of(HYB15, BOUNDS, 2, careful=schema)
    assert careful.left == other_names(schema) == ((7, 9, 2.75, 2.0), (7, 9, 3.25, 2.0))
    assert parse_parameters(careful.canonical()) == careful
    sources, rows = world(400, 200)
    bold, _, _ = run(FIRST, sources, rows)
    held, _, _ = run(careful, sources, rows)
    changed = np.flatnonzero(bold.cls != held.cls)
    assert 0 < len(changed) < 40
    assert set(bold.pairs.c[changed].tolist()) <= {8, 9}
    assert (held.cls[changed] == Class.POSSIBLE).all()


def test_vector():
    """The bytes that are hashed, read by other means: a writer that spells numbers in another way would be found."""
    vector = json.loads((Path(__file__).parents[2] / "vectors/linkage/parameters-1.json").read_text("utf-8"))
    data = vector["canonical"].encode()
    assert hashlib.sha256(data).hexdigest() == vector["sha256"]
    told = json.loads(data)
    assert list(told) == sorted(told)
    numbers = struct.unpack("<72d", base64.b64decode(told["densities"]))
    assert list(numbers) == [x for table in vector["densities"] for x in table]
    read = parse_parameters(data)
    assert read.canonical() == data
    assert (read.unseen, read.weights[0].lost) == ((0.00001234,), (1.5e-7, 1e-18, 0.99999985))
    assert read.tables().winners.ravel().tolist() == vector["densities"][1]


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_pairs_that_are_not_near_decide_nothing(names):
    sources, rows = world(400, 250, names)
    strangers = {(i, 400 + (i * 7 + k) % 400) for i in range(400) for k in (11, 50, 120)} - {row[:2] for row in rows}
    ties, declared = tie_ranks(keys(sources)), [True] * len(names)
    whole = pairs([*rows, *((a, b, 1, 4) for a, b in strangers)])
    first = Parameters.of(HYB15, BOUNDS, len(names))
    with pytest.raises(ParametersError):
        near(first, whole, sources, names)
    decision, frozen = decide_with(first, whole, sources, names, declared, ties=ties)
    chosen = near(frozen, whole, sources, names)
    assert 250 < chosen.sum() < len(whole) - 800
    assert decision.posterior[~chosen].max() < BOUNDS[0]
    assert not decision.cls[~chosen].any()
    part, _ = decide_with(frozen, only(whole, chosen), sources, names, declared, ties=ties, part=True)
    for name in ("posterior", "winner", "cls"):
        assert np.array_equal(getattr(part, name), getattr(decision, name)[chosen])
