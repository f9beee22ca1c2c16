"""The edges that a window brought, by the pairs of records that they join, together with those stored of these pairs.

Whom a ref belongs to is asked once for all refs of the window. From then on records go by number and pairs by two of
them: what a window costs here follows its edges, not what the study holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.registrar.study import refs
from trustcenter.store import Connection, select_in
from trustcenter.store.packed import Keys

from .neighbours import PAIRS, Row, pairs_of
from .once import in_order
from .pairs import Key
from .reading import Setting

if TYPE_CHECKING:
    from linkage.decide import Parameters

I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
# Pairs to be kept: (k, 4) domain and serial of either record, (k,) edges of each, and the edges, pair by pair.
Kept: TypeAlias = tuple[I64, I64, NDArray[np.void]]

_SERIAL_BITS: Final = 48
_ROWS: Final = 50_000  # read at a time


class UnfrozenWeightsError(Exception):
    """Two sources that a window meets have no weights that are frozen: everything is decided."""


class Numbering:
    """Records of a study as single numbers, in the order of (domain, serial)."""

    def __init__(self, setting: Setting) -> None:
        self._domains = np.array(sorted(setting.domains), np.int64)
        self._sources = np.array([setting.domains.index(domain) for domain in self._domains.tolist()], np.int32)

    def of(self, domains: I64 | int, serials: I64) -> I64:
        """Numbers of records."""
        return np.searchsorted(self._domains, domains) << _SERIAL_BITS | serials

    def of_keys(self, keys: Iterable[Key]) -> I64:
        """Numbers of records given by keys."""
        table = np.array(list(keys), np.int64).reshape(-1, 2)
        return self.of(table[:, 0], table[:, 1])

    def columns(self, numbers: I64) -> I64:
        """(n, 2) domain and serial of each."""
        serials = numbers & ((1 << _SERIAL_BITS) - 1)
        return np.stack((self._domains[numbers >> _SERIAL_BITS], serials), axis=1)

    def keys(self, numbers: I64) -> list[Key]:
        """Keys of records given by numbers."""
        return list(map(tuple, self.columns(numbers).tolist()))

    def sources(self, numbers: I64) -> NDArray[np.int32]:
        """Number of each one's source."""
        found: NDArray[np.int32] = self._sources[numbers >> _SERIAL_BITS]
        return found


class Nearness:
    """Which pairs of records can matter to a decision: by their edges and their sources alone (`linkage.decide.near`).

    Attributes:
        whole: always all, because that cannot be told from stored edges: with two versions in force only the newest
            one that two records have in common counts.
    """

    def __init__(self, parameters: Parameters, setting: Setting, numbering: Numbering) -> None:
        self._parameters, self._sites, self._numbering = parameters, setting.sites, numbering
        self._frozen = np.zeros((len(setting.sites),) * 2, np.bool_)
        for one, other in parameters.known(setting.sites):
            self._frozen[one, other] = self._frozen[other, one] = True
        self.whole = len(setting.versions) > 1

    def of(self, first: I64, second: I64, counts: I64, sums: I64) -> Mask:
        """(m,) whether pairs of records with so many edges and such a sum of levels can matter; none without an edge.

        Raises:
            UnfrozenWeightsError: the weights of two of their sources are not frozen.
        """
        from linkage.decide import Pairs
        from linkage.decide.near import near

        sources = np.stack((self._numbering.sources(first), self._numbering.sources(second)), axis=1)
        if not self._frozen[sources[:, 0], sources[:, 1]].all():
            raise UnfrozenWeightsError
        found = np.zeros(len(first), np.bool_)
        some = np.flatnonzero(counts)
        ends = np.arange(2 * len(some), dtype=np.int32).reshape(-1, 2)
        pairs = Pairs(ends[:, 0], ends[:, 1], counts[some].astype(np.int32), sums[some].astype(np.int32))
        found[some] = near(self._parameters, pairs, sources[some].reshape(-1), self._sites)
        return found


