"""Tables of what a study settles beyond its linkage parameters, and of what the comparator is told about its state."""

from __future__ import annotations

from trustcenter.store import Migration

MIGRATIONS = (
    Migration(
        number=500,
        name="settings and states of studies",
        sql="""
        ALTER TABLE study ADD COLUMN settings TEXT;        -- JSON; without it the defaults hold
        ALTER TABLE study ADD COLUMN shift_scope TEXT;     -- UUID under which the key of its date shifts is kept
        ALTER TABLE study ADD COLUMN closed TEXT;
        ALTER TABLE study ADD COLUMN purged TEXT;          -- when the comparator had confirmed that no row is left
        CREATE TABLE outbox_new (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('params', 'accept', 'retire', 'state')),
            payload BLOB NOT NULL
        ) STRICT;
        INSERT INTO outbox_new (kind, payload) SELECT kind, payload FROM outbox ORDER BY id;
        DROP TABLE outbox;
        ALTER TABLE outbox_new RENAME TO outbox;
        """,
    ),
    Migration(
        number=630,
        name="lead sites of studies",
        # The site that makes the study secret; null: of a study made before, until an operator names one.
        sql="ALTER TABLE study ADD COLUMN lead TEXT;",
    ),
)
