"""Tables of counts that leave a site, and the pool of them that a study decides with.

A cell with one pair tells that there is such a pair. So before a table leaves a site no cell is left that is below
five and not zero: it becomes 0 or 5, by a draw whose mean is what was counted, and which depends on the table alone.
The same records give the same file, however often they are counted: noise that is drawn anew could be averaged out.

In the pool no site counts for more than the middle one: a site could claim any number of pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import reduce
from operator import add

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.decide.densities import Counts, Densities, shipped_counts, smooth
from linkage.errors import DensitiesError

LEAST = 5  # pairs of a cell, unless it is empty
OWN = "own"  # the one grade and the one kind that a site counts

I64 = NDArray[np.int64]


def shareable(counts: Counts) -> Counts:
    """The same table without small cells."""
    table = counts.table()
    unseen = np.array([counts.unseen[grade] for grade in counts.grades], np.int64)
    seed = hashlib.sha256(b"linkage/decide/sharing/1" + table.tobytes() + unseen.tobytes()).digest()
    drawn = np.frombuffer(hashlib.shake_256(seed).digest(table.size + unseen.size), np.uint8)
    made = _drawn(table, drawn[: table.size].reshape(table.shape))
    left = _drawn(unseen, drawn[table.size :]).tolist()
    return Counts.of(made, counts.grades, counts.kinds, left, counts.profile, counts.provenance)


def _drawn(values: I64, drawn: NDArray[np.uint8]) -> I64:
    small = (values > 0) & (values < LEAST)
    made: I64 = np.where(small, np.where(LEAST * drawn.astype(np.int64) < 256 * values, LEAST, 0), values)
    return made


def require_shareable(counts: Counts) -> None:
    """Refuse a table that is not what `shareable` makes of a site's own counts.

    Raises:
        DensitiesError: a cell below five, a grade or kind other than `own`, or a class with no pairs.
    """
    if (counts.grades, counts.kinds) != ((OWN,), (OWN,)):
        raise DensitiesError(
            "a site's table has the grade and the kind own, and no other",
            hint="send what calibrate counted, not a pool",
        )
    values = [*counts.table().ravel().tolist(), *counts.unseen.values()]
    if any(0 < value < LEAST for value in values):
        raise DensitiesError(
            f"a table has cells of fewer than {LEAST} pairs", hint="count again with this version of calibrate"
        )


def balanced(tables: Sequence[Counts]) -> list[Counts]:
    """Tables of sites, none of which counts for more than the middle one (of an even number, the smaller).

    Each class, of all pairs and of winners, and the matches without an edge, are scaled down to its total, rounded
    half up. So fewer than half of the sites can do no more than any one of the others.

    Args:
        tables: as `require_shareable` has them, of the same passes.
    """
    if not tables:
        return []
    cells = np.array([counts.table() for counts in tables]).astype(object)  # of any size: a cell may be 2**48
    total = cells.sum(axis=(3, 4), keepdims=True)
    unseen = np.array([counts.unseen[OWN] for counts in tables], object)
    return [
        Counts.of(table.astype(np.int64), one.grades, one.kinds, [int(left)], one.profile, one.provenance)
        for one, table, left in zip(tables, _scaled(cells, total), _scaled(unseen, unseen), strict=True)
    ]


def _scaled(values: NDArray[np.object_], totals: NDArray[np.object_]) -> NDArray[np.object_]:
    most = np.sort(totals, axis=0)[(len(totals) - 1) // 2]
    made: NDArray[np.object_] = np.where(
        totals > most, (2 * values * most + totals) // np.maximum(2 * totals, 1), values
    )
    return made


def pool(profile: str, passes: int, tables: Sequence[Counts]) -> Counts:
    """The tables that ship for a profile, and those of sites, balanced.

    Raises:
        DensitiesError: none ship and no site has counted, or a table is of other passes.
    """
    try:
        every = [shipped_counts(profile), *tables]
    except DensitiesError:
        if not tables:
            raise
        every = list(tables)
    if any((one.profile, one.passes) != (profile, passes) for one in every):
        raise DensitiesError("a table is of other passes than the schema")
    every[len(every) - len(tables) :] = balanced(tables)
    return msgspec.structs.replace(reduce(add, every), provenance={})


def pooled(profile: str, passes: int, tables: Sequence[Counts]) -> Densities:
    """What a study decides with; errors as `pool`."""
    return smooth(pool(profile, passes, tables))
