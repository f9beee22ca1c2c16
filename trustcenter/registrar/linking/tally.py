"""How many records of a study are linked, and how many persons have how many of them: kept where that changes.

A run says both of the whole study. Counting all records for it would cost every window what the study holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeAlias

from trustcenter.store import Connection, Migration, select_in

Key: TypeAlias = tuple[int, int]  # domain row id, serial


class Counts(NamedTuple):
    """Linked records by domain, and persons by how many records they have."""

    linked: Counter[int]
    sizes: Counter[int]


MIGRATIONS: Final = (
    Migration(
        number=675,
        name="linked records and persons by size",
        sql="""
        CREATE TABLE linked (
            study TEXT NOT NULL REFERENCES study(name),
            domain INTEGER NOT NULL,
            records INTEGER NOT NULL,
            PRIMARY KEY (study, domain)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE person_size (
            study TEXT NOT NULL REFERENCES study(name),
            size INTEGER NOT NULL,        -- records of a person
            persons INTEGER NOT NULL,     -- that have so many
            PRIMARY KEY (study, size)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO linked SELECT p.study, p.domain, count(*) FROM record r JOIN participant p ON p.domain = r.domain
            WHERE r.person IS NOT NULL GROUP BY p.study, p.domain;
        INSERT INTO person_size SELECT study, size, count(*) FROM
            (SELECT p.study AS study, count(*) AS size FROM record r JOIN participant p ON p.domain = r.domain
            WHERE r.person IS NOT NULL GROUP BY p.study, r.person) AS persons GROUP BY study, size;
        """,
    ),
)


def linked(conn: Connection, study: str) -> Counter[int]:
    """Records that have a person, by domain."""
    return Counter(dict(conn.execute("SELECT domain, records FROM linked WHERE study = ?", (study,)).fetchall()))


def sizes(conn: Connection, study: str) -> Counter[int]:
    """Persons by how many records they have."""
    return Counter(dict(conn.execute("SELECT size, persons FROM person_size WHERE study = ?", (study,)).fetchall()))


@contextmanager
def changing(conn: Connection, study: str, records: Iterable[Key], persons: Iterable[bytes] = ()) -> Iterator[None]:
    """Keep the counts right while some records leave their persons, or come to others.

    Args:
        conn: a transaction.
        study: of the records.
        records: that may leave the person they have.
        persons: that they may come to.
    """
    concerned = sorted({*_persons(conn, records), *persons})
    before = _counted(conn, concerned)
    yield
    after = _counted(conn, concerned)
    for table, column, value, now, was in (
        ("linked", "domain", "records", after.linked, before.linked),
        ("person_size", "size", "persons", after.sizes, before.sizes),
    ):
        now.subtract(was)
        conn.executemany(
            f"INSERT INTO {table} (study, {column}, {value}) VALUES (?,?,?) ON CONFLICT (study, {column})"  # noqa: S608
            f" DO UPDATE SET {value} = {table}.{value} + excluded.{value}",
            [(study, key, count) for key, count in sorted(now.items()) if count],
        )


def recount(conn: Connection, study: str) -> None:
    """Count everything anew, after a run that may have changed all of it."""
    put(conn, study, counted(conn, study))


def put(conn: Connection, study: str, counts: Counts) -> None:
    """Put other counts in the place of those there are."""
    forget(conn, study)
    for table, found in zip(("linked", "person_size"), counts, strict=True):
        conn.executemany(f"INSERT INTO {table} VALUES (?,?,?)", [(study, *row) for row in sorted(found.items())])  # noqa: S608


def counted(conn: Connection, study: str) -> Counts:
    """What the counts have to be."""
    of = "FROM record WHERE person IS NOT NULL AND domain IN (SELECT domain FROM participant WHERE study = ?)"
    by_domain = conn.execute(f"SELECT domain, count(*) {of} GROUP BY domain", (study,)).fetchall()
    persons = f"SELECT count(*) AS size {of} GROUP BY person"
    by_size = conn.execute(f"SELECT size, count(*) FROM ({persons}) AS persons GROUP BY size", (study,)).fetchall()  # noqa: S608
    return Counts(Counter(dict(by_domain)), Counter(dict(by_size)))


def forget(conn: Connection, study: str) -> None:
    """Of a study whose records have no persons any more."""
    for table in ("linked", "person_size"):
        conn.execute(f"DELETE FROM {table} WHERE study = ?", (study,))  # noqa: S608 - constants


def _persons(conn: Connection, records: Iterable[Key]) -> set[bytes]:
    by_domain: dict[int, list[int]] = {}
    for domain, serial in records:
        by_domain.setdefault(domain, []).append(serial)
    query = "SELECT person FROM record WHERE domain = ? AND serial IN {values} AND person IS NOT NULL"
    return {
        bytes(row[0])
        for domain, serials in by_domain.items()
        for row in select_in(conn, query, (domain,), sorted(serials))
    }


def _counted(conn: Connection, persons: Sequence[bytes]) -> Counts:
    """Records of some persons by domain, and those persons by size."""
    query = "SELECT person, domain, count(*) FROM record WHERE person IN {values} GROUP BY person, domain"
    by_domain: Counter[int] = Counter()
    size: Counter[bytes] = Counter()
    for person, domain, records in select_in(conn, query, (), persons):
        by_domain[domain] += records
        size[bytes(person)] += records
    return Counts(by_domain, Counter(size.values()))
