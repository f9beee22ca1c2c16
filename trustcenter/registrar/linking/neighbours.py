"""Which smaller records each record has pairs with: what leads from the greater record of a pair to the pair.

The table of pairs is ordered by their smaller records. An index by the greater ones would get the millions of pairs of
a first run in no order, and each transaction would write most of its pages again. Here a record has one row, and rows
are written in the order of records.

A list may name a record with which no pair is left: whoever is named is looked for among the pairs. Nobody is missing
in it, because lists are written before their pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.store import Connection, Migration, insert_rows, select_in

Key = tuple[int, int]  # domain row id, serial
Row = tuple[int, int, int, int, bytes]  # of the table of pairs

MIGRATIONS: Final = (
    Migration(
        number=695,
        name="pairs by their greater record in lists",
        sql="""
        -- Edges are facts that the comparator can tell again: the next run of each study asks for all of them.
        DROP TABLE pair;
        CREATE TABLE pair (
            domain_a INTEGER NOT NULL,
            serial_a INTEGER NOT NULL,    -- of the two records the smaller by (domain, serial)
            domain_b INTEGER NOT NULL,
            serial_b INTEGER NOT NULL,
            packed BLOB NOT NULL,         -- edges as in M5, sorted
            PRIMARY KEY (domain_a, serial_a, domain_b, serial_b)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE neighbours (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            smaller BLOB NOT NULL,        -- records that it has pairs with: domain, serial; 8 bytes each, big-endian
            PRIMARY KEY (domain, serial)
        ) STRICT, WITHOUT ROWID;
        UPDATE decision SET link = '', basis = '';
        """,
    ),
)
PAIRS: Final = "SELECT domain_a, serial_a, domain_b, serial_b, packed FROM pair"
NAME_BYTES: Final = 16
_NAME: Final = np.dtype((">i8", 2))
_ROWS: Final = 50_000  # read at a time


def names(keys: NDArray[np.int64]) -> bytes:
    """Records (n, 2) as they stand in a list."""
    return keys.astype(">i8").tobytes()


def add(conn: Connection, domain: int, serials: Sequence[int], smaller: Sequence[bytes]) -> None:
    """Name records in the lists of others; naming one again changes nothing.

    Args:
        conn: a transaction.
        domain: of the greater records.
        serials: of these; ascending is fastest.
        smaller: the names that each list gets.
    """
    held = _lists(conn, domain, serials)
    rows = []
    for serial, fresh in zip(serials, smaller, strict=True):
        if serial in held:
            before = held[serial]
            known = set(_cut(before))
            fresh = before + b"".join(name for name in _cut(fresh) if name not in known)
            if len(fresh) == len(before):
                continue
        rows.append((domain, serial, fresh))
    insert_rows(conn, "neighbours", rows, "ON CONFLICT (domain, serial) DO UPDATE SET smaller = excluded.smaller")


def pairs_of(conn: Connection, domain: int, serials: Sequence[int]) -> Iterator[Row]:
    """The stored pairs whose greater records these are."""
    wanted = set(serials)
    packed = b"".join(_lists(conn, domain, serials).values())
    for other, named in _by_domain(packed).items():
        query = f"{PAIRS} WHERE domain_a = ? AND serial_a IN {{values}} AND domain_b = ?"
        for row in select_in(conn, query, (other,), named, (domain,)):
            if row[3] in wanted:
                yield row


def remove(conn: Connection, pairs: Iterable[tuple[int, int, int, int]]) -> None:
    """Take the smaller records of some pairs out of the lists of the greater ones."""
    gone: dict[int, dict[int, set[bytes]]] = defaultdict(lambda: defaultdict(set))
    for domain, serial, other, greater in pairs:
        gone[other][greater].add(np.array([domain, serial], ">i8").tobytes())
    for other, of in gone.items():
        lists = _lists(conn, other, sorted(of))
        left = [(b"".join(n for n in _cut(held) if n not in of[serial]), serial) for serial, held in lists.items()]
        query = "UPDATE neighbours SET smaller = ? WHERE domain = ? AND serial = ?"
        conn.executemany(query, [(packed, other, serial) for packed, serial in left if packed])
        drop(conn, other, [serial for packed, serial in left if not packed])


def drop(conn: Connection, domain: int, serials: Collection[int]) -> None:
    """Forget the lists of some records."""
    query = "DELETE FROM neighbours WHERE domain = ? AND serial = ?"
    conn.executemany(query, [(domain, serial) for serial in serials])


def purge(conn: Connection, study: str) -> None:
    """Forget the lists of all records of a study."""
    of = "SELECT domain FROM participant WHERE study = ?"
    conn.execute(f"DELETE FROM neighbours WHERE domain IN ({of})", (study,))  # noqa: S608 - constant


def unnamed(conn: Connection) -> int:
    """How many stored pairs their greater records do not lead to: none, if the store is whole."""
    wrong = 0
    cursor = conn.execute("SELECT domain_b, serial_b, domain_a, serial_a FROM pair")
    while rows := cursor.fetchmany(_ROWS):
        table = np.array(rows, np.int64)
        for domain in np.unique(table[:, 0]).tolist():
            mine = table[table[:, 0] == domain, 1:]
            lists = _lists(conn, domain, np.unique(mine[:, 0]).tolist())
            named = {(serial, name) for serial, packed in lists.items() for name in _cut(packed)}
            wrong += sum(pair not in named for pair in zip(mine[:, 0].tolist(), _cut(names(mine[:, 1:])), strict=True))
    return wrong


def _lists(conn: Connection, domain: int, serials: Sequence[int]) -> dict[int, bytes]:
    query = "SELECT serial, smaller FROM neighbours WHERE domain = ? AND serial IN {values}"
    return {serial: bytes(packed) for serial, packed in select_in(conn, query, (domain,), serials)}


def _by_domain(packed: bytes) -> dict[int, list[int]]:
    """Named records, each once: domain → serials, ascending."""
    table = np.unique(np.frombuffer(packed, _NAME).astype(np.int64).reshape(-1, 2), axis=0)
    return {domain: table[table[:, 0] == domain, 1].tolist() for domain in np.unique(table[:, 0]).tolist()}


def _cut(packed: bytes) -> list[bytes]:
    return [packed[at : at + NAME_BYTES] for at in range(0, len(packed), NAME_BYTES)]
