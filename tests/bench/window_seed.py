"""Bring a study whose uploads are there to where a first run leaves it, for measuring windows only.

A first run over ten million records keeps 2 KB of each in one process. Here the comparator's own code compares, the
engine decides with the weights that a smaller study froze, and what a run leaves is written into the stopped
service's files: persons, edges by pair, counts, and which delivery was applied. No links and no entry of the log.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linkage.decide import Parameters, RefIndex, add_up, decide_with, parse_parameters, resolve
from linkage.rows import EDGE
from trustcenter.comparator import compare, pieces
from trustcenter.messages.rooms import EDGE_BYTES, WindowOrder
from trustcenter.registrar.linking import deciding, neighbours, pairs, tally
from trustcenter.registrar.linking.reading import Setting
from trustcenter.registrar.study import studies
from trustcenter.store import snapshot

STUDY = "bench"
LINK = "0" * 64  # of a delivery that never was
_EDGES = 2_000_000  # looked up at a time
_RECORDS = 200_000  # written at a time
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """All records of a study, by domain and serial: record i has the domain and serial of place i."""

    domains: I64
    serials: I64

    @classmethod
    def empty(cls, count: int) -> Known:
        """To be filled."""
        return cls(np.empty(count, np.int64), np.empty(count, np.int64))

    def key(self, record: int) -> tuple[int, int]:
        """Of one."""
        return int(self.domains[record]), int(self.serials[record])


def seed(base: Path, weights: Path) -> None:
    """Bring the stores of a bench's directory to where a first run leaves them.

    Args:
        base: of the bench; its service is stopped.
        weights: of another bench, whose study was linked.
    """
    place, source = (folder / "center" / "registrar" / "registrar.db" for folder in (base, weights))
    comparator = base / "center" / "comparator" / "comparator.db"
    with snapshot(source) as conn:
        last = pairs.standing(conn, STUDY)
    assert last is not None, "the study that weights are taken from was never linked"
    work = Path(tempfile.mkdtemp(prefix="seed-", dir=base))
    try:
        with snapshot(place) as conn:
            digest, setting = studies.parameters_hash(studies.find(conn, STUDY)), Setting.read(conn, STUDY)
        _compare(comparator, digest, work)
        conn = sqlite3.connect(place)
        conn.execute("PRAGMA synchronous = OFF")
        parameters = _link(conn, setting, np.memmap(work / "edges", EDGE, "r"), parse_parameters(last.parameters))
        (count,) = conn.execute("SELECT count(*) FROM record_refs").fetchone()
        state = pairs.Standing(LINK, parameters.canonical(), deciding._basis(setting, digest), count)
        pairs.settle(conn, STUDY, state, [], b"")
        conn.execute(
            "INSERT INTO run (id, study, window_number, state, created) VALUES (?,?,1,'applied','')",
            (os.urandom(16).hex(), STUDY),
        )
        tally.recount(conn, STUDY)
        _close(conn)
    finally:
        shutil.rmtree(work)
    conn = sqlite3.connect(comparator)
    conn.execute("UPDATE upload SET compared = 1")
    compare.note_applied(conn, STUDY, 1, LINK)
    conn.execute("UPDATE study SET window_number = 2")
    _close(conn)


def _close(conn: sqlite3.Connection) -> None:
    conn.commit()
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()


def _compare(place: Path, digest: str, work: Path) -> None:
    """All edges of a study into a file, sorted."""
    order = WindowOrder(study=STUDY, version=1, window=1, parameters_hash=digest, previous="", full=False)
    with snapshot(place) as conn:
        frozen = compare.look(conn, order)
    (work / "pieces").mkdir()
    with ProcessPoolExecutor(2) as pool:
        jobs = [
            pool.submit(pieces.join_piece, place, frozen, piece, work / "pieces")
            for piece in pieces.plan(place, frozen)
        ]
        found = [job.result() for job in jobs]
    pieces.merge(work / "pieces", work / "edges", found)


def _link(conn: sqlite3.Connection, setting: Setting, edges: NDArray[np.void], frozen: Parameters) -> Parameters:
    """Decide about all records and write persons and edges; returns the parameters that the next run has."""
    (count,) = conn.execute("SELECT count(*) FROM record_refs").fetchone()
    known = Known.empty(count)
    index = RefIndex.read(lambda: _refs(conn, setting, known), count, setting.passes)
    starts = range(0, len(edges), _EDGES)
    parts = [(len(edges[at : at + _EDGES]), lambda at=at: np.array(edges[at : at + _EDGES])) for at in starts]
    found = add_up(resolve(parts, index), count)
    place = {domain: number for number, domain in enumerate(setting.domains)}
    sources = np.array([place[domain] for domain in known.domains.tolist()], np.int32)
    decision, parameters = decide_with(frozen, found, sources, setting.sites, setting.deduplicated)
    match = decision.cls == 2
    _persons(conn, known, found.a[match], found.b[match], decision.posterior[match])
    del found, decision
    _pairs(conn, known, index, edges)
    return parameters


def _refs(conn: sqlite3.Connection, setting: Setting, known: Known) -> Iterator[NDArray[np.uint8]]:
    """(n, P, 16) refs of all records, some at a time, which are numbered on the way."""
    at = 0
    for domain in sorted(setting.domains):
        cursor = conn.execute("SELECT serial, refs FROM record_refs WHERE domain = ? ORDER BY serial", (domain,))
        while rows := cursor.fetchmany(_RECORDS):
            known.domains[at : at + len(rows)] = domain
            known.serials[at : at + len(rows)] = [row[0] for row in rows]
            at += len(rows)
            refs = np.frombuffer(bytearray(b"".join(row[1] for row in rows)), np.uint8)
            yield refs.reshape(len(rows), setting.passes, 16)


def _persons(conn: sqlite3.Connection, known: Known, a: I64, b: I64, posterior: NDArray[np.float64]) -> None:
    """A person for every record; matches, of which a record has one at most, share theirs."""
    count = len(known.serials)
    persons = np.frombuffer(bytearray(os.urandom(16 * count)), np.uint8).reshape(count, 16)
    persons[b] = persons[a]
    quality = np.full(count, np.nan)
    quality[a] = quality[b] = posterior
    conn.execute("DROP INDEX record_person")  # made anew at the end, in its own order
    for start in range(0, count, _RECORDS):
        packed, some = persons[start : start + _RECORDS].tobytes(), quality[start : start + _RECORDS].tolist()
        conn.executemany(
            "UPDATE record SET state = 'linked', person = ?, quality = ? WHERE domain = ? AND serial = ?",
            [
                (packed[16 * n : 16 * n + 16], None if np.isnan(q) else q, *known.key(start + n))
                for n, q in enumerate(some)
            ],
        )
        conn.commit()
    conn.execute("CREATE INDEX record_person ON record (person) WHERE person IS NOT NULL")


def _pairs(conn: sqlite3.Connection, known: Known, index: RefIndex, edges: NDArray[np.void]) -> None:
    """All edges, by the pairs of records that they join."""
    first, second = np.empty(len(edges), np.int32), np.empty(len(edges), np.int32)
    for at in range(0, len(edges), _EDGES):
        one, other = (index.find(np.array(edges[side][at : at + _EDGES])) for side in ("lo", "hi"))
        first[at : at + _EDGES], second[at : at + _EDGES] = np.minimum(one, other), np.maximum(one, other)
    ends = []
    for start in range(0, len(known.serials), _RECORDS):
        mine = np.flatnonzero((first >= start) & (first < start + _RECORDS))
        order = mine[np.lexsort((mine, second[mine], first[mine]))]
        packed, one, other = np.array(edges[order]).tobytes(), first[order], second[order]
        new = np.ones(len(order), np.bool_)
        new[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
        bounds = [*np.flatnonzero(new).tolist(), len(order)]
        conn.executemany(
            "INSERT INTO pair VALUES (?,?,?,?,?)",
            [
                (*known.key(one[at]), *known.key(other[at]), packed[EDGE_BYTES * at : EDGE_BYTES * end])
                for at, end in itertools.pairwise(bounds)
            ],
        )
        conn.commit()
        ends.append((one[new], other[new]))
    _lists(conn, known, *(np.concatenate(side) for side in zip(*ends, strict=True)))


def _lists(conn: sqlite3.Connection, known: Known, smaller: I64, greater: I64) -> None:
    """Which smaller records each record has pairs with."""
    order = np.argsort(greater, kind="stable")
    smaller, greater = smaller[order], greater[order]
    firsts = np.flatnonzero(np.diff(greater, prepend=-1))
    packed = neighbours.names(np.stack((known.domains[smaller], known.serials[smaller]), axis=1))
    bounds = (neighbours.NAME_BYTES * np.append(firsts, len(greater))).tolist()
    conn.executemany(
        "INSERT INTO neighbours VALUES (?,?,?)",
        [
            (*known.key(record), packed[at:end])
            for record, (at, end) in zip(greater[firsts].tolist(), itertools.pairwise(bounds), strict=True)
        ],
    )
    conn.commit()
