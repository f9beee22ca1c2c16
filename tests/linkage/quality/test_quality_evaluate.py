"""Evaluation: by hand on few pairs, against independent counts on FEBRL and synthetic Germans, and the page."""

import hashlib
import re
from itertools import combinations
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from linkage import Secrets, Source, load_schema, prepare
from linkage.decide import Class
from linkage.encode import encode
from linkage.evaluate import Outcome, evaluate, pairwise
from linkage.evaluate.curves import STRATA, from_labels, stratum_of
from linkage.evaluate.figures import figures
from linkage.evaluate.html import page
from linkage.evaluate.passes import true_pairs
from linkage.evaluate.quality import Quality
from linkage.match import match
from linkage.pairtable import PAIR
from linkage.synth import SiteSpec, SynthConfig, generate

DE = load_schema("de-person/1")


def outcome(*rows, labels, sources):
    """Rows (a, b, edges, posterior, class)."""
    table = np.zeros(len(rows), PAIR)
    for k, (a, b, edges, posterior, cls) in enumerate(rows):
        table[k] = (a, b, edges, 0.05, posterior, cls, False, False)
    names = [f"<site {s}>" for s in range(max(sources) + 1)]
    return Outcome(table, np.array(labels), np.array(sources), names)


# Records 0-3 at site 0, 4-7 at site 1. One person each: 0+4, 1+5, 2+6, 3+7. Joined: 0+4 and, wrongly, 1+6.
SMALL = outcome(
    (0, 4, 9, 0.99, Class.MATCH),
    (1, 5, 2, 0.30, Class.POSSIBLE),
    (1, 6, 5, 0.90, Class.MATCH),
    (2, 6, 3, 0.04, Class.NON_MATCH),
    labels=[0, 1, 2, 3, 0, 4, 1, 5],
    sources=[0, 0, 0, 0, 1, 1, 1, 1],
)
WHO = [0, 1, 2, 3, 0, 1, 2, 3]


def test_counts_by_hand():
    e = evaluate(SMALL, persons=WHO)
    assert e.basis == "truth"
    assert (e.overall.found, e.overall.true, e.overall.right) == (2, 4, 1)
    at = {p.threshold: p.rates for p in e.curve}
    assert (at[0.8].found, at[0.8].right, at[0.8].true) == (2, 1, 4)
    assert (at[0.2].found, at[0.2].right) == (3, 2)
    assert (at[0.95].found, at[0.95].right) == (1, 1)
    assert (e.losses.joined, e.losses.no_edge, e.losses.non_match, e.losses.possible, e.losses.refused) == (
        1,
        1,
        1,
        1,
        0,
    )
    c = e.candidates
    assert (c.possible, c.candidates, c.completeness, c.without, c.without_partner) == (16, 4, 0.75, 2, 2)
    assert c.reduction_ratio == 0.75
    assert [
        (b.low, b.match, b.possible, b.non_match, b.true) for b in e.edges if b.match + b.possible + b.non_match
    ] == [
        (2, 0, 1, 0, 1),
        (3, 0, 0, 1, 1),
        (5, 1, 0, 0, 0),
        (9, 1, 0, 0, 1),
    ]
    assert sum(b.match + b.possible + b.non_match for b in e.scores) == 4
    assert e.cluster_sizes == {1: 4, 2: 2}


def test_without_truth_the_posteriors_are_added_up():
    e = evaluate(SMALL)
    assert e.basis == "estimate"
    assert e.overall.found == 2
    assert e.overall.right == pytest.approx(1.89)
    assert e.overall.true == pytest.approx(2.23)
    assert e.losses is None
    assert e.candidates.completeness is None


def test_labels_say_more_than_posteriors():
    """A thousand pairs of posterior 0.9 of which labels show that half are wrong."""
    posterior, cls = np.full(1000, 0.9), np.full(1000, Class.MATCH, np.uint8)
    probability = from_labels(posterior, cls, range(100), [k % 2 == 0 for k in range(100)])
    assert probability[100:].tolist() == pytest.approx([(50 + 0.9) / 101] * 900)
    assert probability[:4].tolist() == [1, 0, 1, 0]
    assert from_labels(posterior, cls, [], []).tolist() == posterior.tolist()


