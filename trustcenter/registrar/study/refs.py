"""Refs of records: those of each record together, and which record a ref belongs to.

    record_refs   (domain, serial, version) → P refs, packed  what a run reads, what a site is told
    ref_owners    ref → serial                                whose edge it is; whether a ref is there already

Both change together. Values are as the map brought them: sorted within a record, each once in a study.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trustcenter.store import Column, Connection, Database, Migration, insert, ranges, select_in
from trustcenter.store.keys import halves_of, order_of
from trustcenter.store.packed import PARTS, Keys, ddl

from . import ref_owners
from .ref_owners import OWNER, OWNERS

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]

REF_BYTES: Final = 16
Held: TypeAlias = list[tuple[int, NDArray[np.void]]]  # domain, and its records that have some refs

_SLICE: Final = 25_000  # records whose refs are written at a time, to bound memory
_AT_ONCE: Final = 300_000  # refs packed, or moved in one transaction

MIGRATIONS = (
    Migration(
        number=611,
        name="refs packed by record, and by ref",
        sql="""
        CREATE TABLE record_refs (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            version INTEGER NOT NULL,     -- of the study
            refs BLOB NOT NULL,           -- one per pass, 16 bytes each, sorted
            PRIMARY KEY (domain, serial, version)
        ) STRICT, WITHOUT ROWID;
        """
        + ddl("ref_owner"),
    ),
    *ref_owners.MIGRATIONS,
)


def add(conn: Connection, domain: int, version: int, serials: I64, refs: U8, entries: NDArray[np.void]) -> None:
    """Give records that have none of this version their refs.

    Args:
        conn: a transaction.
        domain: of the records.
        version: of the study.
        serials: (n,) of the records; ascending is fastest, since neighbours share pages of the table.
        refs: (n, P, 16) u1, sorted within each record.
        entries: (n * P,) OWNER, the same refs; ascending is fastest.
    """
    at, parts = 0, ranges(serials)
    for part in [serials] if parts is None else parts:
        for start in range(0, len(part), _SLICE):
            some = part[start : start + _SLICE]
            columns: dict[str, Column] = {
                "domain": domain,
                "serial": some,
                "version": version,
                "refs": refs[at : at + len(some)].reshape(len(some), -1),
            }
            insert(conn, "record_refs", columns, len(some))
            at += len(some)
    ref_owners.add(conn, domain, entries)


def change(conn: Connection, domain: int, version: int, records: Mapping[int, tuple[bytes, bytes]]) -> None:
    """Give records other refs of a version than they have.

    Args:
        conn: a transaction.
        domain: of the records.
        version: of the study.
        records: by serial, the packed refs that it has and those that it gets; sorted.
    """
    gone, fresh, serials = [], [], []
    for serial, (before, after) in records.items():
        had, gets = set(cut(before)), set(cut(after))
        gone += sorted(had - gets)
        fresh += sorted(gets - had)
        serials += [serial] * len(gets - had)
    # What goes goes first: a ref may move from one record to another.
    ref_owners.remove(conn, domain, Keys.of(split(b"".join(gone))))
    ref_owners.add(conn, domain, owned(serials, split(b"".join(fresh)).reshape(-1, 1, REF_BYTES)))
    conn.executemany(
        "UPDATE record_refs SET refs = ? WHERE domain = ? AND serial = ? AND version = ?",
        [(after, domain, serial, version) for serial, (_, after) in records.items()],
    )


def remove(conn: Connection, domain: int, serials: Sequence[int]) -> list[bytes]:
    """Take their refs from records; returns them, sorted."""
    query = "SELECT refs FROM record_refs WHERE domain = ? AND serial IN {values}"
    gone = b"".join(row[0] for row in select_in(conn, query, (domain,), sorted(set(serials))))
    ref_owners.remove(conn, domain, Keys.of(split(gone)))
    conn.executemany(
        "DELETE FROM record_refs WHERE domain = ? AND serial = ?", [(domain, serial) for serial in serials]
    )
    return sorted(cut(gone))


def purge(conn: Connection, domain: int) -> int:
    """Take the refs from all records of a domain; returns how many refs."""
    conn.execute("DELETE FROM record_refs WHERE domain = ?", (domain,))
    return ref_owners.drop(conn, domain)


def of(conn: Connection, domain: int, serials: Sequence[int], version: int) -> dict[int, bytes]:
    """The packed refs of records that have some of a version."""
    query = "SELECT serial, refs FROM record_refs WHERE domain = ? AND serial IN {values} AND version = ?"
    return {serial: bytes(refs) for serial, refs in select_in(conn, query, (domain,), serials, (version,))}


def holders(conn: Connection, domains: Sequence[int], keys: Keys) -> Held:
    """Which of some refs the records of some domains have: domain and (n,) OWNER, in parts."""
    return [(domain, found) for domain in domains for found in OWNERS.find(conn, domain, keys) if len(found)]


def claimed(conn: Connection, study: str, site: str, keys: Keys) -> Held:
    """Which of the refs of a map any record has that they could be of: those of the study, and of the site elsewhere.

    Nobody is told the refs of other sites.
    """
    query = "SELECT domain FROM participant WHERE study = ? OR site = ? ORDER BY domain"
    found: Held = []
    for (domain,) in conn.execute(query, (study, site)).fetchall():
        found += holders(conn, [domain], keys.those(ref_owners.near(conn, domain, keys)))
    return found


def after(conn: Connection, domains: Sequence[int], low: bytes, most: int) -> list[bytes]:
    """Up to `most` refs of some domains above `low`, in their order."""
    found: list[bytes] = []
    for part in range(low[0] if low else 0, PARTS):
        for domain in domains:
            found += cut(OWNERS.sorted(conn, domain, part)["ref"].tobytes())
        if low:
            found = [ref for ref in found if ref > low]
        if len(found) >= most:
            break
    return sorted(found)[:most]


def held(conn: Connection, domains: Sequence[int]) -> int:
    """How many refs the records of some domains have, in either table."""
    found = 0
    for domain in domains:
        query = "SELECT coalesce(sum(length(refs)), 0) FROM record_refs WHERE domain = ?"
        (size,) = conn.execute(query, (domain,)).fetchone()
        found += max(int(size) // REF_BYTES, OWNERS.count(conn, domain))
    return found


def held_until(conn: Connection, domains: Sequence[int], version: int) -> int:
    """How many refs of versions up to this one the records of some domains have."""
    query = "SELECT coalesce(sum(length(refs)), 0) FROM record_refs WHERE domain = ? AND version <= ?"
    return sum(int(conn.execute(query, (domain, version)).fetchone()[0]) for domain in domains) // REF_BYTES


def domains_of(conn: Connection, study: str) -> list[int]:
    """The domains of a study's sources."""
    rows = conn.execute("SELECT domain FROM participant WHERE study = ? ORDER BY domain", (study,)).fetchall()
    return [domain for (domain,) in rows]


