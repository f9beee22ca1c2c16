"""How much a window would compare, from a sample of its rows; in a worker process, and nothing is changed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from linkage.rows import as_words
from trustcenter.messages.rooms import WindowEstimate
from trustcenter.store import Connection, Location, snapshot
from trustcenter.store.packed import Keys

from . import placing
from .frozen import Frozen
from .pieces import looks_up

_SAMPLE: Final = 2_000  # rows whose blocks are counted


def estimate(place: Location, frozen: Frozen) -> WindowEstimate:
    """What a window would compare.

    Args:
        place: the comparator's store.
        frozen: what the window would compare.
    """
    rows = sum(frozen.rows)
    looked_at = others = 0
    with snapshot(place) as conn:
        for number in range(frozen.passes):
            found = _sample(conn, frozen, number)
            more, mine = _pairs(found, frozen)
            looked_at, others = looked_at + mine, others + more
    each = others / looked_at if looked_at else 0.0
    # Where nearly all rows are fresh, a pair is met from both of its sides.
    twice = 1 + frozen.fresh_rows / rows if rows else 1
    return WindowEstimate(
        study=frozen.study,
        rows=rows,
        fresh_rows=frozen.fresh_rows,
        comparisons=round(each * frozen.fresh_rows / twice),
        reads_everything=not looks_up(frozen),
    )


def _sample(conn: Connection, frozen: Frozen, number: int) -> NDArray[np.void]:
    """Some blocks of a pass that have fresh rows. Tokens are evenly spread, so the smallest are as good as any."""
    where = placing.space(frozen.number, number)
    tokens = placing.fresh_tokens(conn, sorted(frozen.fresh), number)
    if tokens is None:
        first = next(placing.ROWS.read(conn, where), np.empty(0, placing.PLACED))
        tokens = first["token"][np.isin(first["upload"], sorted(frozen.fresh))]
    few = tokens[np.argsort(as_words(tokens)[0])[: 1 + _SAMPLE // frozen.passes]]
    found = np.concatenate([np.empty(0, placing.PLACED), *placing.ROWS.find(conn, where, Keys.of(few))])
    return found[np.isin(found["upload"], [upload for upload, _ in frozen.uploads])]  # others are not live yet


def _pairs(rows: NDArray[np.void], frozen: Frozen) -> tuple[int, int]:
    """Pairs of fresh rows with those of other sources in their blocks, and how many fresh rows there are."""
    source_of = dict(frozen.uploads)
    sources = np.array([source_of[upload] for upload in rows["upload"].tolist()], np.int64)
    fresh = np.isin(rows["upload"], sorted(frozen.fresh))
    block = np.unique(as_words(rows["token"])[0], return_inverse=True)[1]
    size = np.bincount(block, minlength=1)
    same = block * len(frozen.sources) + sources
    own = np.bincount(same, minlength=1)
    return int((size[block] - own[same])[fresh].sum()), int(fresh.sum())
