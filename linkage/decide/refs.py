"""Which record each ref belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from linkage.errors import MatchInputError
from linkage.threads import cores, each

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Progress = Callable[[int, int], None]

_PER_ENTRANCE = 4  # refs, on average: one look-up touches one or two cache lines
_MOST_PER_ENTRANCE = 64  # above, somebody chose the refs, and they are sorted in another way
_INNER = 14  # bits that tell the entrances of a part apart: a part is sorted inside a processor's cache
_MOST = 2**32 - 1  # refs


@dataclass(frozen=True, slots=True)
class RefIndex:
    """A table of refs, sorted. 20 bytes a ref, and one for its entrance.

    Attributes:
        halves: (k, 2) u8, the refs as two numbers each, ascending.
        record: (k,) i4, record of each.
        starts: (2**b + 1,) u4, where the refs of each prefix of b bits start, and the end.
        records: number of records.
        repeated: refs that occur more than once, each further one counted; a ref belongs to one record.
    """

    halves: U64
    record: I32
    starts: U32
    records: int
    repeated: int

    @classmethod
    def build(cls, refs: U8) -> RefIndex:
        """From (n, P, 16) u1; record i has the refs `refs[i]`."""
        return cls.read(lambda: [refs], len(refs), refs.shape[1])

    @classmethod
    def read(
        cls,
        parts: Callable[[], Iterable[U8]],
        records: int,
        passes: int,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> RefIndex:
        """From refs that come in parts, and twice the same.

        Args:
            parts: called twice; (k, P, 16) u1 each, together n.
            records: n.
            passes: P.
            threads: that sort; by default as many as there are processors.
            progress: called with (refs done, refs to do); each is gone through three times. May raise to cancel.

        Raises:
            MatchInputError: the parts are not n records, or differ from one time to the other; or too many refs.
        """
        from linkage.kernels.refs import count_refs, spread_refs

        size = records * passes
        if size > _MOST:
            raise MatchInputError("there are more refs than an index of refs can hold")
        bits = max(1, (size // _PER_ENTRANCE).bit_length())
        outer = max(1, bits - _INNER)
        counts = np.zeros(1 << outer, np.int64)
        tell = progress or (lambda done, total: None)
        for words in map(_words, parts()):
            count_refs(words, outer, counts)
            tell(int(counts.sum()), 3 * size)
        if int(counts.sum()) != size:
            raise MatchInputError("there are not as many refs as records")
        ends = np.cumsum(counts)
        at = ends - counts
        halves, record = np.empty((size, 2), np.uint64), np.empty(size, np.int32)
        seen = 0
        for words in map(_words, parts()):
            if not spread_refs(words, max(passes, 1), seen // max(passes, 1), outer, at, ends, halves, record):
                raise MatchInputError("the refs changed while they were read")
            seen += len(words)
            tell(size + seen, 3 * size)
        if seen != size:
            raise MatchInputError("the refs changed while they were read")
        made = cls(halves, record, np.empty((1 << bits) + 1, np.uint32), records, 0)
        made.starts[-1] = size
        bounds = np.concatenate(([0], ends)).tolist()
        repeated = 0
        sort = partial(made._sort, bounds)
        for part, again in enumerate(each(sort, range(1 << outer), threads or cores()), 1):
            repeated += again
            tell(2 * size + bounds[part], 3 * size)
        return cls(halves, record, made.starts, records, repeated)

    @property
    def bits(self) -> int:
        """Of a prefix that has an entrance."""
        return (len(self.starts) - 1).bit_length() - 1

    def _sort(self, bounds: Sequence[int], part: int) -> int:
        """Sort one part and fill its entrances → refs that are repeated."""
        from linkage.kernels.refs import sort_part

        begin, end = bounds[part], bounds[part + 1]
        inner = min(self.bits - 1, _INNER)
        first = part << inner
        again = int(sort_part(begin, end, first, inner, _MOST_PER_ENTRANCE, self.halves, self.record, self.starts))
        if again >= 0:
            return again
        halves = self.halves[begin:end]
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        halves[:] = halves[order]
        self.record[begin:end] = self.record[begin:end][order]
        prefix = halves[:, 0] >> np.uint64(64 - self.bits)
        self.starts[first : first + (1 << inner)] = begin + np.searchsorted(
            prefix, np.arange(first, first + (1 << inner), dtype=np.uint64)
        )
        return int((halves[1:] == halves[:-1]).all(axis=1).sum())

    def find(self, refs: U8) -> I64:
        """(m,) i8: record of each of (m, 16) u1, -1 where the ref is unknown (retired, for example)."""
        from linkage.kernels.refs import find_refs

        words = _words(refs)
        found = np.empty(len(words), np.int64)
        find_refs(words, self.bits, self.starts, self.halves, self.record, found)
        return found


def _words(refs: U8) -> U64:
    """(…, 16) u1 → (m, 2) u8, as they lie in memory."""
    whole = np.ascontiguousarray(refs)
    if not whole.flags.writeable:
        whole = whole.copy()  # compiled loops take what can be written
    return whole.reshape(-1, 16).view(np.uint64)
