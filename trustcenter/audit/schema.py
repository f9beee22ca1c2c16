"""Tables of a log, in the database of its room."""

from __future__ import annotations

from typing import Final

from trustcenter.store import Migration

MIGRATIONS: Final = (
    Migration(
        number=1,
        name="audit log",
        sql="""
        CREATE TABLE audit_entry (
            seq INTEGER PRIMARY KEY,
            hash BLOB NOT NULL CHECK (length(hash) = 32),
            leaf BLOB NOT NULL
        ) STRICT;

        -- Roots of complete subtrees of 2^level leaves, from level 8 on: proofs then read a few hundred hashes.
        CREATE TABLE audit_node (
            level INTEGER NOT NULL,
            position INTEGER NOT NULL,
            hash BLOB NOT NULL CHECK (length(hash) = 32),
            PRIMARY KEY (level, position)
        ) STRICT, WITHOUT ROWID;

        -- The root follows from the frontier (one hash per set bit of size, largest subtree first).
        CREATE TABLE audit_head (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            size INTEGER NOT NULL,
            frontier BLOB NOT NULL,
            micros INTEGER NOT NULL       -- time of the last entry since 1970, 0 at the comparator
        ) STRICT;
        INSERT INTO audit_head VALUES (1, 0, x'', 0);

        -- Against slips of ours; whoever holds the file is stopped by the tree, not by triggers.
        CREATE TRIGGER audit_entry_kept BEFORE DELETE ON audit_entry
        BEGIN SELECT RAISE(ABORT, 'audit entries are never deleted'); END;
        CREATE TRIGGER audit_entry_fixed BEFORE UPDATE ON audit_entry
        BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END;
        """,
    ),
    Migration(
        number=450,
        name="handovers of the audit key",
        sql="""
        CREATE TABLE audit_handover (
            number INTEGER PRIMARY KEY,   -- from 1
            vkey_before TEXT NOT NULL,    -- the key that hands over
            note TEXT NOT NULL            -- its checkpoint with the next key, signed by both
        ) STRICT;
        """,
    ),
)
