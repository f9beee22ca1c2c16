"""Tables of key rotations: the record of each, who must get its map, and what two people agree on."""

from __future__ import annotations

from trustcenter.store import Migration

MIGRATIONS = (
    Migration(
        number=400,
        name="rotations, their parties and deliveries, proposals and schedules of keys",
        sql="""
        -- The only place that says whether a rotation is under way: status, resume and refusal all read it.
        CREATE TABLE rotation (
            id TEXT PRIMARY KEY,
            scope TEXT NOT NULL,
            purpose TEXT NOT NULL,
            from_version INTEGER NOT NULL,
            to_version INTEGER NOT NULL,
            companion INTEGER,            -- version of the data key that a new lookup key seals under
            stage TEXT NOT NULL CHECK (stage IN ('prepared', 'rewriting', 'changed', 'verified', 'finalized',
                'aborted', 'rolled-back', 'superseded')),
            mark INTEGER NOT NULL,        -- greatest serial at the cut-over
            cursor INTEGER NOT NULL,      -- cursor jobs: every serial up to it is rewritten
            total INTEGER NOT NULL,       -- rows live when it was planned
            done INTEGER NOT NULL,        -- rows rewritten, or found good
            map_mac TEXT,                 -- keyed hash of the verified map
            deadline TEXT NOT NULL,       -- after it, two people may finalize without every acknowledgement
            started_by TEXT NOT NULL,
            started TEXT NOT NULL,
            since TEXT NOT NULL           -- of the stage
        ) STRICT;
        CREATE UNIQUE INDEX rotation_one_open ON rotation (scope, purpose)
            WHERE stage IN ('prepared', 'rewriting', 'changed', 'verified');

        CREATE TABLE rotation_party (
            rotation TEXT NOT NULL REFERENCES rotation(id),
            party TEXT NOT NULL,          -- site:NAME, or recipient:STUDY/NAME
            acknowledged TEXT,
            told_by TEXT,
            PRIMARY KEY (rotation, party)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE rotation_delivery (
            rotation TEXT NOT NULL REFERENCES rotation(id),
            party TEXT NOT NULL,
            mac TEXT NOT NULL,            -- keyed hash of the map as it was delivered
            pairs INTEGER NOT NULL,
            delivered TEXT NOT NULL,
            PRIMARY KEY (rotation, party, mac)
        ) STRICT, WITHOUT ROWID;

        -- To what maps are sealed; recipients of studies have theirs in the study.
        CREATE TABLE site_key (
            site TEXT PRIMARY KEY REFERENCES site(name),
            public_key TEXT NOT NULL,
            set_by TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT;

        CREATE TABLE key_proposal (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('finalize', 'destroy', 'deliver')),
            scope TEXT NOT NULL,
            purpose TEXT NOT NULL,
            version INTEGER NOT NULL,
            rotation TEXT,
            party TEXT,
            statement TEXT NOT NULL,
            proposed_by TEXT NOT NULL,
            created TEXT NOT NULL,
            approved_by TEXT,
            signature TEXT,
            approved TEXT
        ) STRICT;

        CREATE TABLE key_schedule (
            scope TEXT NOT NULL,
            purpose TEXT NOT NULL,
            days INTEGER NOT NULL,
            set_by TEXT NOT NULL,
            created TEXT NOT NULL,
            PRIMARY KEY (scope, purpose)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
    Migration(
        number=410,
        name="rotation of lookup keys",
        sql="""
        -- Versions of the lookup key that rows of the domain may be found by, newest first, a space between them.
        ALTER TABLE domain ADD COLUMN lookup TEXT NOT NULL DEFAULT '1';
        """,
    ),
    Migration(
        number=641,
        name="rows whose tag changes while places in the tag index are exchanged",
        sql="""
        CREATE TABLE tag_touched (
            domain INTEGER NOT NULL, serial INTEGER NOT NULL, PRIMARY KEY (domain, serial)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)
