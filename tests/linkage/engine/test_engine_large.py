"""What keeps millions of records fast gives what the plain way gives."""

import sys
from itertools import pairwise

import numpy as np
import pytest

from linkage.cluster import Verdicts, agglomerate
from linkage.cluster.forest import _Forest
from linkage.decide import Class, Decision, Pairs, RefIndex, add_up, resolve, tie_ranks
from linkage.decide.onetoone import one_to_one, ranking, winners
from linkage.decide.weights import cells
from linkage.errors import MatchInputError
from linkage.index.segment import in_order
from linkage.join import join_words, sort_edges
from linkage.kernels.join import group_rows
from linkage.kernels.radix import part_numbers, sort_numbers
from linkage.rows import EDGE


def drawn(seed):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("bits", [1, 11, 12, 44, 63, 64])
@pytest.mark.parametrize("n", [0, 1, 5000])
def test_numbers_are_sorted(bits, n):
    numbers = drawn(bits).integers(0, 2**bits, n, np.uint64)
    assert sort_numbers(numbers.copy(), bits).tolist() == sorted(numbers.tolist())


@pytest.mark.parametrize(("bits", "first"), [(3, 0), (3, 3), (20, 5), (64, 11)])
@pytest.mark.parametrize("n", [0, 1, 5000])
def test_numbers_are_put_apart_in_place(bits, first, n):
    numbers = drawn(bits).integers(0, 2**bits, n, np.uint64) & drawn(n).integers(0, 2**bits, n, np.uint64)
    put = numbers.copy()
    bounds = part_numbers(put, bits, first).tolist()
    assert (bounds[0], bounds[-1], len(bounds)) == (0, n, 2**first + 1)
    for part, (begin, end) in enumerate(pairwise(bounds)):
        assert set((put[begin:end] >> np.uint64(bits - first)).tolist() if first else [0]) <= {part}
    assert sorted(put.tolist()) == sorted(numbers.tolist())


def test_pairs_are_added_up_in_parts(monkeypatch):
    """Many small parts come to the same as one."""
    draw, records = drawn(3), 90
    ends = np.sort(draw.integers(0, records, (4000, 2)), axis=1)
    ends = ends[ends[:, 0] < ends[:, 1]]
    level = draw.integers(0, 4, len(ends))
    keys = ((ends[:, 0] * records + ends[:, 1]) * 4 + level).astype(np.uint64)
    whole = add_up(keys.copy(), records)
    monkeypatch.setattr(sys.modules["linkage.decide.aggregate"], "_SOME", 16)
    parts = add_up(keys.copy(), records, threads=2)
    assert all((getattr(whole, name) == getattr(parts, name)).all() for name in "abcs")
    slow = {}
    for (a, b), one in zip(ends.tolist(), level.tolist(), strict=True):
        slow.setdefault((a, b), []).append(one + 1)
    found = zip(*(getattr(parts, name).tolist() for name in "abcs"), strict=True)
    assert list(found) == [(a, b, len(v), sum(v)) for (a, b), v in sorted(slow.items())]


@pytest.mark.parametrize("kind", ["usual", "one prefix", "nearly all alike", "all alike"])
@pytest.mark.parametrize("n", [0, 1, 2, 9000])
def test_edges_are_sorted(kind, n):
    draw = drawn(n)
    raw = draw.integers(0, 256, (n, 33), np.uint8)
    raw[:, 32] = draw.integers(1, 5, n)
    same = {"usual": 0, "one prefix": 7, "nearly all alike": 15, "all alike": 32}[kind]
    raw[:, :same] = 9
    table = raw.reshape(-1).view(EDGE)
    assert sort_edges(table).tobytes() == b"".join(sorted(bytes(r) for r in raw))


@pytest.mark.parametrize("chosen", [False, True], ids=["usual tokens", "tokens somebody chose"])
def test_rows_of_one_token_stand_together(chosen):
    draw = drawn(5)
    words = draw.integers(0, 2**64, (20_000, 8), np.uint64)
    words[:, 0] = words[draw.integers(0, 12_000, 20_000), 0]
    if chosen:
        words[:10_000, 0] = np.arange(10_000)  # next to each other in a range that nobody would draw
    order, starts = np.empty(20_000, np.int64), np.empty(20_001, np.int64)
    runs = group_rows(words, 4096, order, starts)
    assert (runs < 0) == chosen
    if not chosen:
        runs_of = [words[order[a:b], 0] for a, b in pairwise(starts[: runs + 1].tolist())]
        assert [len(set(r.tolist())) for r in runs_of] == [1] * runs
        assert [int(r[0]) for r in runs_of] == np.unique(words[:, 0]).tolist()
        assert sorted(order.tolist()) == list(range(20_000))
    source = draw.integers(0, 3, 20_000)
    words[:, 2:6] = 0
    found = join_words(words, source, (1, 2, 3, 4), cap=4)
    assert found.compared >= len(found.table)
    assert len(found.table) == 0  # second halves of tokens differ
    words[:, 1] = 1
    assert len(join_words(words, source, (1, 2, 3, 4)).table) == sum(
        source[a] != source[b] for rows in _together(words[:, 0].tolist()) for a in rows for b in rows if a < b
    )


def _together(tokens):
    rows = {}
    for row, token in enumerate(tokens):
        rows.setdefault(token, []).append(row)
    return rows.values()