def test_strata_part_the_pairs():
    posterior = np.array([0.0, 0.049, 0.05, 0.799, 0.8, 0.99, 1.0])
    yes, no = np.full(7, Class.MATCH, np.uint8), np.full(7, Class.NON_MATCH, np.uint8)
    assert stratum_of(posterior, no).tolist() == [0, 0, 2, 8, 10, 16, 16]
    assert (stratum_of(posterior, yes) - stratum_of(posterior, no)).tolist() == [1] * 7
    assert max(stratum_of(posterior, yes)) == 2 * (len(STRATA) - 1) - 1


def test_true_pairs_are_all_of_different_sources():
    persons, sources = np.array([5, 5, 7, 5, 7, 9, 5]), np.array([0, 1, 0, 1, 2, 1, 2])
    a, b = true_pairs(persons, sources)
    wanted = {(i, j) for i, j in combinations(range(7), 2) if persons[i] == persons[j] and sources[i] != sources[j]}
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == wanted
    assert len(a) == len(wanted)


@pytest.fixture(scope="module")
def linked():
    """Three sites with households: (result, sources, persons)."""
    sites = tuple(SiteSpec(x, 900) for x in ("north", "south", "west"))
    made = generate(SynthConfig("evaluate", sites, overlap=0.4))
    sources = []
    for site, table in made.sites.items():
        columns = {k: v for k, v in table.columns.items() if k in {f.name for f in DE.fields}}
        secrets = Secrets(b"\x07" * 32, hashlib.sha256(site.encode()).digest(), "study", 1)
        one = encode(DE, prepare(DE, columns), table.ids, secrets)
        sources.append(Source(site, one.rows, one.record_numbers, one.refs))
    numbers = {}
    persons = [numbers.setdefault(person, len(numbers)) for _, _, person in made.truth]
    return match(sources, DE), sources, persons


def whole(result):
    return Outcome(result.pairs, result.labels, result.sources, result.names, cut=result.cut)


def test_figures_agree_with_each_other(linked):
    result, sources, persons = linked
    e = evaluate(whole(result), persons=persons, rows=sources, passes=[p.name for p in DE.passes])
    quality = pairwise(result.labels, persons, result.sources)
    assert (e.overall.found, e.overall.true, e.overall.right) == (quality.found, quality.true, quality.right)
    at_cut = next(p.rates for p in e.curve if p.threshold == e.cut)
    assert at_cut.found == result.counts["matches"]
    assert at_cut.true == quality.true
    recalls = [p.rates.recall for p in e.curve]
    assert recalls == sorted(recalls, reverse=True)
    lost = e.losses
    assert lost.joined + lost.no_edge + lost.non_match + lost.possible + lost.refused == quality.true
    assert sum(size * n for size, n in e.cluster_sizes.items()) == 2700
    for bins in (e.scores, e.edges):
        assert sum(b.match for b in bins) == result.counts["matches"]
        assert sum(b.possible for b in bins) == result.counts["possible"]
        assert sum(b.match + b.possible + b.non_match for b in bins) == result.counts["pairs"]
        assert sum(b.true for b in bins) == round(e.candidates.completeness * quality.true)


def test_estimates_are_near_the_truth(linked):
    result, _, persons = linked
    e = evaluate(whole(result), persons=persons)
    assert e.estimated.precision == pytest.approx(e.overall.precision, abs=0.02)
    assert e.estimated.recall == pytest.approx(e.overall.recall, abs=0.05)
    # Perfect labels of every pair give the truth among candidates.
    true = [persons[a] == persons[b] for a, b in zip(result.pairs["a"], result.pairs["b"], strict=True)]
    labelled = evaluate(whole(result), labels=list(enumerate(true)))
    assert labelled.basis == "labels"
    assert labelled.overall.true == sum(true)
    counted = next(p.rates.precision for p in e.curve if p.threshold == e.cut)
    assert next(p.rates.precision for p in labelled.curve if p.threshold == e.cut) == pytest.approx(counted)


