"""What a window touches: the records that hang together with it by edges that matter, persons and verdicts.

Everything else is decided as it was. So a window costs what it touches, not what the study holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trustcenter.store import Connection, select_in

from .brought import Brought, Kept, Nearness, Numbering, UnfrozenWeightsError, columns, stored
from .neighbours import Row
from .pairs import Key
from .reading import Edges, Reader, Resolved, Setting, count, resolve

if TYPE_CHECKING:
    from linkage.decide import Parameters


class Component:
    """Grows from what a window brought until nothing hangs together with it any more.

    Attributes:
        inside: keys of the records that are decided anew, or that take part no more.
        aside: pairs with new edges that can matter to no decision: they are kept, and that is all.
    """

    def __init__(self, reader: Reader, table: NDArray[np.void], parameters: Parameters) -> None:
        self._conn, self._setting, self._reader = reader.conn, reader.setting, reader
        self._edges = Edges()
        self._parameters = parameters
        self._pairs: set[tuple[int, int, int, int]] = set()
        self.inside: set[Key] = set()
        self._numbering = Numbering(self._setting)
        self._near = Nearness(parameters, self._setting, self._numbering)
        self._touched = {row[:2] for row in touched(self._conn, self._setting)}
        # Of what is stored with these some may be dead: their pairs are looked at ref by ref.
        self._doubtful = set(self._touched)
        self._brought = Brought.read(self._conn, self._setting, self._numbering, table)
        self.aside: Kept | None = None

    def grow(self) -> Resolved | None:
        """Read all of it; returns its edges, or None where it meets two sites without frozen weights."""
        try:
            return self._grow()
        except UnfrozenWeightsError:
            return None

    def _grow(self) -> Resolved:
        wanted = self._seeds()  # first: it says which records are doubtful
        wanted |= self._met()
        while True:
            self._reader.some(wanted)
            wanted &= self._reader.records.numbers.keys()
            self.inside |= wanted
            self._stored(wanted)
            found = resolve(self._edges, self._reader.records, self._reader.records.index(self._setting.passes))
            wanted = (self._next(found) | self._changed(wanted) | self._same_person(wanted)) - self.inside
            if not wanted:
                return found

    def _seeds(self) -> set[Key]:
        """Who came, what was touched, who came or left by consent, and what people decided about."""
        seeds = set(self._touched)
        for domain in self._setting.domains:
            query = "SELECT serial FROM record WHERE domain = ? AND state = 'mapped' AND decoy = 0"
            mapped = {(domain, row[0]) for row in self._conn.execute(query, (domain,)).fetchall()}
            self._doubtful |= mapped
            seeds |= mapped - self._reader.left_out
            query = "SELECT serial FROM record WHERE domain = ? AND state = 'linked' AND serial IN {values}"
            out = [serial for at, serial in self._reader.left_out if at == domain]
            seeds |= {(domain, row[0]) for row in select_in(self._conn, query, (domain,), out)}
        for a, b, _ in self._setting.verdicts:
            seeds |= {a, b}
        domains = set(self._setting.domains)
        return {key for key in seeds if key[0] in domains}

    def _met(self) -> set[Key]:
        """Take the edges that the window brought; returns the records of the pairs among them that can matter."""
        brought, numbering = self._brought, self._numbering
        matter = brought.matter(self._near)
        doubtful = numbering.of_keys(self._doubtful)
        chosen = np.isin(brought.first, doubtful) | np.isin(brought.second, doubtful)
        chosen &= np.isin(np.arange(len(chosen)), brought.row_pairs)
        chosen |= matter
        self.aside = brought.changed(~chosen, numbering)
        self._edges.add_fresh(brought.table[chosen[brought.pair] & brought.fresh])
        ends = np.unique(np.concatenate((brought.first[chosen], brought.second[chosen])))
        self._reader.some(numbering.keys(ends))
        self._take([row for row, kept in zip(brought.rows, chosen[brought.row_pairs], strict=True) if kept])
        return set(numbering.keys(np.unique(np.concatenate((brought.first[matter], brought.second[matter])))))

    def _stored(self, keys: set[Key]) -> None:
        """Read the stored edges of records: what can matter, and of records that are lost or doubtful all."""
        whole = self._numbering.of_keys(self._lost(keys) | (self._doubtful & keys))
        for rows in stored(self._conn, keys):
            first, second, counts, sums = columns(self._numbering, rows)
            chosen = self._near.of(first, second, counts, sums) | self._near.whole
            chosen |= np.isin(first, whole) | np.isin(second, whole)
            self._take([rows[n] for n in np.flatnonzero(chosen).tolist()])

    def _take(self, rows: Sequence[Row]) -> None:
        fresh = {row[:4]: row for row in rows if row[:4] not in self._pairs}
        self._pairs |= fresh.keys()
        self._reader.some({key for pair in fresh for key in (pair[:2], pair[2:])})
        self._edges.add_stored(list(fresh.values()), self._reader.records.numbers)

    def _next(self, found: Resolved) -> set[Key]:
        """Records that have an edge that matters with one inside."""
        from linkage.decide.near import near, only

        records = self._reader.records
        pairs = count(found, records)
        sources = np.array(records.sources, np.int32)
        pairs = only(pairs, near(self._parameters, pairs, sources, self._setting.sites))
        inside = np.zeros(len(records.keys), np.bool_)
        inside[[records.numbers[key] for key in self.inside]] = True
        reached = np.concatenate((pairs.b[inside[pairs.a]], pairs.a[inside[pairs.b]]))
        return {records.keys[number] for number in np.unique(reached).tolist()}

    def _lost(self, keys: set[Key]) -> set[Key]:
        """Records whose refs changed, or that take part no more."""
        records = self._reader.records
        return {key for key in keys if key in self._touched or not records.part[records.numbers[key]]}

    def _changed(self, keys: set[Key]) -> set[Key]:
        """Whoever had an edge with a record that is lost."""
        lost = self._lost(keys)
        if not lost:
            return set()
        around = {key for pair in self._pairs for key in (pair[:2], pair[2:]) if pair[:2] in lost or pair[2:] in lost}
        return around & self._reader.records.numbers.keys()

    def _same_person(self, keys: set[Key]) -> set[Key]:
        """All records of the persons of some."""
        records = self._reader.records
        persons = {person for key in keys if (person := records.persons[records.numbers[key]]) is not None}
        query = "SELECT domain, serial FROM record WHERE person IN {values}"
        return {(row[0], row[1]) for row in select_in(self._conn, query, (), sorted(persons))}


def touched(conn: Connection, setting: Setting) -> list[tuple[int, int, bytes]]:
    """Records that something happened to since the last applied run, with their marks."""
    found = []
    for domain in setting.domains:
        rows = conn.execute("SELECT domain, serial, mark FROM touched WHERE domain = ?", (domain,)).fetchall()
        found += [(row[0], row[1], bytes(row[2])) for row in rows]
    return found
