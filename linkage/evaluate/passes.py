"""What each pass contributes.

It needs rows and maps together, so only who holds both can look: in a test, or where the sources are matched without
a service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linkage.decide import RefIndex
from linkage.evaluate.model import PassUse
from linkage.rows import as_words

I8 = NDArray[np.int64]


class Rows(Protocol):
    """A source with its rows and refs at hand."""

    @property
    def rows(self) -> NDArray[np.void]:
        """ROW of one source."""

    @property
    def refs(self) -> NDArray[np.uint8]:
        """(n, P, 16) u1, refs of its records."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Such a source.

    Attributes:
        rows: ROW.
        refs: (n, P, 16) u1.
    """

    rows: NDArray[np.void]
    refs: NDArray[np.uint8]


def true_pairs(persons: NDArray[np.int64], sources: NDArray[np.int64]) -> tuple[I8, I8]:
    """All pairs of records of one person and different sources, the smaller record first.

    Args:
        persons: (n,) person of each record.
        sources: (n,) source of each record.
    """
    order = np.argsort(persons, kind="stable")
    sorted_persons = persons[order]
    first, second = [], []
    step = 1
    while True:  # records that lie `step` apart in the sorted list and are of one person
        same = np.flatnonzero(sorted_persons[step:] == sorted_persons[:-step])
        if not len(same):
            break
        a, b = order[same], order[same + step]
        apart = sources[a] != sources[b]
        first.append(np.minimum(a, b)[apart])
        second.append(np.maximum(a, b)[apart])
        step += 1
    none = np.zeros(0, np.int64)
    return np.concatenate([none, *first]), np.concatenate([none, *second])


def pass_use(sources: Sequence[Rows], names: Sequence[str], a: I8, b: I8) -> list[PassUse]:
    """Blocks of every pass, and which of the given pairs share one; the pass that adds most pairs first.

    Args:
        sources: with their rows; records are numbered over all of them.
        names: of the passes.
        a: smaller record of each pair looked for.
        b: larger record.
    """
    index = RefIndex.build(np.concatenate([s.refs for s in sources]))
    owner = np.repeat(np.arange(len(sources)), [len(s.refs) for s in sources])
    shared = np.zeros((len(names), len(a)), np.bool_)
    told = []
    for number in range(len(names)):
        rows = np.concatenate([s.rows[s.rows["pass"] == number] for s in sources])
        record = index.find(rows["ref"])
        block = _blocks(rows["token"])
        shared[number] = _meet(record, block, a, b, index.records)
        told.append(_sizes(block, owner[record]))
    done: list[int] = []
    covered = np.zeros(len(a), np.bool_)
    use = []
    while len(done) < len(names):
        left = [p for p in range(len(names)) if p not in done]
        best = max(left, key=lambda p: (int((shared[p] & ~covered).sum()), int(shared[p].sum()), -p))
        done.append(best)
        covered |= shared[best]
        blocks, in_two, largest, sizes = told[best]
        use.append(
            PassUse(
                number=best,
                name=names[best],
                blocks=blocks,
                shared=in_two,
                largest=largest,
                sizes=sizes,
                pairs=int(shared[best].sum()),
                together=int(covered.sum()),
            )
        )
    return use


def _blocks(tokens: NDArray[np.uint8]) -> I8:
    """(k,) number of each token."""
    high, low = as_words(tokens)
    order = np.lexsort((low, high))
    new = np.ones(len(order), np.int64)
    new[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    block = np.empty(len(order), np.int64)
    block[order] = np.cumsum(new) - 1
    return block


def _meet(record: I8, block: I8, a: I8, b: I8, records: int) -> NDArray[np.bool_]:
    """(pairs,) whether the two records have rows in one block; a record may have several rows in a pass."""
    order = np.argsort(record, kind="stable")
    record, block = record[order], block[order]
    width = int(block.max(initial=0)) + 1
    known = np.unique(record * width + block)
    starts = np.searchsorted(record, np.arange(records + 1))
    met = np.zeros(len(a), np.bool_)
    for slot in range(int(np.diff(starts).max(initial=0))):
        at = starts[a] + slot
        has = at < starts[a + 1]
        wanted = b[has] * width + block[at[has]]
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        met[has] |= known[place] == wanted
    return met


def _sizes(block: I8, owner: I8) -> tuple[int, int, int, list[int]]:
    """Blocks, blocks with two sources, rows of the largest, and rows by size of their block (1, 2, 3-4, 5-8, …)."""
    sizes = np.bincount(block) if len(block) else np.zeros(0, np.int64)
    if not len(sizes):
        return 0, 0, 0, []
    low, high = np.full(len(sizes), np.iinfo(np.int64).max), np.full(len(sizes), -1)
    np.minimum.at(low, block, owner)
    np.maximum.at(high, block, owner)
    bucket = np.ceil(np.log2(sizes)).astype(np.int64)
    rows = np.bincount(bucket, weights=sizes).astype(np.int64)
    return len(sizes), int((low != high).sum()), int(sizes.max()), rows.tolist()
