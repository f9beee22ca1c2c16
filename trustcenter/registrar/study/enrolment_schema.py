"""Tables of the enrolment of practices. A code is stored as its hash only."""

from __future__ import annotations

from typing import Final

from trustcenter.store import Migration

MIGRATIONS: Final = (
    Migration(
        number=550,
        name="sponsors and enrolments",
        sql="""
        CREATE TABLE sponsor (
            study TEXT NOT NULL REFERENCES study(name),
            site TEXT NOT NULL REFERENCES site(name),
            practices INTEGER NOT NULL,   -- how many it may enrol
            PRIMARY KEY (study, site)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE enrolment (
            id TEXT PRIMARY KEY,
            study TEXT NOT NULL REFERENCES study(name),
            sponsor TEXT NOT NULL REFERENCES site(name),
            site TEXT NOT NULL,           -- may not exist yet
            kind TEXT NOT NULL,
            title TEXT NOT NULL,
            deduplicated INTEGER NOT NULL,
            hash BLOB NOT NULL UNIQUE,    -- SHA-256 of the code
            created TEXT NOT NULL,
            expires TEXT NOT NULL,
            used TEXT,
            revoked TEXT,
            public_key TEXT,
            sealed BLOB
        ) STRICT;
        CREATE INDEX enrolment_site ON enrolment (site);
        """,
    ),
    Migration(
        number=640,
        name="a practice's key and what is sealed to it stand with the cards of the study",
        sql="""
        ALTER TABLE enrolment DROP COLUMN public_key;
        ALTER TABLE enrolment DROP COLUMN sealed;
        """,
    ),
)
