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
from typing import Final

from trustcenter.store import Connection, Migration, select_in

from . import neighbours

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
    touch_keys(conn, [(domain, serial) for serial in serials])


def mapped(conn: Connection, domain: int, serials: Sequence[int]) -> list[int]:
    """Those of the records that had refs before, which a run may have read; new ones it finds by their state."""
    query = "SELECT serial FROM record WHERE domain = ? AND state <> 'unlinked' AND serial IN {values}"
    return [row[0] for row in select_in(conn, query, (domain,), sorted(serials))]


def forget(conn: Connection, domain: int, serials: Sequence[int]) -> None:
    """Records leave linkage: their edges go, and whoever had one with them, or was one person with them, is touched.

    To be called while the records are still there.
    """
    note_departure(conn, domain)
    query = "SELECT domain_a, serial_a, domain_b, serial_b FROM pair WHERE domain_a = ? AND serial_a IN {values}"
    smaller = [tuple(row) for row in select_in(conn, query, (domain,), sorted(serials))]
    greater = [row[:4] for row in neighbours.pairs_of(conn, domain, sorted(serials))]
    around: set[Key] = {(b, t) for _, _, b, t in smaller} | {(a, s) for a, s, _, _ in greater}
    neighbours.remove(conn, smaller)
    neighbours.drop(conn, domain, serials)
    query = "DELETE FROM pair WHERE domain_a = ? AND serial_a = ? AND domain_b = ? AND serial_b = ?"
    conn.executemany(query, sorted({*smaller, *greater}))
    query = "SELECT DISTINCT person FROM record WHERE domain = ? AND serial IN {values} AND person IS NOT NULL"
    persons = sorted({bytes(row[0]) for row in select_in(conn, query, (domain,), list(serials))})
    around.update(select_in(conn, "SELECT domain, serial FROM record WHERE person IN {values}", (), persons))
    touch_keys(conn, list(around - {(domain, serial) for serial in serials}))


def note_departure(conn: Connection, domain: int) -> None:
    """Records of a source leave linkage: what a run that is under way has read of them does not hold any more."""
    conn.execute("UPDATE participant SET departures = departures + 1 WHERE domain = ?", (domain,))


def departures(conn: Connection, study: str) -> int:
    """How often records of a study left linkage: while it stands, all are there that a run has read."""
    query = "SELECT coalesce(sum(departures), 0) FROM participant WHERE study = ?"
    return int(conn.execute(query, (study,)).fetchone()[0])


def touch_keys(conn: Connection, keys: Sequence[Key]) -> None:
    """As `touch`, for records of any domain."""
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
    neighbours.purge(conn, study)
    return pairs


def held(conn: Connection, study: str) -> int:
    """How many pairs of records of a study have edges here."""
    query = "SELECT count(*) FROM pair WHERE domain_a IN (SELECT domain FROM participant WHERE study = ?)"
    return int(conn.execute(query, (study,)).fetchone()[0])
