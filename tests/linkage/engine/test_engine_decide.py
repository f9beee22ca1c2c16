"""Aggregation, densities, weights, classes: small cases whose answer is known."""

import numpy as np
import pytest

from linkage.decide import (
    Class,
    Limits,
    Pairs,
    RefIndex,
    aggregate,
    cut_for,
    decide,
    shipped,
    smooth,
    tie_ranks,
)
from linkage.decide.densities import BINS, shipped_counts
from linkage.decide.weights import cells
from linkage.rows import EDGE

HYB15 = shipped("hyb15")


def pairs(*rows):
    """Rows (a, b, c, s) → Pairs."""
    a, b, c, s = (np.array(x, np.int32) for x in zip(*sorted(rows), strict=True))
    return Pairs(a, b, c, s)


def edges(*rows):
    table = np.zeros(len(rows), EDGE)
    for at, (lo, hi, level) in enumerate(rows):
        table["lo"][at], table["hi"][at], table["level"][at] = lo, hi, level
    return table


def test_edges_become_pairs(uniform):
    refs = uniform("refs", 4, 3, 16)
    index = RefIndex.build(refs)
    unknown = uniform("unknown", 16)
    found = aggregate(
        edges(
            (refs[3, 0], refs[1, 0], 1),
            (refs[1, 2], refs[3, 2], 4),
            (refs[0, 1], refs[2, 1], 2),
            (refs[0, 0], unknown, 1),
        ),
        index,
    )
    assert list(zip(found.a.tolist(), found.b.tolist(), found.c.tolist(), found.s.tolist(), strict=True)) == [
        (0, 2, 1, 2),
        (1, 3, 2, 5),
    ]
    assert found.p.tolist() == pytest.approx([0.15, 0.2])


def test_refs_with_equal_first_halves_are_told_apart():
    refs = np.zeros((5, 1, 16), np.uint8)
    refs[:, 0, 15] = [4, 2, 9, 0, 7]
    index = RefIndex.build(refs)
    asked = np.zeros((7, 16), np.uint8)
    asked[:, 15] = [7, 9, 0, 2, 4, 3, 10]
    assert index.find(asked).tolist() == [4, 2, 3, 1, 0, -1, -1]


@pytest.mark.parametrize("chosen", [False, True], ids=["uniform refs", "refs somebody chose"])
def test_the_index_of_refs_is_sorted_and_finds(uniform, chosen):
    refs = uniform("many", 500, 3, 16).copy()
    if chosen:
        refs[:, :, :7] = 0  # one prefix for all
    index = RefIndex.build(refs)
    flat = [bytes(r) for r in refs.reshape(-1, 16)]
    known = {ref: at // 3 for at, ref in enumerate(flat)}
    assert [h.to_bytes(8, "big") + v.to_bytes(8, "big") for h, v in index.halves.tolist()] == (sorted(flat))
    asked = np.concatenate([refs.reshape(-1, 16)[::-1], uniform("others", 50, 16)])
    assert index.find(asked).tolist() == [known.get(bytes(r), -1) for r in asked]
    assert index.repeated == 0
    assert RefIndex.build(np.concatenate([refs, refs[:2]])).repeated == 6


def test_no_edges_no_pairs(uniform):
    assert len(aggregate(np.empty(0, EDGE), RefIndex.build(uniform("r", 2, 2, 16)))) == 0
    assert len(aggregate(np.empty(0, EDGE), RefIndex.build(np.empty((0, 2, 16), np.uint8)))) == 0


def test_cells_are_whole_numbers():
    """p = 0.05 + 0.1 (s/c - 1) in bins of 0.025, the last of which holds 0.35."""
    for c in range(1, 16):
        for s in range(c, 4 * c + 1):
            p = 0.05 + 0.1 * (s / c - 1)
            expected = min(11, int((p - 0.05) / 0.025 + 1e-9))
            assert cells(np.array([c]), np.array([s]), 15).tolist() == [(c - 1) * BINS + expected]
    assert cells(np.array([99]), np.array([99]), 15).tolist() == [14 * BINS]


# Ten records a side, records 0-9 of source 0 and 10-19 of source 1.
SOURCES = np.array([0] * 10 + [1] * 10, np.int32)
MATCHES = [(i, 10 + i, 14, 16) for i in range(10)]
TWIN = (0, 11, 9, 29)  # record 0 and the twin of record 10


def test_ten_records_all_matched():
    made = decide(pairs(*MATCHES, TWIN), SOURCES, [True, True], HYB15)
    joined = made.cls == Class.MATCH
    assert joined.sum() == 10
    assert not joined[(made.pairs.a == 0) & (made.pairs.b == 11)]
    assert made.refused == ()


def test_ten_strangers():
    made = decide(pairs(*[(i, 10 + i, 1, 4) for i in range(10)]), SOURCES, [True, True], HYB15)
    assert not made.cls.any()
    assert made.weights[0].match < 1e-6


def test_no_pairs():
    empty = np.empty(0, np.int32)
    made = decide(Pairs(empty, empty, empty, empty), SOURCES, [True, True], HYB15)
    assert len(made.cls) == 0
    assert made.weights == ()


def test_a_source_without_declaration_gets_possible_only():
    made = decide(pairs(*MATCHES), SOURCES, [True, False], HYB15)
    assert (made.cls == Class.POSSIBLE).all()


def test_one_to_one():
    """Two records of one source want the same partner: the closer one gets it."""
    made = decide(pairs(*MATCHES, (3, 15, 13, 20)), SOURCES, [True, True], HYB15)
    assert made.cls[(made.pairs.a == 3) & (made.pairs.b == 15)].tolist() == [Class.NON_MATCH]
    assert (made.cls == Class.MATCH).sum() == 10


def test_a_wrong_declaration_is_found_and_named():
    """Source 0 holds 20 of its 100 people twice."""
    sources = np.array([0] * 120 + [1] * 100, np.int32)
    rows = [(i, 120 + i, 14, 16) for i in range(100)] + [(100 + i, 120 + i, 13, 15) for i in range(20)]
    made = decide(pairs(*rows), sources, [True, True], HYB15)
    assert made.refused == (0,)
    assert not (made.cls == Class.MATCH).any()
    assert (made.cls == Class.POSSIBLE).sum() == 120, "of a doubled person both records may be the right one"


def test_ties_do_not_depend_on_the_order_of_records(uniform):
    """Records 0 and 1 are equally good for 2; the tie key decides, wherever the records stand."""
    keys = uniform("ties", 3, 16)
    rows = [(0, 2, 12, 14), (1, 2, 12, 14)]
    sources = np.array([0, 0, 1], np.int32)
    won = set()
    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0]):
        place = {old: new for new, old in enumerate(order)}
        moved = pairs(*[(*sorted((place[a], place[b])), c, s) for a, b, c, s in rows])
        made = decide(moved, sources[order], [True, True], HYB15, ties=tie_ranks(keys[order]))
        at = int(np.flatnonzero(made.winner)[0])
        won.add(frozenset((order[made.pairs.a[at]], order[made.pairs.b[at]])))
    assert len(won) == 1


