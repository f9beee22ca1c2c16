"""Letters of the registrar, kept with what they are about: written in the transaction that makes it."""

from __future__ import annotations

from typing import Final

from trustcenter.audit import letter
from trustcenter.audit.letter import Sealed
from trustcenter.errors import VerificationError
from trustcenter.store import Connection, Migration

from .context import Context

MIGRATIONS: Final = (
    Migration(
        number=632,
        name="letters with sealed files",
        sql="""
        CREATE TABLE letter (
            study TEXT NOT NULL REFERENCES study(name),
            recipient TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('join-map', 'changes')),
            name TEXT NOT NULL,           -- the release, or the number of the batch
            letter TEXT NOT NULL,         -- docs/spec/letter.md
            PRIMARY KEY (study, recipient, kind, name)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


def sign(context: Context, conn: Connection, about: Sealed, recipient: str) -> str:
    """Sign for a sealed file with the key of the log, and keep that, in the transaction of the caller.

    Args:
        context: the registrar.
        conn: of the transaction.
        about: the file.
        recipient: to whom it is sealed.

    Returns:
        The letter.
    """
    text = letter.write(*context.log.signer(conn), about, recipient)
    conn.execute(
        "INSERT INTO letter VALUES (?,?,?,?,?) ON CONFLICT (study, recipient, kind, name) DO UPDATE SET"
        " letter = excluded.letter",
        (about.study, recipient, about.kind, about.name, text),
    )
    return text


def find(conn: Connection, kind: letter.Kind, study: str, recipient: str, name: str) -> str:
    """The letter of a sealed file.

    Raises:
        VerificationError: there is none. It is never written later: whoever can change the database could have put
            another file in the place of this one, and would have it signed.
    """
    query = "SELECT letter FROM letter WHERE study = ? AND recipient = ? AND kind = ? AND name = ?"
    row = conn.execute(query, (study, recipient, kind, name)).fetchone()
    if row is None:
        raise VerificationError(
            "the registrar has not signed this file, so nobody gets it",
            code="unsigned",
            hint="propose the release again, and look who can write to the database: letters do not get lost",
        )
    return str(row[0])


def forget_study(conn: Connection, study: str) -> None:
    """Forget the letters of a study that is deleted."""
    conn.execute("DELETE FROM letter WHERE study = ?", (study,))
