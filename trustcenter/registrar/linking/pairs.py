"""What the registrar keeps between windows: edges by pair of records, what changed since, and the frozen parameters.

The comparator tells each edge once. Here it lies with the pair of records whose refs it joins, until one of the two is
retired; so a window has to look only at pairs that hang together with what it brought.

`touched` holds records that something happened to since the last applied run: their refs changed, or a neighbour left.
What happens while a run is under way, after it has read, is marked as well, and is for the next one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.store import Connection, Migration, insert_rows, select_in

Key = tuple[int, int]  # domain row id, serial

MIGRATIONS: Final = (
    Migration(
        number=570,
        name="edges by pair of records, and what windows are decided with",
        sql="""
        CREATE TABLE pair (
            domain_a INTEGER NOT NULL,
            serial_a INTEGER NOT NULL,    -- of the two records the smaller by (domain, serial)
            domain_b INTEGER NOT NULL,
            serial_b INTEGER NOT NULL,
            packed BLOB NOT NULL,         -- edges as in M5, sorted
            PRIMARY KEY (domain_a, serial_a, domain_b, serial_b)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX pair_other ON pair (domain_b, serial_b);
        CREATE TABLE touched (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            mark BLOB NOT NULL,           -- another each time, so that a run forgets only what it has seen
            PRIMARY KEY (domain, serial)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX record_mapped ON record (domain, serial) WHERE state = 'mapped';
        CREATE TABLE decision (
            study TEXT PRIMARY KEY REFERENCES study(name),
            link TEXT NOT NULL,           -- of the delivery that was applied last
            parameters BLOB NOT NULL,     -- trustcenter/decision, JSON
            basis TEXT NOT NULL,          -- hash of what else a decision rests on
            records INTEGER NOT NULL      -- how many there were when everything was decided last
        ) STRICT;
        ALTER TABLE run ADD COLUMN mode TEXT NOT NULL DEFAULT 'window';
        """,
    ),
    Migration(
        number=683,
        name="how often records of a source left linkage",
        sql="ALTER TABLE participant ADD COLUMN departures INTEGER NOT NULL DEFAULT 0;",
    ),
)
_SLICE: Final = 20_000  # pairs written in one transaction: others have their turn in between


@dataclass(frozen=True)
class Standing:
    """What the last applied run of a study left."""

    link: str
    parameters: bytes
    basis: str
    records: int


def standing(conn: Connection, study: str) -> Standing | None:
    """Of a study; None before its first applied run."""
    row = conn.execute("SELECT link, parameters, basis, records FROM decision WHERE study = ?", (study,)).fetchone()
    return Standing(*row) if row is not None else None


def settle(conn: Connection, study: str, state: Standing, seen: Iterable[tuple[int, int, bytes]], mark: bytes) -> None:
    """Write down what a run leaves, in the transaction that applies it.

    What it had `seen` touched, and what keeping its edges marked with its own `mark`, is done with.
    """
    conn.execute(
        "INSERT INTO decision VALUES (?,?,?,?,?) ON CONFLICT (study) DO UPDATE SET link = excluded.link,"
        " parameters = excluded.parameters, basis = excluded.basis, records = excluded.records",
        (study, state.link, state.parameters, state.basis, state.records),
    )
    conn.executemany("DELETE FROM touched WHERE domain = ? AND serial = ? AND mark = ?", seen)
    conn.execute("DELETE FROM touched WHERE mark = ?", (mark,))


def touch(conn: Connection, domain: int, serials: Sequence[int]) -> None:
    """Something happened to records: the next run looks at them, and at all that hangs together with them."""
    _mark(conn, [(domain, serial) for serial in serials])


def mapped(conn: Connection, domain: int, serials: Sequence[int]) -> list[int]:
    """Those of the records that had refs before, which a run may have read; new ones it finds by their state."""
    query = "SELECT serial FROM record WHERE domain = ? AND state <> 'unlinked' AND serial IN {values}"
    return [row[0] for row in select_in(conn, query, (domain,), sorted(serials))]


def forget(conn: Connection, domain: int, serials: Sequence[int]) -> None:
    """Records leave linkage: their edges go, and whoever had one with them, or was one person with them, is touched.

    To be called while the records are still there.
    """
    note_departure(conn, domain)
    around: set[Key] = set()
    for mine, other in (("a", "b"), ("b", "a")):
        query = (
            f"SELECT domain_{other}, serial_{other} FROM pair WHERE domain_{mine} = ? AND serial_{mine} IN {{values}}"  # noqa: S608 - constants
        )
        around.update(select_in(conn, query, (domain,), list(serials)))
        conn.executemany(
            f"DELETE FROM pair WHERE domain_{mine} = ? AND serial_{mine} = ?",  # noqa: S608 - constants
            [(domain, serial) for serial in serials],
        )
    query = "SELECT DISTINCT person FROM record WHERE domain = ? AND serial IN {values} AND person IS NOT NULL"
    persons = sorted({bytes(row[0]) for row in select_in(conn, query, (domain,), list(serials))})
    around.update(select_in(conn, "SELECT domain, serial FROM record WHERE person IN {values}", (), persons))
    _mark(conn, list(around - {(domain, serial) for serial in serials}))


def note_departure(conn: Connection, domain: int) -> None:
    """Records of a source leave linkage: what a run that is under way has read of them does not hold any more."""
    conn.execute("UPDATE participant SET departures = departures + 1 WHERE domain = ?", (domain,))


def departures(conn: Connection, study: str) -> int:
    """How often records of a study left linkage: while it stands, all are there that a run has read."""
    query = "SELECT coalesce(sum(departures), 0) FROM participant WHERE study = ?"
    return int(conn.execute(query, (study,)).fetchone()[0])


def _mark(conn: Connection, keys: Sequence[Key]) -> None:
    mark = os.urandom(16)
    conn.executemany(
        "INSERT INTO touched VALUES (?,?,?) ON CONFLICT (domain, serial) DO UPDATE SET mark = excluded.mark",
        [(*key, mark) for key in sorted(set(keys))],
    )


def purge(conn: Connection, study: str) -> int:
    """Forget all edges of a study, and what its decisions rested on; returns how many pairs there were."""
    domains = "SELECT domain FROM participant WHERE study = ?"
    pairs = conn.execute(f"DELETE FROM pair WHERE domain_a IN ({domains})", (study,)).rowcount  # noqa: S608 - constant
    conn.execute(f"DELETE FROM touched WHERE domain IN ({domains})", (study,))  # noqa: S608 - constant
    conn.execute("DELETE FROM decision WHERE study = ?", (study,))
    return pairs


def held(conn: Connection, study: str) -> int:
    """How many pairs of records of a study have edges here."""
    query = "SELECT count(*) FROM pair WHERE domain_a IN (SELECT domain FROM participant WHERE study = ?)"
    return int(conn.execute(query, (study,)).fetchone()[0])


class Changes:
    """Pairs whose edges a run changed, in files between the worker that found them and the transactions that keep them.

    Keeping them is no decision: edges are facts, and a run that fails later leaves no more than those.

    Attributes:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, conn: Connection, study: str) -> None:
        """Note, in the snapshot that a run reads, who is there."""
        (self.folder / "departures").write_text(f"{departures(conn, study)} {study}")

    def write(self, keys: NDArray[np.int64], counts: NDArray[np.int64], edges: NDArray[np.void]) -> None:
        """Keep (m, 4) keys of pairs, (m,) edges of each (0: the pair goes), and the edges, pair by pair."""
        np.save(self.folder / "keys.npy", keys)
        np.save(self.folder / "ends.npy", np.cumsum(counts) * EDGE_BYTES)
        edges.tofile(self.folder / "edges")

    def slices(self) -> range:
        """Where the slices begin."""
        return range(0, len(np.load(self.folder / "keys.npy", mmap_mode="r")), _SLICE)

    def keep(self, conn: Connection, start: int, mark: bytes) -> None:
        """Write one slice of pairs; those of records that left meanwhile are not written. Twice is harmless.

        The run decides with records that left since it read: whoever had an edge with one is touched for the next run.
        A pair without edges goes, and with it what leads from one record to the other: should this run not come to be
        applied, the next one is led by the `mark`.
        """
        keys = np.load(self.folder / "keys.npy", mmap_mode="r")[start : start + _SLICE].tolist()
        ends = np.load(self.folder / "ends.npy", mmap_mode="r")[max(start - 1, 0) : start + _SLICE].tolist()
        bounds = ends if start else [0, *ends]
        with (self.folder / "edges").open("rb") as file:
            file.seek(bounds[0])
            whole = file.read(bounds[-1] - bounds[0])
        read = [
            (*key, whole[begin - bounds[0] : end - bounds[0]])
            for key, begin, end in zip(keys, bounds, bounds[1:], strict=False)
        ]
        before, study = (self.folder / "departures").read_text().split(" ", 1)
        if departures(conn, study) == int(before):  # nobody has left
            there = None
        else:
            there = _there(conn, {(a, s) for a, s, _, _ in keys} | {(b, t) for _, _, b, t in keys})
        kept, gone = [], []
        bereft: set[Key] = set()
        parted: set[Key] = set()
        for row in read:
            one, other = row[:2], row[2:4]
            if row[4] and (there is None or (one in there and other in there)):
                kept.append(row)
                continue
            ends_there = {one, other} if there is None else {one, other} & there
            gone.append(row[:4])
            (bereft if row[4] else parted).update(ends_there)
        conflict = "ON CONFLICT (domain_a, serial_a, domain_b, serial_b) DO UPDATE SET packed = excluded.packed"
        insert_rows(conn, "pair", kept, conflict)
        conn.executemany("DELETE FROM pair WHERE domain_a = ? AND serial_a = ? AND domain_b = ? AND serial_b = ?", gone)
        conn.executemany(
            "INSERT INTO touched VALUES (?,?,?) ON CONFLICT (domain, serial) DO NOTHING",
            [(*key, mark) for key in sorted(parted)],
        )
        _mark(conn, list(bereft))


def _there(conn: Connection, keys: set[Key]) -> set[Key]:
    """Those of the records that take part in linkage: they exist, and are superseded by no other."""
    found: set[Key] = set()
    for domain in {key[0] for key in keys}:
        query = "SELECT serial FROM record WHERE domain = ? AND state <> 'unlinked' AND serial IN {values}"
        serials = [serial for at, serial in keys if at == domain]
        found.update((domain, row[0]) for row in select_in(conn, query, (domain,), serials))
    return found