@dataclass(frozen=True)
class Brought:
    """Pairs of records that a window brought edges of, with all edges of each, sorted by pair, each once.

    Attributes:
        first: (k,) numbers of the smaller records.
        second: (k,) of the greater ones.
        pair: (m,) which of the pairs each edge is of, ascending.
        table: (m,) EDGE.
        fresh: (m,) whether the window brought the edge, and it was not stored.
        rows: what is stored of these pairs.
        row_pairs: which of the pairs each row is.
    """

    first: I64
    second: I64
    pair: I64
    table: NDArray[np.void]
    fresh: Mask
    rows: list[Row]
    row_pairs: I64

    @classmethod
    def read(cls, conn: Connection, setting: Setting, numbering: Numbering, table: NDArray[np.void]) -> Brought:
        """Of a window's edges (m,) EDGE, those that join live records of two sources."""
        from linkage.rows import EDGE

        lo, hi = _owners(conn, setting, numbering, table)
        whole = (lo >= 0) & (hi >= 0)
        whole[whole] = numbering.sources(lo[whole]) != numbering.sources(hi[whole])
        ends = np.sort(np.stack((lo, hi), axis=1)[whole], axis=1)
        known = np.unique(ends)
        places = np.searchsorted(known, ends)
        codes, pair = np.unique(places[:, 0] * max(len(known), 1) + places[:, 1], return_inverse=True)
        first, second = (known[side] for side in np.divmod(codes, max(len(known), 1)))
        rows, row_pairs = _stored(conn, numbering, known, codes, first, second)
        counts = np.array([len(row[4]) // EDGE_BYTES for row in rows], np.int64)
        table = np.concatenate((np.frombuffer(b"".join(row[4] for row in rows), EDGE), table[whole]))
        pair = np.concatenate((np.repeat(row_pairs, counts), pair))
        fresh = np.arange(len(table)) >= counts.sum()
        order = in_order(table, pair, fresh)
        return cls(first, second, pair[order], table[order], fresh[order], rows, row_pairs)

    def matter(self, near: Nearness) -> Mask:
        """(k,) the pairs that can matter to a decision, or could before the window.

        Raises:
            UnfrozenWeightsError: as `Nearness.of`.
        """
        levels = self.table["level"].astype(np.int64)
        found = np.full(len(self.first), near.whole)
        for some in (np.ones(len(self.pair), np.bool_), ~self.fresh):
            counts = np.bincount(self.pair[some], minlength=len(self.first))
            sums = np.bincount(self.pair[some], levels[some], minlength=len(self.first)).astype(np.int64)
            found |= near.of(self.first, self.second, counts, sums)
        return found

    def changed(self, chosen: Mask, numbering: Numbering) -> Kept:
        """Those of the `chosen` (k,) pairs that got an edge."""
        got = np.bincount(self.pair[self.fresh], minlength=len(self.first)) > 0
        chosen = chosen & got
        mine = chosen[self.pair]
        counts = np.bincount(self.pair[mine], minlength=len(self.first))[chosen]
        keys = np.hstack([numbering.columns(side[chosen]) for side in (self.first, self.second)])
        return keys, counts, self.table[mine]


def stored(conn: Connection, keys: Iterable[Key]) -> Iterator[list[Row]]:
    """The stored pairs of some records, some at a time; a pair of two of them comes twice."""
    by_domain: dict[int, list[int]] = {}
    for domain, serial in keys:
        by_domain.setdefault(domain, []).append(serial)
    for domain, serials in by_domain.items():
        serials.sort()
        smaller = select_in(conn, f"{PAIRS} WHERE domain_a = ? AND serial_a IN {{values}}", (domain,), serials)
        for found in (smaller, pairs_of(conn, domain, serials)):
            while rows := list(islice(found, _ROWS)):
                yield rows


def columns(numbering: Numbering, rows: Sequence[Row]) -> tuple[I64, I64, I64, I64]:
    """Of stored pairs: numbers of their records, how many edges, and the sum of their levels."""
    from linkage.rows import EDGE

    ends = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
    counts = np.array([len(row[4]) // EDGE_BYTES for row in rows], np.int64)
    levels = np.frombuffer(b"".join(row[4] for row in rows), EDGE)["level"].astype(np.int64)
    sums = np.bincount(np.repeat(np.arange(len(rows)), counts), levels, minlength=len(rows)).astype(np.int64)
    return numbering.of(ends[:, 0], ends[:, 1]), numbering.of(ends[:, 2], ends[:, 3]), counts, sums


def _owners(conn: Connection, setting: Setting, numbering: Numbering, table: NDArray[np.void]) -> tuple[I64, I64]:
    """Records of the refs of edges, of either side; -1 where a ref is retired."""
    keys = Keys.of(np.concatenate((table["lo"], table["hi"])))
    owner = np.full(len(keys.first) + 1, -1, np.int64)  # the last for what is not found
    for domain, found in refs.holders(conn, setting.domains, keys):
        owner[keys.places(found["ref"])] = numbering.of(domain, found["serial"])
    return owner[keys.places(table["lo"])], owner[keys.places(table["hi"])]


def _stored(
    conn: Connection, numbering: Numbering, known: I64, codes: I64, first: I64, second: I64
) -> tuple[list[Row], I64]:
    """What is stored of some pairs, and which of them each row is.

    A new record has pairs with many old ones: they are looked for by the record that has more of them here.
    """
    often = np.bincount(np.searchsorted(known, np.concatenate((first, second))), minlength=len(known))
    by_first = often[np.searchsorted(known, first)] >= often[np.searchsorted(known, second)]
    asked = np.unique(np.where(by_first, first, second))
    found: dict[int, Row] = {}
    for rows in stored(conn, numbering.keys(asked)):
        ends = columns(numbering, rows)[:2]
        places = [np.searchsorted(known, side) for side in ends]
        there = np.ones(len(rows), np.bool_)
        for place, side in zip(places, ends, strict=True):
            there &= known[np.minimum(place, len(known) - 1)] == side
        code = places[0] * len(known) + places[1]
        at = np.minimum(np.searchsorted(codes, code), len(codes) - 1)
        there &= codes[at] == code
        found.update((int(at[n]), rows[n]) for n in np.flatnonzero(there))
    return list(found.values()), np.array(list(found), np.int64)