@pytest.mark.parametrize("alike", [1, 40, 3000], ids=["tokens of one", "tokens of some", "tokens of thousands"])
def test_entries_of_an_index_are_in_order(alike):
    draw = drawn(alike)
    entries = draw.integers(0, 2**64, (6000, 9), np.uint64)
    entries[:, :2] = entries[draw.integers(0, 6000 // alike, 6000), :2]
    entries[::5, 1] = 3
    entries[::3, 6] = 4
    expected = sorted(entries.tolist(), key=lambda e: (e[0], e[1], e[6], e[7]))
    assert in_order(entries).tolist() == expected
    assert in_order(entries[:0]).tolist() == []


@pytest.mark.parametrize("many", [1, 40], ids=["usual", "edges without end"])
def test_winners_are_those_of_the_ranking(many):
    """Also where a pair has more edges than there are passes, and where all ties are ties of everything."""
    draw = drawn(many)
    records, passes = 300, 15
    pairs = np.unique(draw.integers(0, records, (4000, 2)), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]].astype(np.int32)
    c = draw.integers(1, 1 + passes * many, len(pairs)).astype(np.int32)
    s = draw.integers(c, 4 * c + 1).astype(np.int32)
    found = Pairs(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]), c, s)
    by_cell = np.round(draw.random(passes * 12) ** 8, 9)
    by_cell[draw.random(len(by_cell)) < 0.3] = 0.0
    ties = tie_ranks(draw.integers(0, 256, (records, 16), np.uint8))
    order = ranking(found, by_cell[cells(c, s, passes)], ties)
    partner = np.full(records, -1, np.int32)
    for _ in range(2):  # what it worked in is as it was
        assert winners(found, by_cell, ties, partner).tolist() == one_to_one(found, order, records).tolist()
        assert (partner == -1).all()


def test_refs_come_in_parts_and_edges_too():
    draw = drawn(3)
    refs = draw.integers(0, 256, (700, 3, 16), np.uint8)
    whole = RefIndex.build(refs)
    parts = RefIndex.read(lambda: iter([refs[:1], refs[1:1], refs[1:500], refs[500:]]), 700, 3, threads=2)
    asked = refs.reshape(-1, 16)[draw.permutation(2100)]
    assert parts.find(asked).tolist() == whole.find(asked).tolist()
    edges = np.zeros(5000, EDGE)
    edges["lo"], edges["hi"] = refs.reshape(-1, 16)[draw.integers(0, 2100, (2, 5000))]
    edges["level"] = draw.integers(1, 5, 5000)
    edges["lo"][::7] = draw.integers(0, 256, 16, np.uint8)  # of nobody
    one = add_up(resolve([(5000, lambda: edges)], whole), 700)
    pieces = [edges[:10], edges[10:10], edges[10:4000], edges[4000:]]
    several = add_up(resolve([(len(p), lambda p=p: p) for p in pieces], parts, threads=2), 700)
    for name in ("a", "b", "c", "s"):
        assert getattr(one, name).tolist() == getattr(several, name).tolist()
    record = whole.find(refs.reshape(-1, 16)[:1])
    assert record.tolist() == [0]
    lo, hi = whole.find(edges["lo"]), whole.find(edges["hi"])
    kept = (lo >= 0) & (hi >= 0) & (lo != hi)
    assert int(one.c.sum()) == int(kept.sum())
    assert int(one.s.sum()) == int(edges["level"][kept].sum())


def test_refs_and_edges_that_do_not_hold_what_was_said():
    refs = drawn(4).integers(0, 256, (50, 3, 16), np.uint8)
    with pytest.raises(MatchInputError, match="not as many"):
        RefIndex.read(lambda: [refs], 51, 3)
    seen = []

    def changing():
        seen.append(0)
        return [refs if len(seen) == 1 else refs * 0]

    with pytest.raises(MatchInputError, match="changed"):
        RefIndex.read(changing, 50, 3)
    index = RefIndex.build(refs)
    edges = np.zeros(3, EDGE)
    with pytest.raises(MatchInputError, match="as many edges"):
        resolve([(4, lambda: edges)], index)
    for level in (0, 5):
        edges["level"] = level
        with pytest.raises(MatchInputError, match="level"):
            resolve([(3, lambda: edges)], index)


@pytest.mark.parametrize("careless", [False, True], ids=["deduplicated", "one source is not"])
def test_couples_are_joined_as_the_forest_joins(careless):
    """Pairs that stand alone take a short cut, also where a rule forbids them; the result is that of all the rules."""
    draw = drawn(7)
    records = 4000
    sources = np.repeat(np.arange(3, dtype=np.int32), [1500, 1500, 1000])
    pairs = np.unique(draw.integers(0, records, (2500, 2)), axis=0).astype(np.int32)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    a, b = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
    c = draw.integers(1, 16, len(a)).astype(np.int32)
    found = Pairs(a, b, c, 2 * c)
    posterior = np.round(draw.random(len(a)), 9)  # under the half, too, as with a low cut
    cls = np.where(posterior > 0.3, Class.MATCH, Class.NON_MATCH).astype(np.uint8)
    flags = np.zeros(len(a), np.bool_)
    decision = Decision(found, posterior, flags, cls, flags, (), ())
    declared = [True, not careless, True]
    keys = draw.integers(0, 256, (records, 16), np.uint8)
    made = agglomerate(decision, sources, declared, keys)
    forest = _Forest(decision, np.flatnonzero(cls == Class.MATCH), sources, declared, Verdicts())
    matched = np.flatnonzero(cls == Class.MATCH)
    part = Pairs(a[matched], b[matched], c[matched], 2 * c[matched])
    order = matched[ranking(part, posterior[matched], tie_ranks(keys))].tolist()
    refused = sorted(k for k in order if not forest.merge(int(a[k]), int(b[k])))
    assert made.refused.tolist() == refused
    assert made.labels.tolist() == forest.labels(np.arange(records)).tolist()
    assert len(refused) > 100
    assert len(np.unique(made.labels)) < records - 300
