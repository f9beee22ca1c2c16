"""Pairs whose edges a run changed, in files between the worker that found them and the transactions that keep them.

Keeping them is no decision: edges are facts, and a run that fails later leaves no more than those. So they are kept
while the worker still decides.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.store import Connection, insert_rows, select_in

from . import neighbours, pairs
from .neighbours import Row
from .pairs import Key

I64 = NDArray[np.int64]

_FILES: Final = ("keys", "ends", "edges")
_COMPLETE: Final = "complete"
_SLICE: Final = 50_000  # rows written in one transaction: others have their turn in between
_AT_ONCE: Final = 1_000_000  # pairs


class Slice(NamedTuple):
    """Some rows of the lists of neighbours, or of the pairs."""

    lists: bool
    start: int
    end: int


class Changes:
    """A run's, in a folder.

    Attributes:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bytes = 0  # of the edges that were added

    # --- by the worker -----------------------------------------------------------------------------

    def begin(self, study: str, departures: int) -> None:
        """Note how often records had left linkage in the snapshot that a run reads."""
        (self.folder / "departures").write_text(f"{departures} {study}")

    def add(self, keys: I64, counts: I64, edges: NDArray[np.void]) -> None:
        """Some pairs: (m, 4) their keys, (m,) edges of each (0: the pair goes), and the edges, pair by pair."""
        ends = self._bytes + np.cumsum(counts) * EDGE_BYTES
        self._bytes += len(edges) * EDGE_BYTES
        for name, table in zip(_FILES, (keys, ends, edges), strict=True):
            with (self.folder / name).open("ab") as file:
                np.ascontiguousarray(table).tofile(file)

    def complete(self) -> None:
        """Say that all are there."""
        for name in _FILES:
            (self.folder / name).touch()
        size = (self.folder / "keys").stat().st_size // 32
        keys = np.memmap(self.folder / "keys", np.int64, "r", shape=(size, 4)) if size else np.empty((0, 4), np.int64)
        greater = np.array(keys[:, 2:])
        order = np.lexsort((greater[:, 1], greater[:, 0]))  # the smaller records of one stay in their order
        greater = greater[order]
        firsts = np.flatnonzero((np.diff(greater, axis=0, prepend=-1) != 0).any(axis=1))
        greater[firsts].tofile(self.folder / "greater")
        np.append(firsts, size).tofile(self.folder / "firsts")
        with (self.folder / "names").open("wb") as file:
            for start in range(0, size, _AT_ONCE):
                np.ascontiguousarray(keys[order[start : start + _AT_ONCE], :2]).tofile(file)
        (self.folder / _COMPLETE).touch()

    # --- by the service ----------------------------------------------------------------------------

    @property
    def whole(self) -> bool:
        """Whether all are there."""
        return (self.folder / _COMPLETE).exists()

    def slices(self) -> list[Slice]:
        """What is to be kept, in its order: a pair is found only by the list of its greater record."""
        lists, rows = ((self.folder / name).stat().st_size // width for name, width in (("greater", 16), ("ends", 8)))
        return [
            Slice(of, start, min(start + _SLICE, total))
            for of, total in ((True, lists), (False, rows))
            for start in range(0, total, _SLICE)
        ]

    def keep(self, conn: Connection, part: Slice, mark: bytes) -> None:
        """Write one slice; what is of records that left meanwhile is not written. Twice is harmless.

        The run decides with records that left since it read: whoever had an edge with one is touched for the next run.
        A pair without edges goes, and with it what leads from one record to the other: should this run not come to be
        applied, the next one is led by the `mark`.
        """
        if part.lists:
            self._keep_lists(conn, part)
        else:
            self._keep_pairs(conn, part, mark)

    def _keep_lists(self, conn: Connection, part: Slice) -> None:
        greater, names = self._read_lists(part)
        if self._left(conn):
            there = _there(conn, {*map(tuple, greater.tolist())})
            some = [at for at, key in enumerate(greater.tolist()) if tuple(key) in there]
            greater, names = greater[some], [names[at] for at in some]
        bounds = np.flatnonzero(np.diff(greater[:, 0], prepend=-1, append=-1)).tolist()
        for start, end in pairwise(bounds):
            neighbours.add(conn, int(greater[start, 0]), greater[start:end, 1].tolist(), names[start:end])

    def _keep_pairs(self, conn: Connection, part: Slice, mark: bytes) -> None:
        rows = self.read(part)
        kept = [row for row in rows if row[4]]
        parted = {end for row in rows if not row[4] for end in (row[:2], row[2:4])}
        bereft: set[Key] = set()
        if self._left(conn):
            there = _there(conn, {end for row in rows for end in (row[:2], row[2:4])})
            lost = [row for row in kept if row[:2] not in there or row[2:4] not in there]
            kept = [row for row in kept if row[:2] in there and row[2:4] in there]
            bereft = {end for row in lost for end in (row[:2], row[2:4])} & there
            parted &= there
        conflict = "ON CONFLICT (domain_a, serial_a, domain_b, serial_b) DO UPDATE SET packed = excluded.packed"
        insert_rows(conn, "pair", kept, conflict)
        if len(kept) < len(rows):
            stays = {row[:4] for row in kept}
            gone = [row[:4] for row in rows if row[:4] not in stays]
            query = "DELETE FROM pair WHERE domain_a = ? AND serial_a = ? AND domain_b = ? AND serial_b = ?"
            conn.executemany(query, gone)
            neighbours.remove(conn, gone)
        conn.executemany(
            "INSERT INTO touched VALUES (?,?,?) ON CONFLICT (domain, serial) DO NOTHING",
            [(*key, mark) for key in sorted(parted)],
        )
        pairs.touch_keys(conn, list(bereft))

    def _left(self, conn: Connection) -> bool:
        """Whether any record has left linkage since the run read."""
        before, study = (self.folder / "departures").read_text().split(" ", 1)
        return pairs.departures(conn, study) != int(before)

    def read(self, part: Slice) -> list[Row]:
        """The pairs of a slice."""
        start, end = part.start, part.end
        keys = self._table("keys", start, end, 4)
        ends = self._table("ends", max(start - 1, 0), end, 1)[:, 0].tolist()
        bounds = ends if start else [0, *ends]
        with (self.folder / "edges").open("rb") as file:
            file.seek(bounds[0])
            whole = file.read(bounds[-1] - bounds[0])
        packed = [whole[begin - bounds[0] : stop - bounds[0]] for begin, stop in pairwise(bounds)]
        return list(zip(*keys.T.tolist(), packed, strict=True))

    def _read_lists(self, part: Slice) -> tuple[I64, list[bytes]]:
        """(k, 2) greater records, and the smaller ones of each as they are named."""
        firsts = self._table("firsts", part.start, part.end + 1, 1)[:, 0]
        packed = neighbours.names(self._table("names", int(firsts[0]), int(firsts[-1]), 2))
        bounds = ((firsts - firsts[0]) * neighbours.NAME_BYTES).tolist()
        return self._table("greater", part.start, part.end, 2), [packed[a:b] for a, b in pairwise(bounds)]

    def _table(self, name: str, start: int, end: int, width: int) -> I64:
        """Some rows of a file of numbers."""
        some = np.fromfile(self.folder / name, np.int64, width * (end - start), offset=8 * width * start)
        return some.reshape(-1, width)


def _there(conn: Connection, keys: set[Key]) -> set[Key]:
    """Those of the records that take part in linkage: they exist, and are superseded by no other."""
    found: set[Key] = set()
    for domain in {key[0] for key in keys}:
        query = "SELECT serial FROM record WHERE domain = ? AND state <> 'unlinked' AND serial IN {values}"
        serials = [serial for at, serial in keys if at == domain]
        found.update((domain, row[0]) for row in select_in(conn, query, (domain,), serials))
    return found
