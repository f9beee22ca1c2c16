"""Rotation of a room's own keys: of the log's, where the old key signs the new one; with it, the key of key states.

Material first, then one transaction with the handover, its entry and, at the registrar, the states under a new state
key. A crash in between leaves keys that nothing names; the next attempt takes them up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from keys.ids import KeyId, Purpose
from keys.states import KeyAction, KeyState
from keys.store import KeyStore
from trustcenter.audit import Event
from trustcenter.audit.chain import NEXT_KEY
from trustcenter.audit.note import fingerprint, parse_checkpoint, parse_note, parse_vkey
from trustcenter.auth import Principal
from trustcenter.messages.api.keys import AuditKeyRotated
from trustcenter.registrar.context import Context
from trustcenter.registrar.keyring import INSTANCE
from trustcenter.store import Connection

if TYPE_CHECKING:
    from .opening import Instance


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


async def rotate(instance: Instance, caller: Principal, request: str, room: str) -> AuditKeyRotated:
    """Give the log of a room another signing key; at the registrar, the states of keys another MAC key as well.

    Raises:
        KeyStoreConflictError, KeyStoreUnavailableError: the key store cannot be changed.
        VerificationError: the key store's keys are not those that the log knows.
    """
    registrar = instance.registrar
    context = registrar if room == "registrar" else instance.comparator
    keys, log = context.keys, context.log
    before = await context.db.read(lambda conn: current(keys, conn))
    after = before + 1
    wanted = [KeyId(INSTANCE, Purpose.AUDIT, after)]
    if room == "registrar":
        state = await context.db.read(registrar.ring.vouching)
        wanted.append(KeyId(INSTANCE, Purpose.STATE, state + 1))
    await asyncio.to_thread(keys.add, [key for key in wanted if not keys.known(key)])
    public = keys.public_key(INSTANCE, Purpose.AUDIT, after)

    sign = signer(keys, after)
    old = fingerprint(log.vkey)

    def effect(conn: Connection) -> None:
        if room == "registrar":
            told = {"who": caller.name, "request": request, "from_version": before, "to_version": after}
            log.hand_over(conn, public, sign, told)
            _states(registrar, conn, before, after)
            registrar.ring.renew(conn, state + 1)
            told = {"purpose": "state", "from_version": state, "to_version": state + 1}
            registrar.audit(conn, Event.KEY_ROTATE, caller.name, request, **told)
            registrar.ring.note_generation(conn)
        else:
            log.hand_over(conn, public, sign, {"who": "operator", "window": 0})

    await context.db.write(effect)
    log.use(public, sign)
    if room == "registrar":
        registrar.head.state_key = state + 1
        registrar.head.remember(*await registrar.db.read(log.head))  # signed with the new key from now on
    return AuditKeyRotated(room=room, version=after, from_fingerprint=old, to_fingerprint=fingerprint(log.vkey))


def _states(registrar: Context, conn: Connection, before: int, after: int) -> None:
    ring = registrar.ring
    ring.add(conn, KeyId(INSTANCE, Purpose.AUDIT, after), KeyState.PRE_ACTIVE)
    known = {v.version: v for v in ring.versions(conn, INSTANCE, Purpose.AUDIT)}
    ring.act(conn, known[before], KeyAction.DEACTIVATE)
    ring.act(conn, known[after], KeyAction.ACTIVATE)
