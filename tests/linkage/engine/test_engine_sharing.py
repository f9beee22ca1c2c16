"""Tables of counts that leave a site: no small cell, the same each time, the mean kept; and their pool."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from linkage.decide import Counts, pooled, require_shareable, shareable, shipped
from linkage.decide.densities import BINS, smooth
from linkage.decide.sharing import balanced, pool
from linkage.errors import DensitiesError

PASSES = 15


def counted(seed=1, most=9, grade="own", kind="own", profile="hyb15"):
    draw = np.random.default_rng(seed)
    table = draw.integers(0, most, (2, 3, PASSES, BINS))
    return Counts.of(table, (grade,), (kind,), (3,), profile, {"made": "here"})


def test_no_small_cell_is_left_and_the_mean_is_kept():
    counts = counted()
    made = shareable(counts)
    before, after = counts.table(), made.table()
    small = (before > 0) & (before < 5)
    assert set(after[small].tolist()) == {0, 5}
    assert (after[~small] == before[~small]).all()
    # 480 cells of 1 to 4: the sum's standard deviation is about 50
    assert small.sum() > 400
    assert abs(int(after[small].sum()) - int(before[small].sum())) < 200
    assert made.unseen["own"] in (0, 5)
    require_shareable(made)


def test_the_same_table_gives_the_same_file():
    assert shareable(counted()).encode() == shareable(counted()).encode()
    assert shareable(shareable(counted())) == shareable(counted()), "there is nothing left to draw"
    assert shareable(counted(2)).encode() != shareable(counted(1)).encode()


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (counted(), "fewer than 5"),
        (msgspec.structs.replace(shareable(counted()), unseen={"own": 3}), "fewer than 5"),
        (shareable(counted(grade="heavy")), "no other"),
        (shareable(counted(kind="city")), "no other"),
    ],
    ids=["small cells", "few unseen", "a shipped grade", "a shipped kind"],
)
def test_what_must_not_leave_a_site_is_refused(counts, text):
    with pytest.raises(DensitiesError, match=text):
        require_shareable(counts)


def test_a_pool_is_what_ships_and_the_sites_counts_in_any_order():
    tables = [shareable(counted(seed)) for seed in (1, 2)]
    both = pool("hyb15", PASSES, tables)
    assert (pool("hyb15", PASSES, tables[::-1]).table() == both.table()).all()
    assert both.grades == tuple(sorted((*shipped("hyb15").grades, "own")))
    own = both.grades.index("own")
    assert (both.table()[:, own] == sum(t.table()[:, 0] for t in balanced(tables))).all()
    found = pooled("hyb15", PASSES, tables)
    assert found.sha256 == smooth(both).sha256
    assert pooled("hyb15", PASSES, []).sha256 == shipped("hyb15").sha256


def test_passes_that_nothing_ships_for_need_a_site_that_counted():
    mine = shareable(counted(profile="mine"))
    assert pooled("mine", PASSES, [mine]).grades == ("own",)
    with pytest.raises(DensitiesError, match="ship"):
        pooled("mine", PASSES, [])
    with pytest.raises(DensitiesError, match="other passes"):
        pooled("hyb15", PASSES, [mine])


def test_a_site_with_enormous_counts_weighs_no_more_than_the_middle_one():
    honest = [shareable(counted(seed, most=40)) for seed in (1, 2, 3)]
    liar = msgspec.structs.replace(honest[2], unseen={"own": 2**48})
    liar = Counts.of(liar.table() * 2**40, liar.grades, liar.kinds, [2**48], liar.profile, {})
    made = balanced([*honest[:2], liar])
    totals = np.array([one.table().sum(axis=(2, 3)) for one in honest[:2]])
    off = np.abs(made[2].table().sum(axis=(2, 3)) - totals.max(axis=0))
    assert (off * 50 < totals.max(axis=0)).all(), "cells are rounded"
    assert made[2].unseen == {"own": max(one.unseen["own"] for one in honest[:2])}
    assert made[:2] == honest[:2]
    assert [one.table().tolist() for one in balanced(honest[:1])] == [honest[0].table().tolist()]


def test_vector_of_balanced_tables():
    """Made by other means than the code under test."""
    vector = json.loads((Path(__file__).parents[2] / "vectors/linkage/sharing-2.json").read_text("utf-8"))

    def table(cells, unseen):
        shaped = np.array(cells, np.int64).reshape(2, 3, vector["passes"], BINS)
        return Counts.of(shaped, ("own",), ("own",), (unseen,), "hyb15", {})

    made = balanced([table(site["cells"], site["unseen"]) for site in vector["sites"]])
    assert [one.table().ravel().tolist() for one in made] == [site["balanced_cells"] for site in vector["sites"]]
    assert [one.unseen["own"] for one in made] == [site["balanced_unseen"] for site in vector["sites"]]


def test_vector():
    """Made by other means than the code under test (plain Python, as the specification says)."""
    vector = json.loads((Path(__file__).parents[2] / "vectors/linkage/sharing-1.json").read_text("utf-8"))
    table = np.array(vector["cells"], np.int64).reshape(2, 3, vector["passes"], BINS)
    made = shareable(Counts.of(table, ("own",), ("own",), (vector["unseen"],), "hyb15", {}))
    assert made.table().ravel().tolist() == vector["shared_cells"]
    assert made.unseen == {"own": vector["shared_unseen"]}
    assert {1, 2, 3, 4} & set(vector["cells"])
