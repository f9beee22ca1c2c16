"""Consent in the database: per person one value of all provisions, under the domain's lookup tag of the original."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final

from trustcenter.errors import LimitError
from trustcenter.store import Connection, Migration, select_in

from .consent_decision import Provisions, pack, unpack

MIGRATIONS = (
    Migration(
        number=230,
        name="consent",
        sql="""
        ALTER TABLE domain ADD COLUMN consent TEXT;             -- numbers of the required policies; null: none
        ALTER TABLE study ADD COLUMN consent TEXT;

        -- Rows are never deleted while their domain lives: a deny is the tombstone that blocks.
        CREATE TABLE consent (
            domain INTEGER NOT NULL,
            tag BLOB NOT NULL,            -- keyed hash of the original, as in entry
            provisions BLOB NOT NULL,     -- 32 bytes each (docs/spec/consent.md)
            PRIMARY KEY (domain, tag)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE consent_document (
            number INTEGER PRIMARY KEY,
            domain INTEGER NOT NULL,
            name TEXT NOT NULL            -- version of a document's form, never of one person's document
        ) STRICT;
        CREATE UNIQUE INDEX consent_document_name ON consent_document (domain, name);
        -- What opens the commitments of withdrawals in the log.
        CREATE TABLE consent_salt (
            domain INTEGER NOT NULL,
            tag BLOB NOT NULL,
            leaf INTEGER NOT NULL,
            salt BLOB NOT NULL,
            PRIMARY KEY (domain, tag, leaf)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
    Migration(
        number=680,
        name="how often the consents of a domain were changed",
        sql="ALTER TABLE domain ADD COLUMN consent_changes INTEGER NOT NULL DEFAULT 0;",
    ),
)
MAX_DOCUMENTS: Final = 1000  # versions that a domain knows: so nobody keeps the numbers of persons' documents here
_SALT_BYTES: Final = 16


def load(
    conn: Connection, domain: int, tags: Iterable[bytes], only: Container[int] | None = None
) -> dict[bytes, Provisions]:
    """What is known of those of `tags` of whom anything is."""
    query = "SELECT tag, provisions FROM consent WHERE domain = ? AND tag IN {values}"
    return {tag: unpack(stored, only) for tag, stored in select_in(conn, query, (domain,), sorted(set(tags)))}


def save(conn: Connection, domain: int, held: Mapping[bytes, Provisions]) -> None:
    """Put values in the place of those before."""
    conn.executemany(
        "INSERT INTO consent (domain, tag, provisions) VALUES (?,?,?)"
        " ON CONFLICT (domain, tag) DO UPDATE SET provisions = excluded.provisions",
        [(domain, tag, pack(provisions)) for tag, provisions in sorted(held.items())],
    )
    if held:
        conn.execute("UPDATE domain SET consent_changes = consent_changes + 1 WHERE id = ?", (domain,))


def documents(conn: Connection, domain: int) -> dict[str, int]:
    """The document versions that a domain knows, with their numbers."""
    return dict(conn.execute("SELECT name, number FROM consent_document WHERE domain = ?", (domain,)).fetchall())


def learn_documents(conn: Connection, domain: int, names: Iterable[str]) -> dict[str, int]:
    """The numbers of document versions, new ones included.

    Raises:
        LimitError: a domain knows so many already that these are hardly versions.
    """
    known = documents(conn, domain)
    new = sorted(set(names) - known.keys())
    if len(known) + len(new) > MAX_DOCUMENTS:
        raise LimitError(
            f"a domain knows at most {MAX_DOCUMENTS} versions of consent documents",
            code="too_many_documents",
            hint="`document` is the version of the form, not the number of one person's document",
        )
    for name in new:
        (number,) = conn.execute(
            "INSERT INTO consent_document (domain, name) VALUES (?,?) RETURNING number", (domain, name)
        ).fetchone()
        known[name] = number
    return known


def forget_domain(conn: Connection, domain: int) -> None:
    """Delete what is known of a domain's persons, when its keys are destroyed: nothing leads to them any more."""
    for table in ("consent", "consent_salt", "consent_document"):
        conn.execute(f"DELETE FROM {table} WHERE domain = ?", (domain,))  # noqa: S608 - constants


def new_salts(count: int) -> list[bytes]:
    """Random salts of entries of the log, each for one of them."""
    noise = os.urandom(_SALT_BYTES * count)
    return [noise[at : at + _SALT_BYTES] for at in range(0, len(noise), _SALT_BYTES)]


def keep_salts(conn: Connection, domain: int, tags: Sequence[bytes], first: int, salts: Sequence[bytes]) -> None:
    """Keep the salts of consecutive entries of the log, by the person that each is about."""
    conn.executemany(
        "INSERT INTO consent_salt (domain, tag, leaf, salt) VALUES (?,?,?,?)",
        [(domain, tag, first + at, salt) for at, (tag, salt) in enumerate(zip(tags, salts, strict=True))],
    )
