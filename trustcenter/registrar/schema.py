"""Tables of the registrar's store: domains, pseudonyms, studies, records, persons. No token and no filter."""

from __future__ import annotations

from trustcenter.store import Migration

from . import cosignatures, letters, retention
from .doubts import clearing_questions, clearing_tasks
from .linking import calibrations, neighbours, retiring, sweeping, tally
from .pseudonyms import issue_index
from .release import release_changes
from .study import own_duplicates, refs, study_schema, study_versions

MIGRATIONS = (
    *study_schema.MIGRATIONS,
    *calibrations.MIGRATIONS,
    *own_duplicates.MIGRATIONS,
    *clearing_tasks.MIGRATIONS,
    *clearing_questions.MIGRATIONS,
    *cosignatures.MIGRATIONS,
    *issue_index.MIGRATIONS,
    *letters.MIGRATIONS,
    *retiring.MIGRATIONS,
    *retention.MIGRATIONS,
    *study_versions.MIGRATIONS,
    *release_changes.MIGRATIONS,
    *refs.MIGRATIONS,
    *sweeping.MIGRATIONS,
    *tally.MIGRATIONS,
    *neighbours.MIGRATIONS,
    Migration(
        number=200,
        name="instance, keys, domains and pseudonyms",
        sql="""
        CREATE TABLE instance (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            instance TEXT NOT NULL,
            database TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            keystore TEXT NOT NULL,
            keystore_generation INTEGER NOT NULL,
            created TEXT NOT NULL
        ) STRICT;

        CREATE TABLE domain (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            uuid TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN ('site', 'study-site', 'study-recipient')),
            site TEXT REFERENCES site(name),
            study TEXT,
            recipient TEXT,
            suite TEXT NOT NULL,
            h BLOB NOT NULL,              -- inner key of suite "computed"; destroyed when the domain is closed
            created TEXT NOT NULL
        ) STRICT;

        -- State lives here, material in the key store; mac binds the two, so that neither is edited alone.
        CREATE TABLE key_version (
            scope TEXT NOT NULL,
            purpose TEXT NOT NULL,
            version INTEGER NOT NULL CHECK (version BETWEEN 1 AND 255),
            state TEXT NOT NULL,
            since TEXT NOT NULL,
            high_water INTEGER,           -- greatest serial ever issued under it, fixed at cut-over
            mac BLOB NOT NULL,
            PRIMARY KEY (scope, purpose, version)
        ) STRICT, WITHOUT ROWID;
        CREATE UNIQUE INDEX key_one_active ON key_version (scope, purpose) WHERE state = 'active';

        -- Neither AUTOINCREMENT nor rowids: SQLite reuses a deleted maximum.
        CREATE TABLE counter (
            domain INTEGER NOT NULL REFERENCES domain(id),
            epoch INTEGER NOT NULL,
            next INTEGER NOT NULL,
            PRIMARY KEY (domain, epoch)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE entry (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,      -- epoch:12 || counter:36
            nonce BLOB NOT NULL,          -- 5 random bytes, fixed while the row lives
            salt BLOB NOT NULL,           -- 16 random bytes: opens this row's commitment in the log
            idx INTEGER NOT NULL,
            tag BLOB,                     -- keyed hash of the original, 16 bytes
            sealed BLOB,                  -- the original under the data key
            status INTEGER NOT NULL,      -- 0 live
            PRIMARY KEY (domain, serial)
        ) STRICT, WITHOUT ROWID;
        -- First rows of originals are found through the tag index (trustcenter.registrar.tagindex); only further
        -- ones of the same original need an index of the ordinary kind.
        CREATE UNIQUE INDEX entry_further ON entry (domain, tag, idx) WHERE tag IS NOT NULL AND idx > 0;
        CREATE TABLE tag_main (
            key INTEGER PRIMARY KEY, domain INTEGER NOT NULL, serial INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE tag_recent (
            key INTEGER PRIMARY KEY, domain INTEGER NOT NULL, serial INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE tag_clash (
            domain INTEGER NOT NULL, tag BLOB NOT NULL, serial INTEGER NOT NULL, PRIMARY KEY (domain, tag)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
    Migration(
        number=201,
        name="studies, records, runs and releases",
        sql="""
        CREATE TABLE study (
            name TEXT PRIMARY KEY,
            version INTEGER NOT NULL,
            purpose TEXT NOT NULL,
            permit TEXT NOT NULL,
            schema TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            passes INTEGER NOT NULL,
            levels TEXT NOT NULL,
            minimum_batch INTEGER NOT NULL,
            valid_until TEXT,
            state TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT;
        CREATE TABLE participant (
            study TEXT NOT NULL REFERENCES study(name),
            site TEXT NOT NULL REFERENCES site(name),
            deduplicated INTEGER NOT NULL,
            domain INTEGER NOT NULL REFERENCES domain(id),
            PRIMARY KEY (study, site)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE recipient (
            study TEXT NOT NULL REFERENCES study(name),
            name TEXT NOT NULL,
            public_key TEXT NOT NULL,
            domain INTEGER NOT NULL REFERENCES domain(id),
            PRIMARY KEY (study, name)
        ) STRICT, WITHOUT ROWID;

        -- One row per entry of a (study, site) domain: the original of that entry is the record number.
        CREATE TABLE record (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('unlinked', 'mapped', 'linked')),
            decoy INTEGER NOT NULL DEFAULT 0,
            person BLOB,                  -- 16 random bytes, the registrar's surrogate inside one study
            quality REAL,                 -- greatest posterior that joins the record to its person; null if alone
            PRIMARY KEY (domain, serial)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX record_person ON record (person) WHERE person IS NOT NULL;
        CREATE TABLE record_ref (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            ref BLOB NOT NULL,
            PRIMARY KEY (domain, serial, ref)
        ) STRICT, WITHOUT ROWID;
        CREATE UNIQUE INDEX record_ref_once ON record_ref (ref);
        CREATE TABLE map (
            upload TEXT PRIMARY KEY,
            study TEXT NOT NULL,
            site TEXT NOT NULL,
            root TEXT NOT NULL,
            records INTEGER NOT NULL,
            digest BLOB NOT NULL          -- SHA-256 of the packed entries: a retry must bring the same map
        ) STRICT;

        CREATE TABLE run (
            id TEXT PRIMARY KEY,
            study TEXT NOT NULL REFERENCES study(name),
            window_number INTEGER NOT NULL,
            state TEXT NOT NULL,
            parameters_hash TEXT,
            counts TEXT,
            error TEXT,
            created TEXT NOT NULL,
            finished TEXT,
            UNIQUE (study, window_number)
        ) STRICT;
        CREATE UNIQUE INDEX run_one_open ON run (study) WHERE state IN ('queued', 'comparing', 'deciding');
        CREATE TABLE link (
            run TEXT NOT NULL,
            domain_a INTEGER NOT NULL,
            serial_a INTEGER NOT NULL,
            domain_b INTEGER NOT NULL,
            serial_b INTEGER NOT NULL,
            edges INTEGER NOT NULL,
            level REAL NOT NULL,          -- mean of the edges' midpoints
            posterior REAL NOT NULL,
            class TEXT NOT NULL CHECK (class IN ('match', 'possible')),
            PRIMARY KEY (run, domain_a, serial_a, domain_b, serial_b)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE release (
            id TEXT PRIMARY KEY,
            study TEXT NOT NULL REFERENCES study(name),
            recipient TEXT NOT NULL,
            run TEXT NOT NULL REFERENCES run(id),
            statement TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('proposed', 'released')),
            records INTEGER NOT NULL,
            sealed BLOB,
            proposed_by TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT;
        CREATE TABLE approval (
            release TEXT NOT NULL REFERENCES release(id),
            staff TEXT NOT NULL REFERENCES staff(name),
            signature TEXT NOT NULL,
            created TEXT NOT NULL,
            PRIMARY KEY (release, staff)
        ) STRICT, WITHOUT ROWID;

        -- What the comparator still has to be told. Written in the transaction of its cause, so that a crash
        -- between two messages loses none; delivery is repeated until it succeeds and every message is idempotent.
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('params', 'accept', 'retire')),
            payload BLOB NOT NULL
        ) STRICT;
        """,
    ),
)
