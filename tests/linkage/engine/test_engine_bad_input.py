"""What should not be sent is refused with a code, or handled within bounds: the front door, on small sources."""

import numpy as np
import pytest

from linkage import Source, load_schema
from linkage.errors import JoinInputError, MatchInputError
from linkage.join import join
from linkage.match import match
from linkage.rows import ROW, sort_order

SCHEMA = load_schema("febrl/1")
P = SCHEMA.P


def source(name, n, seed, tokens=None):
    """n records with rows that nobody encoded; with `tokens`, every pass has only so many of them."""
    draw = np.random.default_rng(seed)
    rows = np.zeros((n, P), ROW)
    rows["ref"] = draw.integers(0, 256, (n, P, 16))
    rows["pass"] = np.arange(P)
    rows["token"] = draw.integers(0, 256, (n, P, 16))
    if tokens is not None:
        rows["token"] = 0
        rows["token"][:, :, 15] = draw.integers(0, tokens, (n, P))
    rows["filter"] = draw.integers(0, 256, (n, P, 32)) & draw.integers(0, 256, (n, P, 32))
    flat = rows.reshape(-1)
    numbers = draw.integers(0, 256, (n, 16), np.uint8)
    refs = np.array([sorted(map(bytes, r)) for r in rows["ref"]], "S16").reshape(n, P)
    refs = np.frombuffer(b"".join(bytes(r).ljust(16, b"\0") for r in refs.reshape(-1)), np.uint8).reshape(n, P, 16)
    return Source(name, flat[sort_order(flat["ref"])], numbers, refs)


def changed(one, **what):
    values = {k: getattr(one, k) for k in ("name", "rows", "record_numbers", "refs", "deduplicated")}
    return Source(**{**values, **what})


@pytest.mark.parametrize("bits", [0, 255], ids=["zeros", "ones"])
def test_a_filter_of_zeros_or_ones(bits):
    bad = source("b", 5, 2)
    bad.rows["filter"][7] = bits
    with pytest.raises(JoinInputError, match="zeros only, or ones only") as refused:
        match([source("a", 5, 1), bad], SCHEMA)
    assert refused.value.code == "bad_join_input"


def test_rows_and_refs_of_other_lengths():
    a, b = source("a", 5, 1), source("b", 5, 2)
    narrow = np.dtype([("ref", "u1", 16), ("pass", "u1"), ("token", "u1", 16), ("filter", "u1", 16)])
    for bad in (
        changed(b, rows=np.zeros(5 * P, narrow)),
        changed(b, rows=b.rows[:-1]),
        changed(b, refs=b.refs[:, :-1]),
        changed(b, record_numbers=b.record_numbers[:, :8]),
    ):
        with pytest.raises((MatchInputError, JoinInputError)) as refused:
            match([a, bad], SCHEMA)
        assert refused.value.code in ("bad_match_input", "bad_join_input")


def test_a_source_with_itself_and_refs_that_repeat():
    a, b = source("a", 5, 1), source("b", 5, 2)
    twice = b.refs.copy()
    twice[3] = twice[1]
    for sources in ([a, changed(a, name="again")], [a, changed(b, refs=twice)], [a, a], [a]):
        with pytest.raises(MatchInputError):
            match(sources, SCHEMA)


@pytest.mark.parametrize("sizes", [(0, 0), (0, 10), (10, 0), (1, 1), (10, 10)])
def test_empty_and_small_sources(sizes):
    result = match([source("a", sizes[0], 1), source("b", sizes[1], 2)], SCHEMA)
    assert result.counts["persons"] == sum(sizes)
    assert result.counts["matches"] == 0
    assert result.counts["pairs"] == 0


def test_one_row_shared_by_thousands():
    """Two sources in which all have one block value in every pass: nothing is compared, and it is counted."""
    a, b = source("a", 3000, 1, tokens=1), source("b", 3000, 2, tokens=1)
    result = match([a, b, source("c", 10, 3, tokens=1)], SCHEMA)
    assert result.counts["rows_over_cap"] == 2 * 3000 * P + sum(10 for p in SCHEMA.passes if p.cap < 10)
    assert result.counts["rows_compared"] == 0
    assert result.counts["pairs"] == 0
    uncapped = join([a.rows, b.rows], SCHEMA.levels)
    assert (uncapped.blocks_skipped, uncapped.compared, uncapped.largest_block) == (P, 0, 6000)
