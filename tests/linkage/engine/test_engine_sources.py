"""Pairs of two sources stand in one block, however records are numbered."""

import numpy as np
import pytest

from linkage.decide import Pairs
from linkage.decide.sources import blocks, of_two, pair_of_sources, slices

COUNT = 4


def pairs_of(uniform, records):
    """All pairs of records whose drawn byte says so, sorted."""
    a, b = np.triu_indices(records, 1)
    chosen = uniform("pairs", len(a)) < 90
    one = np.ones(int(chosen.sum()), np.int32)
    return Pairs(a[chosen].astype(np.int32), b[chosen].astype(np.int32), one, one)


NUMBERED = {
    "source by source": np.repeat(np.arange(COUNT), 10),
    "a source without records": np.repeat([0, 2, 3], [15, 15, 10]),
    "mixed": np.arange(40) % COUNT,
    "the second source first": np.repeat([1, 0], [20, 20]),
}


@pytest.mark.parametrize("name", NUMBERED)
def test_every_two_sources_once_and_all_their_pairs(uniform, name):
    sources = NUMBERED[name].astype(np.int32)
    pairs = pairs_of(uniform, len(sources))
    found = [(key, pick(pairs, chosen)) for key, chosen in every(pairs, sources)]
    assert [key for key, _ in found] == sorted({key for key, _ in found}), "ascending, each once"
    wanted = {}
    for at, (a, b) in enumerate(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)):
        x, y = sorted((int(sources[a]), int(sources[b])))
        wanted.setdefault((x, y), []).append(at)
    assert dict(found) == wanted
    keys = pair_of_sources(pairs, sources, COUNT).tolist()
    assert all(keys[at] == x * COUNT + y for (x, y), positions in wanted.items() for at in positions)


def every(pairs, sources):
    return [one for block in blocks(pairs, sources) for one in of_two(pairs, block, sources, COUNT)]


def pick(pairs, chosen):
    return np.arange(len(pairs))[chosen].tolist()


def test_one_block_a_source_where_records_are_numbered_by_source(uniform):
    sources = NUMBERED["source by source"].astype(np.int32)
    pairs = pairs_of(uniform, len(sources))
    assert len(blocks(pairs, sources)) == COUNT
    assert len(blocks(pairs, NUMBERED["mixed"].astype(np.int32))) == 1


def test_no_pairs(uniform):
    none = Pairs(*(np.empty(0, np.int32) for _ in range(4)))
    assert every(none, np.zeros(3, np.int32)) == []
    assert every(none, np.empty(0, np.int32)) == []
    assert list(slices(0)) == []
