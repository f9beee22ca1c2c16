"""Which entries of segments are live, and the edges among them that a window asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from linkage.index import refs as refs_file
from linkage.index.manifest import Manifest
from linkage.index.segment import WORDS
from linkage.join import Edges, join_words

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]


def living(entries: U64, sequence: int, retired: Sequence[tuple[int, U8]]) -> U64:
    """Entries of a segment that nothing retired since."""
    for since, refs in retired:
        if since > sequence and len(entries):
            high, low = np.ascontiguousarray(entries[:, 6]), np.ascontiguousarray(entries[:, 7])
            entries = entries[~refs_file.members(high, low, refs)]
    return entries


def each_once(parts: Sequence[U64]) -> U64:
    """Entries of several segments; a ref that came twice (an upload that was repeated) counts once, the first time."""
    together = np.concatenate([np.empty((0, WORDS), np.uint64), *parts])
    order = np.lexsort((together[:, 7], together[:, 6]))  # stable: the first comes first
    ref = together[order][:, 6:8]
    again = np.zeros(len(order), np.bool_)
    again[1:] = (ref[1:] == ref[:-1]).all(axis=1)
    return together[np.sort(order[~again])]


def join_fresh(fresh: U64, entries: U64, state: Manifest, number: int) -> Edges:
    """Edges among `entries` that touch a fresh row."""
    words = np.ascontiguousarray(entries[:, :8])
    edges = join_words(words, entries[:, 8].astype(np.int64), state.levels, cap=state.caps[number])
    new = np.unique(np.ascontiguousarray(fresh[:, 6:8]).astype(">u8").view(np.uint8).reshape(-1, 16), axis=0)

    def touches(column: U8) -> NDArray[np.bool_]:
        halves = np.ascontiguousarray(column).view(">u8").astype(np.uint64)
        return refs_file.members(halves[:, 0].copy(), halves[:, 1].copy(), new)

    chosen = edges.table[touches(edges.table["lo"]) | touches(edges.table["hi"])]
    return Edges(chosen, edges.compared, edges.over_cap, edges.blocks_skipped, edges.largest_block)
