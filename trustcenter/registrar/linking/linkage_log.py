"""The linkage log: every decision of a run under a commitment in the audit log, its details where they can be erased.

As rows of an append-only log the decisions would be the cross-site map and the similarity graph. So the log's entry of
a run holds the Merkle root over salted commitments only. What opens them stands in a table: who erases a link
erases that, the root stays what it was, and the decision can be neither read nor made up (docs/spec/linkage-log.md).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from trustcenter.audit.canonical import encode
from trustcenter.messages import api
from trustcenter.store import Connection, Migration

SALT_BYTES: Final = 16
PREFIX: Final = b"trustcenter/linkage-decision/1\0"
MIGRATIONS: Final = (
    Migration(
        number=451,
        name="decisions of runs under commitments",
        sql="""
        -- leaf stays for ever; salt and the pair of records go with the link.
        CREATE TABLE linkage_decision (
            run TEXT NOT NULL,
            number INTEGER NOT NULL,      -- place in the tree of the run, from 0
            leaf BLOB NOT NULL CHECK (length(leaf) = 32),
            salt BLOB,
            domain_a INTEGER,
            serial_a INTEGER,
            domain_b INTEGER,
            serial_b INTEGER,
            PRIMARY KEY (run, number)
        ) STRICT;
        CREATE INDEX linkage_decision_pair
            ON linkage_decision (run, domain_a, serial_a, domain_b, serial_b) WHERE salt IS NOT NULL;
        CREATE TRIGGER linkage_decision_forgets AFTER DELETE ON link
        BEGIN UPDATE linkage_decision
            SET salt = NULL, domain_a = NULL, serial_a = NULL, domain_b = NULL, serial_b = NULL
            WHERE run = OLD.run AND domain_a = OLD.domain_a AND serial_a = OLD.serial_a
            AND domain_b = OLD.domain_b AND serial_b = OLD.serial_b; END;

        CREATE TABLE linkage_disclosure (
            id TEXT PRIMARY KEY,
            study TEXT NOT NULL,
            run TEXT NOT NULL,
            statement TEXT NOT NULL,
            proposed_by TEXT NOT NULL,
            created TEXT NOT NULL,
            approved_by TEXT,
            signature TEXT
        ) STRICT;
        """,
    ),
)


Link = tuple[int, int, int, int, int, float, float, str]  # pair of records, edges, level, posterior, class


def commit(run: str, names: Mapping[int, str], links: Sequence[Link], first: int) -> list[tuple[Any, ...]]:
    """Commitments to links of a run: rows of `linkage_decision`, with the leaf as third value.

    Args:
        run: its id.
        names: of the domains.
        links: in the order of pairs.
        first: number of the first of them.
    """
    salts = os.urandom(SALT_BYTES * len(links))
    rows = []
    for at, link in enumerate(links):
        salt = salts[SALT_BYTES * at : SALT_BYTES * (at + 1)]
        rows.append((run, first + at, commitment(salt, _detail(run, names, link)), salt, *link[:4]))
    return rows


def commitment(salt: bytes, detail: bytes) -> bytes:
    """The leaf of a decision: HMAC-SHA-256 under its own salt."""
    return hmac.digest(salt, PREFIX + detail, "sha256")


def decisions(conn: Connection, run: str) -> Iterator[api.LinkageDecision]:
    """The decisions of a run in the order of their tree; of an erased one the leaf only."""
    details = dict(_links(conn, run))
    rows = conn.execute(
        "SELECT number, leaf, salt, domain_a, serial_a, domain_b, serial_b FROM linkage_decision"
        " WHERE run = ? ORDER BY number",
        (run,),
    )
    for number, leaf, salt, *pair in rows:
        detail = details.get(tuple(pair))
        if salt is None or detail is None:
            yield api.LinkageDecision(number=number, leaf=leaf.hex())
        else:
            yield api.LinkageDecision(number=number, leaf=leaf.hex(), salt=salt.hex(), detail=detail.decode())


def _links(conn: Connection, run: str) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Pair and canonical detail of each link, in the order of the pairs."""
    names = dict(conn.execute("SELECT id, name FROM domain").fetchall())
    rows = conn.execute(
        "SELECT domain_a, serial_a, domain_b, serial_b, edges, level, posterior, class FROM link WHERE run = ?"
        " ORDER BY domain_a, serial_a, domain_b, serial_b",
        (run,),
    )
    for link in rows:
        yield link[:4], _detail(run, names, link)


def _detail(run: str, names: Mapping[int, str], link: Link) -> bytes:
    domain_a, serial_a, domain_b, serial_b, edges, level, posterior, kind = link
    return encode(
        {
            "run": run,
            "a": [names[domain_a], serial_a],
            "b": [names[domain_b], serial_b],
            "edges": edges,
            "level_ppm": round(level * 1e6),
            "posterior_ppm": round(posterior * 1e6),
            "class": kind,
            "by": "service",
        }
    )
