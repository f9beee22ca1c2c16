"""What every part of the registrar works with, put together once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from keys.ids import KeyId
from keys.store import KeyStore
from trustcenter.audit import AuditLog, Event
from trustcenter.auth import Directory
from trustcenter.clock import Clock
from trustcenter.config import Limits
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms.tagindex import TagIndex
from trustcenter.registrar.rotating.keyring import KeyRing
from trustcenter.store import Connection, Database

from .head import OutsideHead


class Gathering(Protocol):
    """Small requests that are issued together (`pseudonyms/singles.py`), as others see them."""

    def busy(self) -> bool:
        """Whether small requests have arrived lately, who would wait behind a long transaction."""


@dataclass
class Check:
    """A verification of a rotation that runs.

    Attributes:
        job: ends with the rotation as it is then, or with what is wrong.
        looked: rows so far.
    """

    job: asyncio.Task[api.Rotation]
    looked: int = 0


@dataclass
class Context:
    """One opened registrar: store, keys, log, head, clock and limits.

    `db.write` runs a function on the only writer thread; within it, `audit` appends the entry of the effect to
    the same transaction.
    """

    db: Database
    keys: KeyStore
    log: AuditLog
    head: OutsideHead
    ring: KeyRing
    directory: Directory
    clock: Clock
    limits: Limits
    separation: str
    comparator_key: bytes  # Ed25519 public key that signs the comparator's receipts
    tags: TagIndex = field(default_factory=TagIndex)
    singles: Gathering | None = None  # made at the first small request
    jobs: dict[str, asyncio.Task[None]] = field(default_factory=dict)  # rotations that rewrite, by id
    checks: dict[str, Check] = field(default_factory=dict)  # verifications under way, by id of the rotation
    cleaning: asyncio.Lock = field(default_factory=asyncio.Lock)  # held by whoever cleans up in chunks
    _key_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def make_keys(self, ids: Sequence[KeyId]) -> None:
        """Generate, seal and prove key material. Orphans that a crash leaves are harmless: nothing names them."""
        async with self._key_lock:
            await asyncio.to_thread(self.keys.add, list(ids))

    async def destroy_keys(self, ids: Sequence[KeyId]) -> None:
        """Destroy key material. Only after the transaction that calls it destroyed was committed."""
        async with self._key_lock:
            await asyncio.to_thread(self.keys.destroy, list(ids))

    def audit(self, conn: Connection, event: Event, who: str, request: str, **fields: Any) -> int:
        """Append the entry of an effect; returns its leaf index."""
        entry: Mapping[str, Any] = {"who": who, "request": request, **fields}
        return self.log.append(conn, event, entry)
