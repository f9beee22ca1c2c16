"""Explanations: evidence adds up to the posterior, sentences fit what happened, fields stand side by side."""

import re

import numpy as np
import pytest
from msgspec.structs import replace

from linkage import load_schema
from linkage.decide import Class, Limits
from linkage.evaluate import Outcome
from linkage.evaluate.explain import Explainer
from linkage.evaluate.fields import side_by_side
from linkage.match import Source, match
from linkage.pairtable import PAIR

FEBRL = load_schema("febrl/1")


@pytest.fixture(scope="module")
def linked(encoded):
    left, persons_a = encoded("a", lambda p: p < 900)
    right, persons_b = encoded("b", lambda p: p >= 400 and p < 1300)
    sources = [Source(n, x.rows, x.record_numbers, x.refs) for n, x in (("a", left), ("b", right))]
    return match(sources, FEBRL), persons_a + persons_b


def explainer(result):
    outcome = Outcome(result.pairs, result.labels, result.sources, result.names, cut=result.cut)
    return Explainer(outcome, result.weights, result.parameters)


def test_the_evidence_of_every_match_adds_up_to_its_posterior(linked):
    result, _ = linked
    why = explainer(result)
    seen = 0
    for row in result.pairs[result.pairs["class"] == Class.MATCH]:
        e = why.explain(int(row["a"]), int(row["b"]))
        assert e.evidence is not None
        assert 1 / (1 + 2**-e.evidence.total) == pytest.approx(float(row["posterior"]), abs=1e-6)
        assert e.evidence.before == pytest.approx(np.log2(result.weights[0].match / (1 - result.weights[0].match)))
        assert (e.edges, e.closeness) == (int(row["edges"]), float(row["closeness"]))
        assert e.decision == "match"
        seen += 1
    assert seen > 480


def test_sentences_fit_what_happened(linked):
    result, _ = linked
    why = explainer(result)
    reasons = {}
    for row in result.pairs:
        e = why.explain(int(row["b"]), int(row["a"]))
        reasons.setdefault(Class(int(row["class"])), set()).add(e.reason)
        if e.decision == "match" and e.joined:
            assert not any(r.joined for r in (*e.rivals_a, *e.rivals_b)), "one to one"
        if e.reason == "not joined: one of the two records has a better pair":
            assert max(r.posterior for r in (*e.rivals_a, *e.rivals_b)) >= e.posterior
    assert all("not joined" in reason for reason in reasons[Class.NON_MATCH])
    assert all(reason.startswith(("joined", "matched but not")) for reason in reasons[Class.MATCH])
    assert reasons[Class.POSSIBLE] == {f"possible: the posterior lies between 0.05 and {result.cut:g}"}


def test_rivals_are_the_other_pairs_of_both_records(linked):
    result, _ = linked
    why = explainer(result)
    pairs = {(int(r["a"]), int(r["b"])) for r in result.pairs}
    for a, b in sorted(pairs)[:300]:
        e = why.explain(a, b)
        assert {r.record for r in e.rivals_a} == {y for x, y in pairs if x == a and y != b}
        assert {r.record for r in e.rivals_b} == {x for x, y in pairs if y == b and x != a}
        assert [r.posterior for r in e.rivals_a] == sorted((r.posterior for r in e.rivals_a), reverse=True)


def test_pairs_without_an_edge(linked):
    result, _ = linked
    why = explainer(result)
    assert "one source" in why.explain(0, 1).reason
    with_edge = set(zip(result.pairs["a"].tolist(), result.pairs["b"].tolist(), strict=True))
    b = next(i for i in range(900, len(result.labels)) if (0, i) not in with_edge)
    e = why.explain(0, b)
    assert (e.edges, e.level, e.evidence, e.joined) == (0, None, None, False)
    assert "no pass" in e.reason


def test_what_became_of_a_merge():
    """Record 1 of site 1 matched 0 and 2, which do not agree: one pair is refused; 0 and 3 are joined through 4."""
    table = np.zeros(5, PAIR)
    rows = [(0, 1, 0.99), (1, 2, 0.98), (0, 4, 0.97), (3, 4, 0.96), (0, 3, 0.3)]
    for k, (a, b, posterior) in enumerate(sorted(rows)):
        table[k] = (a, b, 9, 0.05, posterior, Class.MATCH if posterior > 0.8 else Class.POSSIBLE, False, False)
    labels, sources = np.array([0, 0, 1, 0, 0]), np.array([0, 1, 2, 3, 4])
    why = Explainer(Outcome(table, labels, sources, ["a", "b", "c", "d", "e"]))
    assert why.explain(1, 2).reason.startswith("matched but not joined")
    assert why.explain(0, 3).reason.startswith("joined through other records")
    assert "have no edge themselves" in why.explain(1, 4).reason
    assert why.explain(0, 1).evidence is None, "no weights are known"


def test_side_by_side():
    schema = load_schema("de-person/1")
    a = {"given_name": "Anna", "surname": "Müller", "birth_date": "02.01.1980", "postcode": "50667", "town": "Köln"}
    b = {**a, "surname": "Mueller-Schmidt", "birth_date": "02.01.1981", "postcode": ""}
    side = side_by_side(schema, a, b)
    assert {f.name for f in side.fields} == {f.name for f in schema.fields}
    values = {f.name: (f.a, f.b) for f in side.fields}
    assert values["given_name"][0] == values["given_name"][1] != ""
    assert values["postcode"][1] == ""
    assert side.likeness["given_name"] == "equal"
    assert side.likeness["birth_date"] == "one slip"
    assert side.likeness["insured_number"] == ""
    assert sorted([*side.together, *side.apart, *side.missing]) == sorted(p.name for p in schema.passes)
    assert "dob~" in side.apart
    assert "{G,S}+md~" in [*side.together, *side.apart]
    assert "S+pc" in side.missing
    assert "Anna" not in repr(side)
    assert "anna" not in repr(side).lower()


def test_what_is_left_to_people_says_why(linked):
    """Too little evidence, a careful study, and a source that is not free of duplicates."""
    result, _ = linked
    at = int(np.flatnonzero(result.pairs["class"] == Class.MATCH)[0])
    a, b = int(result.pairs["a"][at]), int(result.pairs["b"][at])
    edges = int(result.pairs["edges"][at])
    pairs, labels = result.pairs.copy(), result.labels.copy()
    pairs["class"][at], labels[b] = Class.POSSIBLE, labels.max() + 1
    left = Outcome(pairs, labels, result.sources, result.names, cut=result.cut)

    def reason(**other):
        return Explainer(left, result.weights, replace(result.parameters, **other)).explain(a, b).reason

    marked = result.pairs.copy()
    marked["other_name"][at] = True
    joined = Outcome(marked, result.labels, result.sources, result.names, cut=result.cut)
    assert Explainer(joined, result.weights, result.parameters).explain(a, b).reason.endswith("or a changed surname?")
    assert "free of duplicates" in reason()
    assert "twins or a changed surname" in reason(left=((edges, edges),))
    assert re.search(r"show \d+\.\d bits of evidence .* 1e\+06 are needed", reason(limits=Limits(evidence=1e6)))
