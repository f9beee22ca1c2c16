"""Which version of a room's audit key is which: by its public half, as handovers of the log name it."""

from __future__ import annotations

from collections.abc import Callable

from keys.ids import KeyId, Purpose
from keys.store import KeyStore
from trustcenter.audit.chain import NEXT_KEY
from trustcenter.audit.note import parse_checkpoint, parse_note, parse_vkey
from trustcenter.registrar.rotating.keyring import INSTANCE
from trustcenter.store import Connection


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
    """The version that the log was last handed over to; 1 if it never was."""
    row = conn.execute("SELECT note FROM audit_handover ORDER BY number DESC LIMIT 1").fetchone()
    if row is None:
        return 1
    extension = parse_checkpoint(parse_note(row[0]).text).extensions[0]
    return version_of(keys, parse_vkey(extension.removeprefix(NEXT_KEY)).public)
