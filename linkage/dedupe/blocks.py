"""Which records of a source are compared: those that share a block, without caps, and what to do with huge blocks.

A block of very many records (one default date for thousands, one frequent name in a source of millions) would cost more
than all others together. In such a block only records are compared that share one more component: who has nothing but a
default date in common with somebody is not the same person.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkage.encode.blocks import codes, combine
from linkage.normalise import Prepared
from linkage.schema import Schema

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]

BLOCK_RECORDS = 4_000  # more are not compared all with all: that would be 8 million pairs
_DEPTH = 2  # further components by which a huge block is cut


def blocks(schema: Schema, prepared: Prepared, limit: int = BLOCK_RECORDS) -> tuple[I4, int]:
    """Blocks of at most `limit` records.

    Args:
        schema: its passes are the blocking rules.
        prepared: n records.
        limit: records of a block that are compared all with all.

    Returns:
        (rules, n) number of the block of each record, 0 = none: the passes, and after them what huge blocks were cut
        into; and how many blocks are huge although they were cut twice: they are left out.
    """
    coded = {name: codes(prepared.components[name]) for name in schema.components}
    found = []
    cut: list[tuple[I4, frozenset[str]]] = []
    for rule in schema.passes:
        present, block = combine([coded[part] for part in rule.parts], prepared.n)
        row = np.where(present, block + 1, 0).astype(np.int32)
        huge = _take_huge(row, limit)
        found.append(row)
        if huge.any():
            cut.append((huge, frozenset(rule.parts)))
    skipped = 0
    for depth in range(_DEPTH):
        last = depth == _DEPTH - 1
        left: list[tuple[I4, frozenset[str]]] = []
        for huge, parts in cut:
            for name in schema.components:
                if name in parts:
                    continue
                present, block = combine([huge.astype(np.int64), coded[name]], prepared.n)
                row = np.where(present & (huge > 0), block + 1, 0).astype(np.int32)
                still = _take_huge(row, limit)
                found.append(row)
                if still.any():
                    left.append((still, parts | {name}))
        if last:
            skipped = sum(len(np.unique(huge[huge > 0])) for huge, _ in left)
        cut = left
    return np.stack(found) if found else np.zeros((0, prepared.n), np.int32), skipped


def _take_huge(row: I4, limit: int) -> I4:
    """Huge blocks, taken out of `row`: who only shares one of them has not been compared."""
    huge = np.bincount(row, minlength=1) > limit
    huge[0] = False
    taken = np.where(huge[row], row, np.int32(0))
    row[huge[row]] = 0
    return taken


def runs(block: I4) -> tuple[I8, I8]:
    """Records sorted by block, and where each block of two or more starts."""
    order = np.argsort(block, kind="stable")
    order = order[block[order] > 0]
    sorted_blocks = block[order]
    edges = np.flatnonzero(np.diff(sorted_blocks, prepend=-1, append=-1))
    sizes = np.diff(edges)
    good = sizes >= 2
    return order[np.repeat(good, sizes)], np.concatenate(([0], np.cumsum(sizes[good]))).astype(np.int64)
