"""Tables of re-identification. No pseudonym and no original: a ticket names rows."""

from __future__ import annotations

from trustcenter.store import Migration

MIGRATIONS = (
    Migration(
        number=220,
        name="re-identification under dual control",
        sql="""
        CREATE TABLE reidentification (
            id TEXT PRIMARY KEY,
            domain INTEGER NOT NULL REFERENCES domain(id),
            site TEXT NOT NULL REFERENCES site(name),
            reason TEXT NOT NULL,
            pseudonyms INTEGER NOT NULL,
            salt BLOB NOT NULL,           -- 16 random bytes: open the statement's digest
            statement TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('requested', 'approved', 'used-up', 'expired', 'denied')),
            open_until TEXT NOT NULL,
            valid_hours INTEGER NOT NULL,
            required INTEGER NOT NULL,
            fetches_left INTEGER NOT NULL,
            expires TEXT,
            denied_by TEXT,
            denial TEXT,
            created TEXT NOT NULL
        ) STRICT;
        CREATE INDEX reidentification_open ON reidentification (site, state);
        CREATE TABLE reidentification_approval (
            reidentification TEXT NOT NULL REFERENCES reidentification(id),
            staff TEXT NOT NULL,
            signature TEXT NOT NULL,
            created TEXT NOT NULL,
            PRIMARY KEY (reidentification, staff)
        ) STRICT, WITHOUT ROWID;

        -- The rows that a ticket is for; gone once it is over.
        CREATE TABLE reidentification_row (
            reidentification TEXT NOT NULL REFERENCES reidentification(id),
            serial INTEGER NOT NULL,
            PRIMARY KEY (reidentification, serial)
        ) STRICT, WITHOUT ROWID;

        -- Opens the commitments in the log. Erased with the row, and the log's entry then says nothing of anybody.
        CREATE TABLE reidentification_salt (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            seq INTEGER NOT NULL,         -- leaf index of the entry
            salt BLOB NOT NULL,
            PRIMARY KEY (domain, serial, seq)
        ) STRICT, WITHOUT ROWID;
        CREATE TRIGGER reidentification_forgets AFTER UPDATE OF status ON entry WHEN NEW.status <> 0
        BEGIN DELETE FROM reidentification_salt WHERE domain = NEW.domain AND serial = NEW.serial; END;
        CREATE TRIGGER reidentification_forgets_deleted AFTER DELETE ON entry
        BEGIN DELETE FROM reidentification_salt WHERE domain = OLD.domain AND serial = OLD.serial; END;

        CREATE TABLE reidentification_day (
            site TEXT NOT NULL,
            day TEXT NOT NULL,            -- YYYY-MM-DD, UTC
            released INTEGER NOT NULL,
            PRIMARY KEY (site, day)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
    Migration(
        number=221,
        name="a closed domain opens no entry of its re-identifications",
        sql="""
        CREATE TRIGGER reidentification_forgets_closed AFTER UPDATE OF state ON domain WHEN NEW.state = 'closed'
        BEGIN
            DELETE FROM reidentification_salt WHERE domain = NEW.id;
            DELETE FROM reidentification_row
                WHERE reidentification IN (SELECT id FROM reidentification WHERE domain = NEW.id);
        END;
        """,
    ),
)
