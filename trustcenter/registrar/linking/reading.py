"""What a decision reads of a study: what it rests on, and records, refs and edges that hang together with a window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from trustcenter.messages import api
from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.registrar.doubts import clearing_tasks
from trustcenter.store import Connection, select_in

from . import calibrations
from .once import in_order
from .pairs import Key

if TYPE_CHECKING:
    from linkage.decide import Pairs, RefIndex

I64 = NDArray[np.int64]
RECORD: Final = (
    "SELECT r.serial, r.state, r.decoy, e.status, e.tag, r.person, r.quality FROM record r"
    " JOIN entry e ON e.domain = r.domain AND e.serial = r.serial WHERE r.domain = ?"
)
REFS: Final = "SELECT serial, version, refs FROM record_refs WHERE domain = ?"
_GROUPS: Final = 10_000  # groups of refs read at a time


@dataclass(frozen=True)
class Setting:
    """What a decision rests on besides records and edges."""

    study: str
    schema: str
    passes: int
    bounds: tuple[float, float]  # posteriors between which a pair goes to clearing
    careful: bool  # twins and changed surnames go there as well
    calibrations: tuple[bytes, ...]  # tables of sites that the next estimate of weights takes in
    sites: tuple[str, ...]
    domains: tuple[int, ...]
    deduplicated: tuple[bool, ...]
    verdicts: tuple[tuple[Key, Key, bool], ...]  # of people
    versions: tuple[int, ...]  # of the study, in force

    @classmethod
    def read(cls, conn: Connection, study: str) -> Setting:
        """Of a study."""
        schema, passes, stored = conn.execute(
            "SELECT schema, passes, settings FROM study WHERE name = ?", (study,)
        ).fetchone()
        settings = msgspec.json.decode(stored or b"{}", type=api.StudySettings)
        participants = conn.execute(
            "SELECT site, domain, deduplicated FROM participant WHERE study = ? ORDER BY site", (study,)
        ).fetchall()
        return cls(
            study=study,
            schema=schema,
            passes=passes,
            bounds=(settings.lower, settings.upper),
            careful=bool(settings.careful),  # a study from before there was a choice: no
            calibrations=tuple(calibrations.held(conn, study)) if settings.calibration == "sites" else (),
            sites=tuple(row[0] for row in participants),
            domains=tuple(row[1] for row in participants),
            deduplicated=tuple(bool(row[2]) for row in participants),
            verdicts=tuple(clearing_tasks.verdicts(conn, study)),
            versions=tuple(
                row[0]
                for row in conn.execute(
                    "SELECT version FROM study_version WHERE study = ? AND ended IS NULL ORDER BY version", (study,)
                )
            ),
        )


@dataclass
class Records:
    """Records that were read, numbered from 0 in the order in which they came.

    Attributes:
        keys: of each.
        sources: number of each one's source.
        tags: keyed lookup tag of each one's record number; empty where the record takes no part.
        part: whether each takes part: has refs, is no decoy, alive, permitted.
        persons: of each, as it stands.
        qualities: of each, as it stands.
        numbers: of keys.
        owners: record of each group of P refs.
        versions: of the study, of each group: a record may have refs of two versions at a time.
        refs: the groups, packed.
    """

    keys: list[Key] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    tags: list[bytes] = field(default_factory=list)
    part: list[bool] = field(default_factory=list)
    persons: list[bytes | None] = field(default_factory=list)
    qualities: list[float | None] = field(default_factory=list)
    numbers: dict[Key, int] = field(default_factory=dict)
    owners: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    refs: bytearray = field(default_factory=bytearray)

    def index(self, passes: int) -> RefIndex:
        """Which group each ref is in."""
        from linkage.decide import RefIndex

        # Of a bytearray, because the kernel that sorts them takes writable arrays only.
        return RefIndex.build(np.frombuffer(self.refs, np.uint8).reshape(len(self.owners), passes, 16))


class Reader:
    """Reads records of a study that a window touches into `records`, each once."""

    def __init__(self, conn: Connection, setting: Setting, left_out: frozenset[Key]) -> None:
        self.conn = conn
        self.setting = setting
        self.left_out = left_out
        self.records = Records()
        self._source = {domain: number for number, domain in enumerate(setting.domains)}
        self._able: set[int] = set()  # to take part, if they have refs

    def some(self, keys: Iterable[Key]) -> None:
        """These records, as far as they are there and not read yet."""
        wanted: dict[int, list[int]] = {}
        for domain, serial in set(keys) - self.records.numbers.keys():
            wanted.setdefault(domain, []).append(serial)
        for domain, serials in sorted(wanted.items()):
            serials.sort()
            rows = select_in(self.conn, f"{RECORD} AND r.serial IN {{values}}", (domain,), serials)
            self._take(domain, rows)
            found = select_in(self.conn, f"{REFS} AND serial IN {{values}}", (domain,), serials)
            self._refs(domain, sorted(set(found)))

    def _take(
        self, domain: int, rows: Iterable[tuple[int, str, int, int, bytes | None, bytes | None, float | None]]
    ) -> None:
        held, source = self.records, self._source[domain]
        for serial, state, decoy, status, tag, person, quality in rows:
            key = (domain, serial)
            if key in held.numbers:
                continue
            held.numbers[key] = len(held.keys)
            held.keys.append(key)
            held.sources.append(source)
            held.tags.append(bytes(tag) if tag is not None else b"")
            # Decoys are known here only, and never joined. Without refs a record is dormant: see `_refs`.
            held.part.append(False)
            if state != "unlinked" and not decoy and status == 0 and key not in self.left_out:
                self._able.add(held.numbers[key])
            held.persons.append(bytes(person) if person is not None else None)
            held.qualities.append(quality)

    def _refs(self, domain: int, rows: Iterable[tuple[int, int, bytes]]) -> None:
        """Groups of P refs, one after the other; of records that were read.

        Those of a version that is over may still be there, or some of them: it can end while a run is under way.
        """
        held = self.records
        rows = (row for row in rows if row[1] in self.setting.versions)
        while part := list(islice(rows, _GROUPS)):
            held.refs += b"".join(row[2] for row in part)
            for serial, version, _ in part:
                number = held.numbers[domain, serial]
                held.owners.append(number)
                held.versions.append(version)
                held.part[number] = number in self._able


@dataclass
class Edges:
    """Edges that were read, with the numbers of the two records they lie with; of fresh ones not known yet: -1."""

    tables: list[NDArray[np.void]] = field(default_factory=list)
    first: list[I64] = field(default_factory=list)
    second: list[I64] = field(default_factory=list)
    fresh: list[NDArray[np.bool_]] = field(default_factory=list)

    def add_fresh(self, table: NDArray[np.void]) -> None:
        """Those of a window."""
        nobody = np.full(len(table), -1, np.int64)
        self._add(table, nobody, nobody, True)

    def add_stored(self, rows: Sequence[tuple[int, int, int, int, bytes]], numbers: dict[Key, int]) -> None:
        """Rows of the table of pairs whose records are read."""
        from linkage.rows import EDGE

        if not rows:
            return
        counts = [len(row[4]) // EDGE_BYTES for row in rows]
        first = np.repeat(np.array([numbers.get((row[0], row[1]), -1) for row in rows], np.int64), counts)
        second = np.repeat(np.array([numbers.get((row[2], row[3]), -1) for row in rows], np.int64), counts)
        self._add(np.frombuffer(b"".join(row[4] for row in rows), EDGE), first, second, False)

    def _add(self, table: NDArray[np.void], first: I64, second: I64, fresh: bool) -> None:
        self.tables.append(table)
        self.first.append(first)
        self.second.append(second)
        self.fresh.append(np.full(len(table), fresh))


@dataclass(frozen=True)
class Resolved:
    """Edges with the records of their refs, each edge once, sorted by pair of records.

    Attributes:
        table: (m,) EDGE.
        first: (m,) smaller number of the two records.
        second: (m,) greater.
        counts: (m,) bool: it is of the newest version of the study that both records have refs of.
        changed: (m,) bool, whether the run brought the edge.
        lost: (k, 2) pairs of records that had an edge whose ref is retired.
    """

    table: NDArray[np.void]
    first: I64
    second: I64
    counts: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    lost: I64


def resolve(edges: Edges, records: Records, index: RefIndex) -> Resolved:
    """Look up the refs of edges; retired ones fall away."""
    from linkage.rows import EDGE

    table = np.concatenate([np.empty(0, EDGE), *edges.tables])
    known = [np.concatenate([np.empty(0, np.int64), *side]) for side in (edges.first, edges.second)]
    fresh = np.concatenate([np.empty(0, np.bool_), *edges.fresh])
    owners = np.array([*records.owners, -1], np.int64)  # the last for what is not found
    groups = [index.find(table[side]) for side in ("lo", "hi")]
    first, second = (owners[side] for side in groups)
    counts = _newest(records, groups[0], first, second)
    sources = np.array([*records.sources, -1])
    whole = (first >= 0) & (second >= 0) & (sources[first] != sources[second])
    dead = ~whole & ~fresh & (known[0] >= 0) & (known[1] >= 0)
    lost = np.unique(np.stack((known[0][dead], known[1][dead]), axis=1), axis=0)
    first, second = np.minimum(first, second)[whole], np.maximum(first, second)[whole]
    table, fresh, counts = table[whole], fresh[whole], counts[whole]
    order = in_order(table, first * len(sources) + second, fresh)
    return Resolved(table[order], first[order], second[order], counts[order], fresh[order], lost)


def _newest(records: Records, group: I64, first: I64, second: I64) -> NDArray[np.bool_]:
    """(m,) whether edges are of the newest version that both records have; tokens of two versions never meet."""
    versions = sorted(set(records.versions))
    newest = np.ones(len(group), np.bool_)
    if len(versions) < 2:
        return newest
    of_group = np.array([*records.versions, versions[-1]])
    held = np.zeros((len(records.keys) + 1, len(versions)), np.bool_)  # the last for nobody
    held[records.owners, np.searchsorted(versions, records.versions)] = True
    for place, version in enumerate(versions):
        newest &= ~(held[first, place] & held[second, place] & (of_group[group] < version))
    return newest


def count(found: Resolved, records: Records) -> Pairs:
    """Pairs of records that take part, with the number of their edges and the sum of their levels."""
    from linkage.decide import Pairs

    part = np.array(records.part, np.bool_)
    chosen = part[found.first] & part[found.second] & found.counts
    first, second, level = found.first[chosen], found.second[chosen], found.table["level"][chosen].astype(np.int64)
    starts = np.flatnonzero(
        np.concatenate(([True], (first[1:] != first[:-1]) | (second[1:] != second[:-1])))[: len(first)]
    )
    counts = np.diff(np.concatenate((starts, [len(first)])))
    sums = np.add.reduceat(level, starts) if len(starts) else level
    return Pairs(
        first[starts].astype(np.int32), second[starts].astype(np.int32), counts.astype(np.int32), sums.astype(np.int32)
    )