def test_what_passes_do_is_counted_from_the_values(linked):
    """Blocks of the pass on the full date of birth, counted from tokens once more and in another way."""
    result, sources, persons = linked
    names = [p.name for p in DE.passes]
    e = evaluate(whole(result), persons=persons, rows=sources, passes=names)
    use = e.passes.use
    assert e.passes.of == "true pairs"
    assert sorted(p.name for p in use) == sorted(names)
    together = [p.together for p in use]
    assert together == sorted(together)
    assert together[0] == use[0].pairs
    assert together[-1] >= round(e.candidates.completeness * e.passes.pairs), "an edge needs a block"
    for one in use[:3]:
        blocks = {}
        starts = np.cumsum([0, *(len(s.refs) for s in sources)])
        home = {bytes(r): starts[i] + k for i, s in enumerate(sources) for k, refs in enumerate(s.refs) for r in refs}
        for s in sources:
            for row in s.rows[s.rows["pass"] == one.number]:
                blocks.setdefault(bytes(row["token"]), []).append(home[bytes(row["ref"])])
        assert one.blocks == len(blocks)
        assert one.largest == max(map(len, blocks.values()))
        assert sum(one.sizes) == 2700
        assert one.sizes[0] == sum(len(b) == 1 for b in blocks.values())
        true = {
            (min(i, j), max(i, j))
            for members in blocks.values()
            for i, j in combinations(members, 2)
            if persons[i] == persons[j] and result.sources[i] != result.sources[j]
        }
        assert one.pairs == len(true)
    without = evaluate(whole(result), rows=sources, passes=names)
    assert without.passes.of == "joined pairs"


def test_the_page_is_whole_offline_and_says_the_same_numbers(linked):
    result, sources, persons = linked
    e = evaluate(whole(result), persons=persons, rows=sources, passes=[p.name for p in DE.passes])
    text = page(e, "a <title>")
    root = ET.fromstring(f"<r>{text.split('<body>')[1].split('</body>')[0]}</r>")
    assert len(root.findall(".//svg")) == len(figures(e)) == 8
    assert not re.search(r"<script|<link|<img|https?:|@import|url\(", text)
    assert "<title>a &lt;title&gt;" in text
    assert f"{e.overall.precision:.4f}" in text
    assert f"cut {e.cut:g}" in text
    drawn = [t.text for t in root.iter("title")]
    for b in e.scores:
        if b.possible:
            assert f"{b.low:.2f}: possible {b.possible:,}" in drawn
    for rect in root.iter("rect"):
        assert float(rect.get("height")) >= 0
        assert float(rect.get("width")) >= 0


def test_names_of_sources_are_escaped_and_few_pairs_draw():
    for e in (evaluate(SMALL), evaluate(SMALL, persons=WHO)):
        text = page(e)
        assert "<site" not in text
        ET.fromstring(f"<r>{text.split('<body>')[1].split('</body>')[0]}</r>")


def test_no_pairs_at_all():
    e = evaluate(outcome(labels=[0, 1], sources=[0, 1]), persons=[0, 1])
    assert (e.overall.precision, e.overall.recall, e.overall.f1) == (1, 1, 1)
    assert "<svg" in page(e)
    empty = evaluate(Outcome(np.zeros(0, PAIR), np.zeros(0, int), np.zeros(0, int), ["a", "b"]))
    assert empty.persons == 0
    assert "<svg" in page(empty)


def test_a_share_of_nothing_is_told_as_none():
    assert Quality(found=0, true=0, right=0).told == ("none", "none", "none")
    assert Quality(found=0, true=4, right=0).told == ("none", "0.0000", "0.0000")
    assert Quality(found=4, true=4, right=3).told == ("0.7500", "0.7500", "0.7500")
