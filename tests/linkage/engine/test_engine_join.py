"""The comparator against a slow plain reading of the specification."""

import numpy as np
import pytest

from linkage.errors import JoinInputError
from linkage.join import join
from linkage.rows import ROW

LEVELS = (25, 51, 76, 102)


@pytest.fixture
def sources(uniform):
    """Three sources whose filters differ by few bits and whose tokens collide often, some in the first half only."""
    made = []
    for s in range(3):
        rows = np.zeros(150, ROW)
        rows["ref"] = uniform(f"ref{s}", 150, 16)
        rows["pass"] = uniform(f"pass{s}", 150) % 4
        rows["token"][:, 0] = uniform(f"token{s}", 150) % 40
        rows["token"][:, 15] = uniform(f"end{s}", 150) % 2
        few = uniform(f"few{s}", 150, 32)
        rows["filter"] = few & uniform(f"mask{s}", 150, 32)
        made.append(rows)
    return made


def slow(sources):
    found = []
    flat = [(s, row) for s, rows in enumerate(sources) for row in rows]
    for i, (s, x) in enumerate(flat):
        for t, y in flat[:i]:
            if s != t and x["pass"] == y["pass"] and bytes(x["token"]) == bytes(y["token"]):
                d = int(np.bitwise_count(x["filter"] ^ y["filter"]).sum())
                if d <= LEVELS[3]:
                    lo, hi = sorted((bytes(x["ref"]), bytes(y["ref"])))
                    found.append(lo + hi + bytes([1 + sum(d > b for b in LEVELS)]))
    return b"".join(sorted(found))


def test_as_the_slow_one(sources):
    edges = join(sources, LEVELS)
    assert edges.table.tobytes() == slow(sources)
    assert set(edges.table["level"].tolist()) == {3, 4}
    assert edges.compared > len(edges.table) > 100


def test_levels_at_their_bounds():
    rows = np.zeros(2, ROW)
    rows["ref"][1] = 1
    rows["filter"][0] = 0b01010101
    for d, level in ((0, 1), (25, 1), (26, 2), (51, 2), (52, 3), (76, 3), (77, 4), (102, 4), (103, None), (256, None)):
        bits = np.zeros(256, np.uint8)
        bits[:d] = 1
        rows["filter"][1] = np.packbits(bits) ^ 0b01010101
        table = join([rows[:1], rows[1:]], LEVELS).table
        assert table["level"].tolist() == ([] if level is None else [level]), d


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("workers", [1, 2])
def test_same_bytes_however_it_is_cut(sources, uniform, parts, workers):
    order = np.argsort(uniform("order", 150, 4).view("<u4")[:, 0])
    shuffled = [rows[order] for rows in reversed(sources)]
    whole = join(sources, LEVELS)
    cut = join(shuffled, LEVELS, parts=parts, workers=workers)
    assert cut.table.tobytes() == whole.table.tobytes()
    assert cut.compared == whole.compared


def test_a_source_over_the_cap_hurts_only_itself(uniform):
    """One token for thousands: the flood is left out and named, the others still meet."""
    flood = np.zeros(5000, ROW)
    flood["filter"] = 1
    flood["ref"] = uniform("flood", 5000, 16)
    honest = np.zeros(2, ROW)
    honest["filter"] = 1
    honest["ref"] = uniform("honest", 2, 16)
    edges = join([flood, honest[:1], honest[1:]], LEVELS, caps=[10])
    assert len(edges.table) == 1
    assert edges.over_cap == (5000, 0, 0)
    assert edges.compared == 1
    assert edges.largest_block == 5002


def test_a_block_over_the_budget_is_left_out_and_counted(uniform):
    rows = np.zeros(3000, ROW)
    rows["filter"] = 1
    rows["ref"] = uniform("many", 3000, 16)
    rows["token"][2998:, 0] = 1
    edges = join([rows[0::2], rows[1::2]], LEVELS, block_pairs=10_000)
    assert edges.blocks_skipped == 1
    assert len(edges.table) == 1


def test_nothing_to_join():
    assert len(join([np.empty(0, ROW), np.empty(0, ROW)], LEVELS).table) == 0
    assert len(join([], LEVELS).table) == 0


@pytest.mark.parametrize(
    ("levels", "caps"), [((25, 25, 76, 102), None), ((1, 2, 3), None), ((1, 2, 3, 256), None), (LEVELS, [2])]
)
def test_refused(sources, levels, caps):
    with pytest.raises(JoinInputError):
        join(sources, levels, caps=caps)


def test_a_block_in_which_sources_keep_their_cap_is_never_left_out(uniform):
    """Else it would have edges while it is small, and none later: what windows find would depend on their order."""
    rows = np.zeros(300, ROW)
    rows["filter"] = 1
    rows["ref"] = uniform("growing", 300, 16)
    sources = [rows[at : at + 10] for at in range(0, 300, 10)]
    before = join(sources[:4], LEVELS, caps=[10], block_pairs=1000)
    after = join(sources, LEVELS, caps=[10], block_pairs=1000)
    assert (before.blocks_skipped, after.blocks_skipped) == (0, 0)
    assert (before.n, after.n) == (40 * 30 // 2, 300 * 290 // 2)
    assert {edge.tobytes() for edge in before.table} < {edge.tobytes() for edge in after.table}
