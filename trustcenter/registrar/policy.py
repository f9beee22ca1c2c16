"""What a domain promises: suite, several pseudonyms per original, deletion, reversal, expiry, parent, closing.

Set when the domain is created and never changed afterwards; only its state moves, open → closing → closed.
The tables of the operations that depend on it stand here as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, PolicyError
from trustcenter.store import Connection, Migration

COMPUTED: Final = "computed"
DRAWN: Final = "drawn"
OPEN: Final = "open"
CLOSING: Final = "closing"
CLOSED: Final = "closed"

MIGRATIONS = (
    Migration(
        number=210,
        name="domain policy, stored strings, expiry and idempotency records",
        sql="""
        ALTER TABLE domain ADD COLUMN format TEXT;              -- suite "drawn": its format as JSON
        ALTER TABLE domain ADD COLUMN multi INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE domain ADD COLUMN deletable INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE domain ADD COLUMN reversible INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE domain ADD COLUMN expiry_days INTEGER;
        ALTER TABLE domain ADD COLUMN parent INTEGER REFERENCES domain(id);
        ALTER TABLE domain ADD COLUMN state TEXT NOT NULL DEFAULT 'open'
            CHECK (state IN ('open', 'closing', 'closed'));
        ALTER TABLE domain ADD COLUMN closes TEXT;              -- when its keys are due to be destroyed
        ALTER TABLE domain ADD COLUMN strings INTEGER NOT NULL DEFAULT 0; -- rows of stored_string, tombstones too

        ALTER TABLE entry ADD COLUMN expires INTEGER;           -- seconds since 1970; null: never
        CREATE INDEX entry_expires ON entry (domain, expires) WHERE expires IS NOT NULL;

        -- Drawn and imported pseudonyms. A tombstone keeps its tag, so that no string is given to a second person.
        CREATE TABLE stored_string (
            domain INTEGER NOT NULL,
            tag BLOB NOT NULL,            -- keyed hash of the string, 16 bytes
            serial INTEGER NOT NULL,      -- the entry it stands for
            sealed BLOB,                  -- the string under the data key; null once the entry was deleted
            attempt INTEGER NOT NULL,     -- how many draws it took; 0: imported
            PRIMARY KEY (domain, tag)
        ) STRICT, WITHOUT ROWID;
        CREATE UNIQUE INDEX stored_string_serial ON stored_string (domain, serial);

        -- Neither key nor body is kept, only keyed MACs of them.
        CREATE TABLE idempotency (
            domain INTEGER NOT NULL,
            key BLOB NOT NULL,
            body BLOB NOT NULL,
            version INTEGER NOT NULL,
            serials BLOB NOT NULL,        -- 6 bytes each, in the order of the answer
            created TEXT NOT NULL,
            PRIMARY KEY (domain, key)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


@dataclass(frozen=True)
class Policy:
    """What was chosen when the domain was created. The defaults are the ordinary domain."""

    suite: str = COMPUTED
    format: str | None = None  # JSON, suite "drawn" only
    multi: bool = False
    deletable: bool = False
    reversible: bool = True
    expiry_days: int | None = None
    parent: int | None = None  # row id
    consent: tuple[int, ...] = ()  # numbers of the consent policies it requires

    @property
    def plain(self) -> bool:
        """Whether create-or-get needs nothing beyond the ordinary row."""
        ordinary = self.suite == COMPUTED and self.reversible and self.expiry_days is None and self.parent is None
        return ordinary and not self.consent

    def format_fields(self) -> dict[str, object] | None:
        """The format as it is shown."""
        fields: dict[str, object] | None = json.loads(self.format) if self.format is not None else None
        return fields


ORDINARY: Final = Policy()


def require_open(conn: Connection, domain: int) -> None:
    """Inside the issuing transaction: the domain may still issue.

    Raises:
        ConflictError: it is closing or closed.
    """
    (state,) = conn.execute("SELECT state FROM domain WHERE id = ?", (domain,)).fetchone()
    if state != OPEN:
        raise ConflictError(
            "this domain is closed: it issues no more pseudonyms",
            code="domain_closed",
            hint="those that exist can be translated until the day that `trustcenter domain show` names",
        )


def require_keys(conn: Connection, domain: int, now: datetime) -> None:
    """The domain's keys may still be used: it is not closed, and not due to be.

    Raises:
        ConflictError: the day of its destruction has come.
    """
    state, closes = conn.execute("SELECT state, closes FROM domain WHERE id = ?", (domain,)).fetchone()
    if state == CLOSED or (closes is not None and closes <= stamp(now)):
        raise ConflictError("this domain was closed and its keys are destroyed or due to be", code="domain_destroyed")


def require_multi(policy: Policy) -> None:
    """The domain has several pseudonyms per original.

    Raises:
        PolicyError: it has one.
    """
    if not policy.multi:
        raise PolicyError(
            "this domain has one pseudonym per original",
            code="single_domain",
            hint="several need a domain made with: trustcenter domain create --multi",
        )


def require_deletable(policy: Policy) -> None:
    """The domain allows deletion.

    Raises:
        PolicyError: it does not.
    """
    if not policy.deletable:
        raise PolicyError(
            "nothing is deleted in this domain",
            code="not_deletable",
            hint="anonymise instead, or make a domain with: trustcenter domain create --deletable",
        )
