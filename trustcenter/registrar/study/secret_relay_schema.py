"""Tables of the relay of study secrets. What is sealed here, nobody at the centre can open."""

from __future__ import annotations

from typing import Final

from trustcenter.store import Migration

MIGRATIONS: Final = (
    Migration(
        number=460,
        name="cards, shares and confirmations of study secrets",
        sql="""
        CREATE TABLE member_card (
            study TEXT NOT NULL REFERENCES study(name),
            site TEXT NOT NULL REFERENCES site(name),
            card TEXT NOT NULL,
            created TEXT NOT NULL,
            PRIMARY KEY (study, site)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE secret_share (
            study TEXT NOT NULL REFERENCES study(name),
            version INTEGER NOT NULL,
            sender TEXT NOT NULL REFERENCES site(name),
            issue INTEGER NOT NULL,
            secret TEXT NOT NULL,         -- fingerprint: the same in all shares of a version
            statement TEXT NOT NULL,
            signature TEXT NOT NULL,
            created TEXT NOT NULL,
            PRIMARY KEY (study, version, sender)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE secret_envelope (
            study TEXT NOT NULL REFERENCES study(name),
            version INTEGER NOT NULL,
            sender TEXT NOT NULL REFERENCES site(name),
            member TEXT NOT NULL REFERENCES site(name),
            sealed BLOB NOT NULL,
            PRIMARY KEY (study, version, sender, member)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE secret_confirmation (
            study TEXT NOT NULL REFERENCES study(name),
            version INTEGER NOT NULL,
            member TEXT NOT NULL REFERENCES site(name),
            confirmation TEXT NOT NULL,
            created TEXT NOT NULL,
            PRIMARY KEY (study, version, member)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)
