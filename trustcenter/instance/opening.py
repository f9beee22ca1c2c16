"""Opening an instance: both rooms, verified against their key stores and the outside head, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from keys.store import KeyStore, Passphrase
from trustcenter import auth
from trustcenter.audit import MIGRATIONS as AUDIT_MIGRATIONS
from trustcenter.audit import Event
from trustcenter.clock import Clock, utc_now
from trustcenter.comparator import carried as comparator_carried
from trustcenter.comparator import compare, deliveries
from trustcenter.comparator import enrolment as comparator_enrolment
from trustcenter.comparator import ledger as comparator_ledger
from trustcenter.comparator import receipt_keys as comparator_receipt_keys
from trustcenter.comparator import schema as comparator_schema
from trustcenter.config import Config
from trustcenter.errors import ConflictError
from trustcenter.instance.backups.continuous import Continuous
from trustcenter.registrar import closing, closing_proposals, cosignatures, grants
from trustcenter.registrar import policy as registrar_policy
from trustcenter.registrar import schema as registrar_schema
from trustcenter.registrar.consents import consent_store
from trustcenter.registrar.linking import carried, linkage_log, pairs, receipt_keys, runs
from trustcenter.registrar.linking import ledger as registrar_ledger
from trustcenter.registrar.pseudonyms import removal
from trustcenter.registrar.reversal import reidentify_schema
from trustcenter.registrar.rotating import rewriting, rotation_schema, rotation_verify
from trustcenter.registrar.study import enrolment_schema, secret_relay_schema
from trustcenter.store import Database, Migration, Postgres
from trustcenter.store.scrub import scrub

from . import places
from . import room_opening as rooms
from .backups import fence, notes, replaying
from .between import cards
from .opened import Instance
from .parts import keys_path, require_file
from .places import RESTORE_PENDING
from .rotating import room_key_destroy, room_key_leaks, room_key_proposals, room_key_record, room_keys

OWN_KEYS = (
    room_key_record.MIGRATION,
    room_key_leaks.MIGRATION,
    room_key_destroy.MIGRATION,
    room_key_proposals.MIGRATION,
)
REGISTRAR_MIGRATIONS = (
    *AUDIT_MIGRATIONS,
    *auth.MIGRATIONS,
    *registrar_schema.MIGRATIONS,
    *registrar_policy.MIGRATIONS,
    *closing_proposals.MIGRATIONS,
    *reidentify_schema.MIGRATIONS,
    *consent_store.MIGRATIONS,
    fence.REGISTRAR_MIGRATION,
    *grants.MIGRATIONS,
    *enrolment_schema.MIGRATIONS,
    *runs.MIGRATIONS,
    *pairs.MIGRATIONS,
    *linkage_log.MIGRATIONS,
    *rotation_schema.MIGRATIONS,
    *secret_relay_schema.MIGRATIONS,
    *registrar_ledger.MIGRATIONS,
    *carried.MIGRATIONS,
    *receipt_keys.MIGRATIONS,
    *OWN_KEYS,
)
COMPARATOR_MIGRATIONS = (
    *AUDIT_MIGRATIONS,
    *comparator_schema.MIGRATIONS,
    *deliveries.MIGRATIONS,
    *comparator_ledger.MIGRATIONS,
    *comparator_carried.MIGRATIONS,
    *compare.MIGRATIONS,
    *cosignatures.MIGRATIONS,
    fence.COMPARATOR_MIGRATION,
    *comparator_receipt_keys.MIGRATIONS,
    *OWN_KEYS,
)


def migrations(config: Config, room: str) -> tuple[Migration, ...]:
    """The schema of a room. A comparator of its own holds its clients; else the registrar does for both."""
    if room == "registrar":
        return REGISTRAR_MIGRATIONS
    if config.room == "comparator":
        return (*COMPARATOR_MIGRATIONS, *auth.MIGRATIONS, *comparator_enrolment.MIGRATIONS)
    return COMPARATOR_MIGRATIONS


async def open_store(config: Config, room: str, *, exclusive: bool = True) -> Database:
    """The store of a room, open for writing; see `Database.open`.

    Raises:
        ConflictError: it was moved, and what goes on is elsewhere.
    """
    db = await Database.open(
        places.database(config, room), migrations(config, room), application=room, exclusive=exclusive
    )
    try:
        await db.read(fence.require_none)
    except BaseException:
        await db.close()
        raise
    return db


@asynccontextmanager
async def open_instance(
    config: Config, passphrase: Passphrase, clock: Clock = utc_now, *, exclusive: bool = True
) -> AsyncIterator[Instance]:
    """Open the rooms that an instance holds, check them, and close them in order.

    Args:
        config: of the instance.
        passphrase: of its key stores, or what reads it; then `keys rekey` needs no restart.
        clock: wall clock, UTC.
        exclusive: refuse while another process has the stores open; the service shares PostgreSQL with others.

    Raises:
        KeysError: wrong passphrase, damaged key store.
        VerificationError: an older database or key store, or one of another instance.
        StoreError: a database that cannot be used.
    """
    require_complete(config)
    async with AsyncExitStack() as stack:
        shared = not exclusive and isinstance(places.database(config, "registrar"), Postgres)
        keys = {room: KeyStore.open(keys_path(config, room), passphrase, shared=shared) for room in config.rooms}
        card = cards.peer(config)
        copies = Continuous(config, clock)
        await asyncio.to_thread(copies.recover)
        stack.push_async_callback(asyncio.to_thread, copies.settle)
        stack.callback(_scrub, *_files(config))  # after they are closed
        stack.push_async_callback(asyncio.to_thread, copies.flush)
        stores: dict[str, Database] = {}
        for room in config.rooms:
            stores[room] = await open_store(config, room, exclusive=exclusive)
            stack.push_async_callback(stores[room].close)
        registrar = comparator = None
        if "registrar" in stores:
            receipts = keys.get("comparator")
            if receipts is not None:
                first = comparator_receipt_keys.first
                receipt_key = await stores["comparator"].read(lambda conn: first(receipts, conn))
            else:
                receipt_key = bytes.fromhex(card.receipt_key) if card is not None else b""
            registrar = await rooms.open_registrar(
                config, stores["registrar"], keys["registrar"], clock, receipt_key, shared=shared
            )
        if "comparator" in stores:
            comparator = await rooms.open_comparator(config, stores["comparator"], keys["comparator"], clock, registrar)
        instance, gate = await rooms.open_gate(registrar, comparator, clock)
        opened = Instance(config, instance, copies, gate, registrar, comparator)
        stack.push_async_callback(asyncio.to_thread, copies.stop_copying)
        await asyncio.to_thread(copies.attach, stores)
        if registrar is not None:
            await rooms.start(registrar)
            await replaying.carry_out(config, registrar)
            await notes.take_in(config, registrar)
            await closing.destroy_due(registrar)
            if comparator is not None:
                await room_keys.teach(registrar, comparator, "service", "")
            await removal.expire_due(registrar)
        elif comparator is not None:
            await rooms.note(comparator, Event.INSTANCE_START, separation=config.separation)
        await room_key_proposals.take_up(opened)
        try:
            yield opened
        finally:
            if registrar is not None:
                await rotation_verify.stop(registrar)
                await rewriting.stop(registrar)
                await rooms.stop(registrar)
            elif comparator is not None:
                await rooms.note(comparator, Event.INSTANCE_STOP)


def require_complete(config: Config) -> None:
    """Refuse files that are missing or half restored; opening a missing database would create an empty one.

    Raises:
        ConflictError: a restore was interrupted.
        NotFoundError: a database is missing.
    """
    if (Path(config.base) / RESTORE_PENDING).exists():
        raise ConflictError(
            "a restore was interrupted: the parts of this instance may be of different moments",
            code="restore_interrupted",
            hint="repeat the trustcenter restore command",
        )
    for path in _files(config):
        require_file(path)


def _files(config: Config) -> list[Path]:
    return [place for room in config.rooms if isinstance(place := places.database(config, room), Path)]


def _scrub(*databases: Path) -> None:
    """What was deleted shall be gone from the files, not only from their tables."""
    for database in databases:
        with contextlib.suppress(OSError):  # a full or failing disk: the next stop tries again
            scrub(database)
