"""Which version of a room's audit key is which: by its public half, as handovers of the log name it."""

from __future__ import annotations

from collections.abc import Callable

from keys.ids import KeyId, Purpose
from keys.store import KeyStore
from trustcenter.audit.chain import NEXT_KEY
from trustcenter.audit.note import parse_checkpoint, parse_note, parse_vkey
from trustcenter.comparator.receipt_keys import require_here
from trustcenter.registrar.rotating.keyring import INSTANCE
from trustcenter.store import Connection

from . import room_key_record


def version_of(keys: KeyStore, public_key: bytes) -> int:
    """The version of the audit key that has this public half; 1 if none has."""
    for version in versions(keys):
        if keys.public_key(INSTANCE, Purpose.AUDIT, version) == public_key:
            return version
    return 1


def signer(keys: KeyStore, version: int) -> Callable[[bytes], bytes]:
    """What signs with one version of the audit key."""
    return lambda message: keys.sign(INSTANCE, Purpose.AUDIT, version, message)


def find(keys: KeyStore, public_key: bytes) -> Callable[[bytes], bytes] | None:
    """What signs for this public half; None if its material is not here."""
    version = version_of(keys, public_key)
    known = keys.public_key(INSTANCE, Purpose.AUDIT, version) == public_key
    return signer(keys, version) if known else None


def versions(keys: KeyStore) -> list[int]:
    """The versions of the audit key whose material is there, oldest first."""
    number, found = 1, []
    while keys.known(KeyId(INSTANCE, Purpose.AUDIT, number)):
        if keys.has(KeyId(INSTANCE, Purpose.AUDIT, number)):
            found.append(number)
        number += 1
    return found


def current(keys: KeyStore, conn: Connection) -> int:
    """The version that the log was last handed over to; 1 if it never was.

    Raises:
        StaleDatabaseError: the version that it would be was destroyed since.
    """
    row = conn.execute("SELECT note FROM audit_handover ORDER BY number DESC LIMIT 1").fetchone()
    found = 1
    if row is not None:
        extension = parse_checkpoint(parse_note(row[0]).text).extensions[0]
        public = parse_vkey(extension.removeprefix(NEXT_KEY)).public
        found = version_of(keys, public)
        if find(keys, public) is None and room_key_record.there(conn):  # gone, though others of before may be here
            query = "SELECT max(to_version) FROM room_rotation WHERE stage <> 'prepared'"
            found = conn.execute(query).fetchone()[0] or found
    require_here(keys, KeyId(INSTANCE, Purpose.AUDIT, found))
    return found


def vkeys(conn: Connection) -> set[str]:
    """Every key that signed this room's log, in C2SP text form, but the one that signs it now; destroyed ones too."""
    return {str(vkey) for (vkey,) in conn.execute("SELECT vkey_before FROM audit_handover").fetchall()}
