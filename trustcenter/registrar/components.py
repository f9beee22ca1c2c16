"""What a window touches: the records that hang together with it by edges that matter, persons and verdicts.

Everything else is decided as it was. So a window costs what it touches, not what the study holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.store import Connection, select_in
from trustcenter.store.packed import Keys

from . import refs
from .pairs import Key
from .reading import Edges, Reader, Resolved, Setting, count, resolve

if TYPE_CHECKING:
    from linkage.decide import Parameters

_PAIRS: Final = "SELECT domain_a, serial_a, domain_b, serial_b, packed FROM pair"


def all_pairs(conn: Connection, setting: Setting, reader: Reader, edges: Edges) -> None:
    """Every stored edge of a study whose records are read."""
    for domain in setting.domains:
        cursor = conn.execute(f"{_PAIRS} WHERE domain_a = ?", (domain,))
        while rows := cursor.fetchmany(50_000):
            edges.add_stored(rows, reader.records.numbers)


class Component:
    """Grows from what a window brought until nothing hangs together with it any more.

    Attributes:
        inside: keys of the records that are decided anew, or that take part no more.
    """

    def __init__(self, reader: Reader, edges: Edges, table: NDArray[np.void], parameters: Parameters) -> None:
        self._conn, self._setting, self._reader = reader.conn, reader.setting, reader
        self._edges = edges
        self._parameters = parameters
        self._pairs: set[tuple[int, int, int, int]] = set()
        self.inside: set[Key] = set()
        self._window = _owners(self._conn, self._setting.domains, table)
        self._touched = {row[:2] for row in touched(self._conn, self._setting)}

    def grow(self) -> Resolved | None:
        """Read all of it; returns its edges, or None where it holds pairs of two sites without frozen weights."""
        wanted = self._seeds()
        while True:
            self._reader.some(wanted)
            wanted &= self._reader.records.numbers.keys()
            self.inside |= wanted
            partners = self._stored(wanted)
            self._reader.some(partners)
            found = resolve(self._edges, self._reader.records, self._reader.records.index(self._setting.passes))
            if not self._frozen(found):
                return None
            wanted = (self._next(found) | self._changed(wanted) | self._same_person(wanted)) - self.inside
            if not wanted:
                return found

    def _seeds(self) -> set[Key]:
        """What the window brought, what was touched, who came or left by consent, and what people decided about."""
        seeds = self._window | self._touched
        for domain in self._setting.domains:
            query = "SELECT serial FROM record WHERE domain = ? AND state = 'mapped'"
            mapped = {(domain, row[0]) for row in self._conn.execute(query, (domain,)).fetchall()}
            seeds |= mapped - self._reader.left_out
            query = "SELECT serial FROM record WHERE domain = ? AND state = 'linked' AND serial IN {values}"
            out = [serial for at, serial in self._reader.left_out if at == domain]
            seeds |= {(domain, row[0]) for row in select_in(self._conn, query, (domain,), out)}
        for a, b, _ in self._setting.verdicts:
            seeds |= {a, b}
        domains = set(self._setting.domains)
        return {key for key in seeds if key[0] in domains}

    def _stored(self, keys: Iterable[Key]) -> set[Key]:
        """Read the stored edges of records; returns whom they have them with."""
        rows: list[tuple[int, int, int, int, bytes]] = []
        by_domain: dict[int, list[int]] = {}
        for domain, serial in keys:
            by_domain.setdefault(domain, []).append(serial)
        for domain, serials in by_domain.items():
            for side in ("a", "b"):
                query = f"{_PAIRS} WHERE domain_{side} = ? AND serial_{side} IN {{values}}"
                for row in select_in(self._conn, query, (domain,), sorted(serials)):
                    if row[:4] not in self._pairs:
                        self._pairs.add(row[:4])
                        rows.append(row)
        partners = {key for row in rows for key in (row[:2], row[2:4])}
        self._reader.some(partners)
        self._edges.add_stored(rows, self._reader.records.numbers)
        return partners

    def _frozen(self, found: Resolved) -> bool:
        """Whether the weights of all pairs read so far are frozen."""
        sources = np.array([*self._reader.records.sources, -1])
        key = np.unique(np.stack((sources[found.first], sources[found.second]), axis=1), axis=0).tolist()
        known = self._parameters.known(self._setting.sites)
        return all((min(pair), max(pair)) in known for pair in key)

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

    def _changed(self, keys: set[Key]) -> set[Key]:
        """Whoever had an edge with a record whose refs changed, or that takes part no more."""
        records = self._reader.records
        lost = {key for key in keys if key in self._touched or not records.part[records.numbers[key]]}
        if not lost:
            return set()
        around = {key for pair in self._pairs for key in (pair[:2], pair[2:]) if pair[:2] in lost or pair[2:] in lost}
        return around & records.numbers.keys()

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


def _owners(conn: Connection, domains: Sequence[int], table: NDArray[np.void]) -> set[Key]:
    """Records of the refs of edges."""
    keys = Keys.of(np.concatenate((table["lo"], table["hi"])))
    return {
        (domain, serial)
        for domain, found in refs.holders(conn, domains, keys)
        for serial in np.unique(found["serial"]).tolist()
    }