def move(db: Database) -> None:
    """Move the refs of a store of before, where each was a row; in bounded transactions, so a crash loses nothing."""
    while db.write_sync(lambda conn: _move_some(db, conn)):
        pass


def _move_some(db: Database, conn: Connection) -> bool:
    rows = conn.execute(
        "SELECT domain, serial, version, ref FROM record_ref ORDER BY domain, serial, ref LIMIT ?", (_AT_ONCE,)
    ).fetchall()
    if not rows:
        return False
    records: dict[tuple[int, int, int], list[bytes]] = {}
    for domain, serial, version, ref in rows:
        records.setdefault((domain, serial, version), []).append(bytes(ref))
    if len(rows) == _AT_ONCE:  # the last record may go on
        last = max(record[:2] for record in records)
        if len({record[:2] for record in records}) > 1:
            records = {record: refs for record, refs in records.items() if record[:2] != last}
    db.forget_soon()
    for (domain, serial, version), refs in records.items():
        conn.execute(
            "INSERT INTO record_refs (domain, serial, version, refs) VALUES (?,?,?,?)",
            (domain, serial, version, b"".join(sorted(refs))),
        )
    for domain in {record[0] for record in records}:
        mine = [(record[1], ref) for record, refs in records.items() if record[0] == domain for ref in refs]
        table = split(b"".join(ref for _, ref in mine)).reshape(-1, 1, REF_BYTES)
        ref_owners.add(conn, domain, owned([serial for serial, _ in mine], table))
    conn.executemany("DELETE FROM record_ref WHERE domain = ? AND serial = ?", sorted({r[:2] for r in records}))
    return True


def in_order(refs: U8) -> U8:
    """(n, P, 16) u1 with the refs of each record sorted, as a site that follows the format sends them anyway."""
    refs = np.ascontiguousarray(refs)
    first = refs.view(">u8")[:, :, 0].astype(np.uint64)
    if bool((first[:, 1:] > first[:, :-1]).all()):
        return refs
    records, passes = first.shape
    order = np.argsort(first, axis=1, kind="stable") + np.arange(0, records * passes, passes)[:, None]
    return refs.view(f"V{REF_BYTES}").ravel()[order.ravel()].view(np.uint8).reshape(refs.shape)


def by_ref(refs: U8) -> tuple[Keys, I64]:
    """(n, P, 16) u1 → its refs by ascending, and which of the n records each is of. A ref that repeats stands twice."""
    halves = halves_of(refs.reshape(-1, REF_BYTES))
    order = order_of(*halves)
    first, second = halves[0][order], halves[1][order]
    return Keys(first, second, bool((first[1:] == first[:-1]).any())), order // refs.shape[1]


def repeats(keys: Keys) -> bool:
    """Whether one of ascending refs stands twice."""
    same = (keys.first[1:] == keys.first[:-1]) & (keys.second[1:] == keys.second[:-1])
    return bool(same.any())


def packed(keys: Keys) -> Iterator[bytes]:
    """Refs in their order, packed, some at a time."""
    for start in range(0, len(keys.first), _AT_ONCE):
        halves = (half[start : start + _AT_ONCE] for half in (keys.first, keys.second))
        yield np.stack(tuple(halves), axis=1).astype(">u8").tobytes()


def cut(packed: bytes) -> list[bytes]:
    """Packed refs one by one."""
    return [packed[at : at + REF_BYTES] for at in range(0, len(packed), REF_BYTES)]


def split(packed: bytes) -> U8:
    """Packed refs as (k, 16) u1."""
    return np.frombuffer(packed, np.uint8).reshape(-1, REF_BYTES)


def owned_in_order(keys: Keys, serials: I64) -> NDArray[np.void]:
    """(k,) OWNER of refs and the serials of their records."""
    made = np.empty(len(serials), OWNER)
    made["ref"] = np.stack((keys.first, keys.second), axis=1).astype(">u8").view(np.uint8)
    made["serial"] = serials
    return made


def owned(serials: Sequence[int], refs: U8) -> NDArray[np.void]:
    """(n, P, 16) u1 of n records as entries."""
    made = np.empty(refs.shape[0] * refs.shape[1], OWNER)
    made["ref"] = refs.reshape(-1, REF_BYTES)
    made["serial"] = np.repeat(np.array(serials, np.int64), refs.shape[1])
    return made