@pytest.mark.parametrize("by_cell", [True, False], ids=["posterior follows from (c, s)", "it does not"])
def test_ranking_is_the_order_of_the_specification(uniform, by_cell):
    """Posterior, edges, closeness, tie keys: against a sort of tuples."""
    from linkage.decide.onetoone import ranking

    n = 3000
    c = uniform("c", n).astype(np.int32) % 15 + 1
    s = c + uniform("s", n).astype(np.int32) % (3 * c + 1)
    a = uniform("a", n).astype(np.int32)
    b = 256 + uniform("b", n).astype(np.int32)
    posterior = np.round(((c * 7 + s) % 5 if by_cell else uniform("p", n) % 5) / 7, 9)
    ties = np.argsort(uniform("ties", 512, 8).view(np.uint64)[:, 0])
    order = ranking(Pairs(a, b, c, s), posterior, ties)
    key = lambda i: (-posterior[i], -c[i], s[i], *sorted((ties[a[i]], ties[b[i]])))  # noqa: E731
    assert [key(i) for i in order] == sorted(key(i) for i in range(n))


def test_the_cut_is_higher_among_many_sources():
    assert [cut_for(n) for n in (1, 2, 3, 30)] == [0.5, 0.5, 0.8, 0.8]
    pair = (0, 10, 7, 14)
    crowd = [pair, *((i, 10 + i, 14, 16) for i in range(1, 10))]
    two = decide(pairs(*crowd), SOURCES, [True, True], HYB15)
    assert two.posterior[0] == decide(pairs(*crowd), SOURCES, [True, True, True], HYB15).posterior[0]
    low = decide(pairs(*crowd), SOURCES, [True, True], HYB15, cut=float(two.posterior[0]) + 1e-6)
    assert two.posterior[0] > 0.6
    assert (two.cls[0], low.cls[0]) == (Class.MATCH, Class.POSSIBLE)


def test_what_was_never_seen_among_strangers_is_not_impossible():
    """Two nearly empty records are alike by chance: one very close edge joins nobody where few are in common."""
    strangers = [(i, 1000 + i, 1, 4) for i in range(990)]
    lone = (995, 1995, 1, 1)
    sources = np.array([0] * 1000 + [1] * 1000, np.int32)
    made = decide(pairs(*strangers, lone), sources, [True, True], HYB15)
    assert not (made.cls == Class.MATCH).any()
    table = smooth(shipped_counts("hyb15"))
    for tables in (table.table, table.winners):
        assert tables.sum(axis=(1, 2)) == pytest.approx(np.ones(len(tables)))
        assert tables[-2:].min() > 1e-6


def test_one_close_pair_among_strangers_is_for_people():
    """It may be the one patient in common, or a twin of nearly the same name. Five are patients."""
    sources = np.array([0] * 1000 + [1] * 1000, np.int32)
    strangers = [(i, 1000 + i, 1, 4) for i in range(990)]
    close = [(990 + i, 1990 + i, 13, 15) for i in range(5)]
    one = decide(pairs(*strangers, close[0]), sources, [True, True], HYB15)
    assert one.posterior.max() > 0.8
    assert [int((one.cls == c).sum()) for c in (Class.POSSIBLE, Class.MATCH)] == [1, 0]
    five = decide(pairs(*strangers, *close), sources, [True, True], HYB15)
    assert int((five.cls == Class.MATCH).sum()) == 5
    believed = decide(pairs(*strangers, close[0]), sources, [True, True], HYB15, limits=Limits(evidence=0))
    assert int((believed.cls == Class.MATCH).sum()) == 1
    alone = decide(pairs((0, 1, 14, 15)), np.array([0, 1], np.int32), [True, True], HYB15)
    assert alone.cls.tolist() == [Class.MATCH], "a source of one record has no strangers to speak against it"
