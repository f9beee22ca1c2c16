"""Heads of the logs that sites have cosigned: taken, kept and shown (docs/spec/cosignature.md).

What one site has cosigned is shown to all others, so that a centre with one history for each is found out. The newest
head of each site is enough: it binds all before it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from trustcenter.audit import AuditLog, Event, fingerprint
from trustcenter.audit.cosign import cosigned_by, merged, only, parse_witness, witness_name
from trustcenter.audit.note import parse_checkpoint, parse_note
from trustcenter.errors import ConflictError, PolicyError, VerificationError
from trustcenter.messages import api
from trustcenter.store import Connection, Database, Migration

MIGRATIONS: Final = (
    Migration(
        number=452,
        name="heads that sites have cosigned",
        sql="""
        CREATE TABLE audit_cosignature (
            room TEXT NOT NULL,
            site TEXT NOT NULL,
            vkey TEXT NOT NULL,           -- verifier key of the site as a witness
            size INTEGER NOT NULL,
            note TEXT NOT NULL,           -- the head with the log's signature and the site's
            PRIMARY KEY (room, site)
        ) STRICT;
        """,
    ),
)
_AHEAD: Final = timedelta(minutes=10)  # by which a site's clock may be before ours


class Head(NamedTuple):
    """A head that was checked: its size, the note with the two signatures, the witness's verifier key."""

    size: int
    note: str
    vkey: str


def checked(conn: Connection, log: AuditLog, site: str, body: api.Cosignature, now: datetime) -> Head:
    """Check a cosigned head against the log that it is of.

    Raises:
        PolicyError: the name is not the caller's. VerificationError: not cosigned with that key, or in the future.
        LogForkedError: this log does not have such a head.
    """
    witness = parse_witness(body.witness)
    if witness.name != witness_name(log.origin, site):
        raise PolicyError(
            "a site cosigns in its own name only",
            code="foreign_witness",
            hint="trustcenter audit witness-key prints the key with its name",
        )
    log.check_extends(conn, body.note)
    seconds = cosigned_by(body.note, witness)
    if seconds is None:
        raise VerificationError("the head is not cosigned with the key that is named", code="not_cosigned")
    if seconds > (now + _AHEAD).timestamp():
        raise VerificationError(
            "the cosignature is from the future", code="cosigned_later", hint="compare the clock of your machine"
        )
    size = parse_checkpoint(parse_note(body.note).text).size
    return Head(size, only(body.note, [log.chain(conn).at(size), witness]), witness.vkey)


async def keep(
    db: Database, audit: Callable[..., int], site: str, request: str, room: str, head: Head
) -> api.CosignedHead:
    """Keep what a site has cosigned instead of what it cosigned before.

    Args:
        db: of the room that lets sites in.
        audit: appends to that room's log; takes connection, event, who, request and fields.
        site: who has cosigned.
        request: its id.
        room: whose log it is.
        head: as checked.

    Raises:
        ConflictError: a larger head of the same log is kept.
    """

    def effect(conn: Connection) -> api.CosignedHead:
        before = conn.execute(
            "SELECT size, note FROM audit_cosignature WHERE room = ? AND site = ?", (room, site)
        ).fetchone()
        if before is not None and before[0] > head.size and _origin(before[1]) == _origin(head.note):
            raise ConflictError(
                "this site has cosigned a later head of the same log",
                code="cosigned_before",
                hint="cosign the head of now",
            )
        conn.execute(
            "INSERT INTO audit_cosignature VALUES (?,?,?,?,?) ON CONFLICT (room, site)"
            " DO UPDATE SET vkey = excluded.vkey, size = excluded.size, note = excluded.note",
            (room, site, head.vkey, head.size, head.note),
        )
        audit(conn, Event.LOG_COSIGN, site, request, room=room, size=head.size, witness=fingerprint(head.vkey))
        return api.CosignedHead(size=head.size, note=head.note, witnesses=[head.vkey])

    return await db.write(effect)


def heads(conn: Connection, log: AuditLog) -> api.CosignedHeads:
    """The newest head of each site, those of one size as one note."""
    rows = conn.execute("SELECT size, note, vkey FROM audit_cosignature WHERE room = ? ORDER BY site", (log.room,))
    found: dict[str, list[tuple[int, str, str]]] = {}
    for size, note, vkey in rows.fetchall():
        if _origin(note) == log.origin:  # a log that was reopened has none of before
            found.setdefault(parse_note(note).text, []).append((size, note, vkey))
    made = [
        api.CosignedHead(
            size=group[0][0], note=merged([note for _, note, _ in group]), witnesses=[vkey for _, _, vkey in group]
        )
        for group in found.values()
    ]
    return api.CosignedHeads(heads=sorted(made, key=lambda head: -head.size))


def _origin(note: str) -> str:
    return note.split("\n", 1)[0]
