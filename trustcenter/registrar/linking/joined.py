"""All edges of a study by the pairs of records that they join, in a run over everything.

Whom the refs of an edge belong to is looked up once. From then on an edge is its place in its file and two numbers:
edges are sorted by pair some at a time, so memory does not follow them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.store.packed import take

from .changes import Changes
from .once import in_order
from .subjects import Subjects
from .whole import Whole

if TYPE_CHECKING:
    from linkage.decide import Pairs, RefIndex

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Edges = NDArray[np.void]

_EDGES: Final = 500_000  # looked up, and sorted, at a time
_NOWHERE: Final = 2**16 - 1  # instead of a slice: of an edge whose records are not both there


def subjects(whole: Whole, edges: Path, changes: Changes) -> Subjects:
    """The records that take part, with their pairs; the edges of all pairs that changed are told to `changes`.

    Args:
        whole: what was read of the study.
        edges: file of the run's edges (M5), each of two refs once.
        changes: of the run.
    """
    part, columns = whole.columns.part, whole.columns
    pairs = _Joined.of(whole, edges).pairs(changes)
    place = np.cumsum(part, dtype=np.int32) - np.int32(1)
    return Subjects(
        keys=whole.keys(part),
        sources=whole.sources[part],
        tags=columns.tags[part],
        persons=columns.persons[part],
        quality=columns.quality[part],
        pairs=type(pairs)(place[pairs.a], place[pairs.b], pairs.c, pairs.s),
        gone=whole.keys(~part),
        gone_persons=columns.persons[~part],
    )


@dataclass(frozen=True)
class _Found:
    """What comes of the edges of some pairs of records.

    Attributes:
        keys: (k, 4) of the pairs that changed.
        counts: (k,) edges of each, 0 where the last one was lost.
        edges: pair by pair.
        pairs: of records that take part: a, b, edges and sum of levels.
    """

    keys: I64
    counts: I64
    edges: Edges
    pairs: tuple[I32, I32, I32, I32]


@dataclass(frozen=True)
class _Joined:
    """Edges with the numbers of their records.

    Attributes:
        whole: what was read of the study.
        stored: (s,) EDGE.
        fresh: (f,) EDGE, that the run brought.
        first: (s + f,) smaller record of each edge; -1: not both are there, or they are of one source.
        second: (s + f,) greater record.
        newest: (s + f,) whether it is of the newest version of the study that both records have refs of; None: all.
        lost: (k, 2) pairs of records that had an edge whose ref is retired.
    """

    whole: Whole
    stored: Edges
    fresh: Edges
    first: I32
    second: I32
    newest: Mask | None
    lost: I64

    @classmethod
    def of(cls, whole: Whole, edges: Path) -> _Joined:
        """Look up whom the refs belong to."""
        from linkage.threads import cores, each

        stored, fresh = _edges(whole.stored), _edges(edges)
        total = len(stored) + len(fresh)
        versions = _Versions.of(whole)
        index = _index(whole)
        owners, sources = np.append(whole.owners, np.int32(-1)), np.append(whole.sources, np.int32(-1))
        first, second = np.empty(total, np.int32), np.empty(total, np.int32)
        newest = None if versions is None else np.empty(total, np.bool_)

        def look(work: tuple[Edges, int, int]) -> None:
            table, start, to = work
            some = np.array(table[start : start + _EDGES])
            groups = [index.find(some[side]) for side in ("lo", "hi")]
            one, other = (owners[side] for side in groups)
            there = (one >= 0) & (other >= 0) & (sources[one] != sources[other])
            here = slice(to, to + len(some))
            first[here] = np.where(there, np.minimum(one, other), -1)
            second[here] = np.maximum(one, other)
            if versions is not None and newest is not None:
                newest[here] = versions.newest(groups[0], one, other)

        works = [
            (table, start, base + start)
            for table, base in ((stored, 0), (fresh, len(stored)))
            for start in range(0, len(table), _EDGES)
        ]
        for _ in each(look, works, cores()):
            pass
        dead = (first[: len(stored)] < 0) & (whole.known >= 0).all(axis=1)
        lost = np.unique(np.sort(whole.known[dead], axis=1), axis=0).astype(np.int64)
        return cls(whole, stored, fresh, first, second, newest, lost)

    def pairs(self, changes: Changes) -> Pairs:
        """Pairs of records that take part, by the numbers of all records; what changed is told on the way."""
        from linkage.decide import Pairs
        from linkage.threads import cores, each

        there = self.first >= 0
        degree = np.bincount(self.first[there], minlength=len(self.whole))
        slices = ((np.cumsum(degree) - degree) // _EDGES).astype(np.uint16)
        of = np.full(len(self.first), _NOWHERE, np.uint16)
        of[there] = slices[self.first[there]]
        order = np.argsort(of, kind="stable")  # numbers of 16 bits are sorted digit by digit
        count = int(slices[-1]) + 1 if len(slices) else 0
        bounds = np.searchsorted(of, np.arange(count + 1, dtype=np.uint16), sorter=order)
        lost = slices[self.lost[:, 0]]

        def sort(number: int) -> _Found:
            at = order[bounds[number] : bounds[number + 1]]
            return self._sorted(at, self.lost[lost == number])

        made: list[tuple[I32, I32, I32, I32]] = [tuple(np.empty(0, np.int32) for _ in range(4))]  # type: ignore[list-item]
        for begin in range(0, count, cores()):  # so that no more than these are in memory
            for found in each(sort, range(begin, min(begin + cores(), count)), cores()):
                changes.add(found.keys, found.counts, found.edges)
                made.append(found.pairs)
        return Pairs(*(np.concatenate(column) for column in zip(*made, strict=True)))

    def _sorted(self, at: I64, lost: I64) -> _Found:
        """The edges at some places, by pair, each once; those of a pair are all among them."""
        n, split = len(self.whole), int(np.searchsorted(at, len(self.stored)))
        table = np.concatenate((take(self.stored, at[:split]), take(self.fresh, at[split:] - len(self.stored))))
        code = self.first[at].astype(np.int64) * n + self.second[at]
        order = in_order(table, code, np.arange(len(at)) >= split)
        table, code, fresh = take(table, order), code[order], order >= split
        starts = np.flatnonzero(np.diff(code, prepend=-1))
        pairs, counts = code[starts], np.diff(np.append(starts, len(code)))
        gone = lost[:, 0] * n + lost[:, 1]
        told = np.isin(pairs, gone)
        told |= np.logical_or.reduceat(fresh, starts) if len(starts) else told
        codes = np.union1d(pairs[told], gone) if len(gone) else pairs[told]
        told_counts = np.zeros(len(codes), np.int64)
        told_counts[np.searchsorted(codes, pairs[told])] = counts[told]
        keys = np.hstack([self.whole.keys(side) for side in np.divmod(codes, n)])
        chosen = table if told.all() else take(table, np.flatnonzero(np.repeat(told, counts)))
        levels, newest = table["level"].astype(np.int32), np.ones(len(table), np.int32)
        if self.newest is not None:
            newest = self.newest[at[order]].astype(np.int32)
        return _Found(keys, told_counts, chosen, self._counted(pairs, starts, newest, levels))

    def _counted(self, codes: I64, starts: I64, newest: I32, levels: I32) -> tuple[I32, I32, I32, I32]:
        """Pairs of records that take part: smaller and greater one, edges that count, sum of their levels."""
        first, second = (side.astype(np.int32) for side in np.divmod(codes, len(self.whole)))
        counts, sums = (
            np.add.reduceat(of, starts, dtype=np.int32) if len(starts) else of for of in (newest, levels * newest)
        )
        part = self.whole.columns.part
        some = part[first] & part[second] & (counts > 0)
        return first[some], second[some], counts[some], sums[some]


@dataclass(frozen=True)
class _Versions:
    """Which of several versions in force each record has refs of.

    Attributes:
        of_group: (g + 1,) place of each group's version; the last for none.
        held: (n + 1, versions); the last for nobody.
    """

    of_group: I64
    held: Mask

    @classmethod
    def of(cls, whole: Whole) -> _Versions | None:
        """None if there is one version only."""
        versions, places = np.unique(whole.versions, return_inverse=True)
        if len(versions) < 2:
            return None
        held = np.zeros((len(whole) + 1, len(versions)), np.bool_)
        held[whole.owners, places] = True
        return cls(np.append(places, len(versions) - 1), held)

    def newest(self, group: I64, one: I32, other: I32) -> Mask:
        """(m,) whether edges are of the newest version that both records have; tokens of two versions never meet."""
        found = np.ones(len(group), np.bool_)
        for place in range(self.held.shape[1]):
            found &= ~(self.held[one, place] & self.held[other, place] & (self.of_group[group] < place))
        return found


def _index(whole: Whole) -> RefIndex:
    """The group of each ref."""
    from linkage.decide import RefIndex

    passes, groups = whole.setting.passes, len(whole.owners)
    if not groups:
        return RefIndex.build(np.empty((0, passes, 16), np.uint8))
    # "c": pages are copied where they are written to. Nobody does, but compiled loops take what can be written.
    packed = np.memmap(whole.refs, np.uint8, "c", shape=(groups, passes, 16))
    return RefIndex.read(lambda: (packed[at : at + _EDGES] for at in range(0, groups, _EDGES)), groups, passes)


def _edges(path: Path) -> Edges:
    """(m,) EDGE of a file."""
    from linkage.rows import EDGE

    return np.asarray(np.memmap(path, EDGE, "r")) if path.stat().st_size else np.empty(0, EDGE)
