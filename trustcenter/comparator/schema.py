"""Tables of the comparator's store: studies, uploads and rows. No record number, no pseudonym, no time.

Rows lie packed by pass and token (`placing`), so a dump of the file says nothing about which rows arrived together; the
only grouping is the upload, which the protocol names anyway. The tables `row` and `chunk` are of stores made before
that: `moving` empties them.
"""

from __future__ import annotations

from trustcenter.store import Migration

from . import placing

MIGRATIONS = (
    *placing.MIGRATIONS,
    Migration(
        number=300,
        name="studies, uploads and rows",
        sql="""
        CREATE TABLE instance (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            instance TEXT NOT NULL,
            keystore TEXT NOT NULL
        ) STRICT;
        CREATE TABLE study (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            version INTEGER NOT NULL,
            fingerprint TEXT NOT NULL,
            passes INTEGER NOT NULL,
            levels TEXT NOT NULL,
            caps TEXT NOT NULL,
            minimum_rows INTEGER NOT NULL,
            sources TEXT NOT NULL,
            window_number INTEGER NOT NULL  -- the window that is open now
        ) STRICT;
        CREATE TABLE upload (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            study TEXT NOT NULL REFERENCES study(name),
            source TEXT NOT NULL,
            version INTEGER NOT NULL,
            rows INTEGER NOT NULL,
            chunks INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'staged', 'live')),
            sequence INTEGER,
            receipt BLOB
        ) STRICT;
        CREATE TABLE chunk (
            upload INTEGER NOT NULL REFERENCES upload(number),
            chunk INTEGER NOT NULL,
            sha256 BLOB NOT NULL,
            rows INTEGER NOT NULL,
            refs BLOB NOT NULL,           -- of its rows, 16 bytes each, in order; chunks go when the upload is live
            PRIMARY KEY (upload, chunk)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE row (
            study INTEGER NOT NULL REFERENCES study(number),
            pass INTEGER NOT NULL,
            token BLOB NOT NULL,
            ref BLOB NOT NULL,
            upload INTEGER NOT NULL REFERENCES upload(number),
            filter BLOB NOT NULL,
            PRIMARY KEY (study, pass, token, ref)
        ) STRICT, WITHOUT ROWID;
        CREATE UNIQUE INDEX row_ref ON row (study, ref);
        """,
    ),
    Migration(
        number=510,
        name="whether a study takes rows",
        sql="ALTER TABLE study ADD COLUMN takes_rows INTEGER NOT NULL DEFAULT 1;",
    ),
    Migration(
        number=591,
        name="sources that were removed from a study",
        sql="ALTER TABLE study ADD COLUMN former TEXT NOT NULL DEFAULT '[]';",
    ),
    Migration(
        number=631,
        name="lead sites of studies",
        sql="ALTER TABLE study ADD COLUMN lead TEXT;",
    ),
    Migration(
        number=682,
        name="rows of studies that are being purged",
        # How many rows there were when it began; 0: none is under way.
        sql="ALTER TABLE study ADD COLUMN purging INTEGER NOT NULL DEFAULT 0;",
    ),
)
