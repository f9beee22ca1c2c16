"""Which key signs receipts now, and how each was handed over to the next. Rotated by `instance.rotating.room_keys`."""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from keys.ids import INSTANCE, KeyId, Purpose
from keys.store import KeyStore
from trustcenter.errors import StaleDatabaseError, VerificationError
from trustcenter.messages.receipts import HANDOVERS_MAX, KeyHandover, Receipt
from trustcenter.store import Connection, Migration

MIGRATIONS: Final = (
    Migration(
        number=671,
        name="handovers of the receipt key",
        sql="""
        CREATE TABLE receipt_handover (
            version INTEGER PRIMARY KEY,  -- of the key that follows, in the key store
            handover BLOB NOT NULL        -- KeyHandover, JSON
        ) STRICT;
        """,
    ),
)


def current(keys: KeyStore, conn: Connection) -> int:
    """The version that signs receipts; 1 if it was never rotated.

    Raises:
        StaleDatabaseError: it was destroyed since. VerificationError: the key store is older than this database.
    """
    row = conn.execute("SELECT version, handover FROM receipt_handover ORDER BY version DESC LIMIT 1").fetchone()
    if row is None:
        return 1
    version, told = int(row[0]), msgspec.json.decode(row[1], type=KeyHandover)
    require_here(keys, KeyId(INSTANCE, Purpose.RECEIPT, version))
    if (
        not keys.has(KeyId(INSTANCE, Purpose.RECEIPT, version))
        or keys.public_key(INSTANCE, Purpose.RECEIPT, version).hex() != told.after
    ):
        raise VerificationError(
            "the comparator's key store is older than its database: it lacks the key that signs receipts",
            code="stale_key_store",
            hint="restore the newest key store of this instance; the database was not touched",
        )
    return version


def first(keys: KeyStore, conn: Connection) -> bytes:
    """The public key that signed receipts before any rotation; it outlives its private half.

    Raises:
        StaleDatabaseError: there was no rotation yet, and the key was destroyed since.
    """
    row = conn.execute("SELECT handover FROM receipt_handover ORDER BY version LIMIT 1").fetchone()
    if row is None:
        require_here(keys, KeyId(INSTANCE, Purpose.RECEIPT, 1))
        return keys.public_key(INSTANCE, Purpose.RECEIPT, 1)
    return bytes.fromhex(msgspec.json.decode(row[0], type=KeyHandover).before)


def require_here(keys: KeyStore, key: KeyId) -> None:
    """A key that a room's database relies on was not destroyed since.

    Raises:
        StaleDatabaseError: it was: two people destroy only what is no longer in use.
    """
    if keys.known(key) and not keys.has(key):
        raise StaleDatabaseError(
            "this database is from before its room's keys were exchanged, and the key it needs was destroyed since",
            hint="restore a newer database, or with this one the backup of the key store from its time",
        )


def handovers(conn: Connection, newest: int = HANDOVERS_MAX) -> list[KeyHandover]:
    """The newest handovers, oldest first."""
    rows = conn.execute("SELECT handover FROM receipt_handover ORDER BY version DESC LIMIT ?", (newest,)).fetchall()
    return [msgspec.json.decode(told, type=KeyHandover) for (told,) in reversed(rows)]


def sign(keys: KeyStore, conn: Connection, receipt: Receipt) -> Receipt:
    """The receipt with signature and handovers."""
    version = current(keys, conn)
    signature = keys.sign(INSTANCE, Purpose.RECEIPT, version, receipt.signed_bytes())
    return msgspec.structs.replace(receipt, signature=base64.b64encode(signature).decode(), handovers=handovers(conn))


def hand_over(keys: KeyStore, conn: Connection, after: int) -> KeyHandover:
    """Let another version, whose material is there, sign from now on, in the caller's transaction."""
    before = current(keys, conn)
    told = KeyHandover.sign(
        keys.public_key(INSTANCE, Purpose.RECEIPT, before),
        lambda said: keys.sign(INSTANCE, Purpose.RECEIPT, before, said),
        keys.public_key(INSTANCE, Purpose.RECEIPT, after),
        lambda said: keys.sign(INSTANCE, Purpose.RECEIPT, after, said),
    )
    conn.execute("INSERT INTO receipt_handover VALUES (?,?)", (after, msgspec.json.encode(told)))
    return told


def verify(keys: KeyStore, conn: Connection) -> int:
    """Check that every handover holds and leads to the key in use; how many there are.

    Raises:
        VerificationError: one does not.
    """
    current(keys, conn)
    told, before = handovers(conn, newest=2**31), ""
    for one in told:
        one.verify()
        if before and one.before != before:
            raise VerificationError("a receipt key does not follow the one before", code="bad_handover")
        before = one.after
    return len(told)
