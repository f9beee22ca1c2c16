"""Opening an instance: both rooms, verified against their key stores and the outside head, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from keys.ids import Purpose
from keys.store import KeyStore, Passphrase
from trustcenter import auth
from trustcenter.audit import MIGRATIONS as AUDIT_MIGRATIONS
from trustcenter.audit import AuditLog, Event
from trustcenter.clock import Clock, utc_now
from trustcenter.comparator import compare, deliveries
from trustcenter.comparator import context as comparator_context
from trustcenter.comparator import ledger as comparator_ledger
from trustcenter.comparator import schema as comparator_schema
from trustcenter.config import Config
from trustcenter.errors import ConflictError, NotFoundError, StaleDatabaseError, VerificationError
from trustcenter.registrar import (
    closing,
    closing_proposals,
    consent_store,
    cosignatures,
    enrolment,
    grants,
    linkage_log,
    pairs,
    reidentify_schema,
    removal,
    rewriting,
    rotation_schema,
    runs,
    secret_relay_schema,
)
from trustcenter.registrar import context as registrar_context
from trustcenter.registrar import ledger as registrar_ledger
from trustcenter.registrar import policy as registrar_policy
from trustcenter.registrar import schema as registrar_schema
from trustcenter.registrar.head import OutsideHead
from trustcenter.registrar.keyring import INSTANCE, KeyRing
from trustcenter.store import Connection, Database, Migration, Postgres
from trustcenter.store.engine import Engine, Watch
from trustcenter.store.scrub import scrub

from . import audit_key, cards, fence, notes, places, replaying
from .continuous import Continuous
from .opened import Gate
from .opened import Instance as Instance
from .parts import keys_path
from .places import HEAD_NAME as HEAD_NAME
from .places import RESTORE_PENDING as RESTORE_PENDING

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
    *enrolment.MIGRATIONS,
    *runs.MIGRATIONS,
    *pairs.MIGRATIONS,
    *linkage_log.MIGRATIONS,
    *rotation_schema.MIGRATIONS,
    *secret_relay_schema.MIGRATIONS,
    *registrar_ledger.MIGRATIONS,
)
COMPARATOR_MIGRATIONS = (
    *AUDIT_MIGRATIONS,
    *comparator_schema.MIGRATIONS,
    *deliveries.MIGRATIONS,
    *comparator_ledger.MIGRATIONS,
    *compare.MIGRATIONS,
    *cosignatures.MIGRATIONS,
    fence.COMPARATOR_MIGRATION,
)


def migrations(config: Config, room: str) -> tuple[Migration, ...]:
    """The schema of a room. A comparator of its own holds its clients; else the registrar does for both."""
    if room == "registrar":
        return REGISTRAR_MIGRATIONS
    return (*COMPARATOR_MIGRATIONS, *auth.MIGRATIONS) if config.room == "comparator" else COMPARATOR_MIGRATIONS


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


def log_origin(instance: str, room: str, epoch: int = 0) -> str:
    """The identity of a log. Reopening the registrar under a new epoch begins a new one (docs/spec/audit-log.md)."""
    return f"trustcenter/{instance}/epoch-{epoch}/{room}" if epoch else f"trustcenter/{instance}/{room}"


def make_log(
    instance: str, room: str, keys: KeyStore, epoch: int = 0, version: int = 1, clock: Clock = utc_now
) -> AuditLog:
    """The log of a room, signed with that room's audit key. `epoch` is the registrar's, 0 at the comparator."""
    return AuditLog(
        origin=log_origin(instance, room, epoch),
        sign=audit_key.signer(keys, version),
        public_key=keys.public_key(INSTANCE, Purpose.AUDIT, version),
        find=lambda public: audit_key.find(keys, public),
        clock=clock,
    )


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
                receipt_key = receipts.public_key(INSTANCE, Purpose.RECEIPT, 1)
            else:
                receipt_key = bytes.fromhex(card.receipt_key) if card is not None else b""
            registrar = await _registrar(
                config, stores["registrar"], keys["registrar"], clock, receipt_key, shared=shared
            )
        if "comparator" in stores:
            comparator = await _comparator(config, stores["comparator"], keys["comparator"], clock, registrar)
        instance, gate = await _gate(registrar, comparator, clock)
        stack.push_async_callback(asyncio.to_thread, copies.stop_copying)
        await asyncio.to_thread(copies.attach, stores)
        if registrar is not None:
            await _start(registrar)
            await replaying.carry_out(config, registrar)
            await notes.take_in(config, registrar)
            await closing.destroy_due(registrar)
            await removal.expire_due(registrar)
        elif comparator is not None:
            await _note(comparator, Event.INSTANCE_START, separation=config.separation)
        try:
            yield Instance(config, instance, copies, gate, registrar, comparator)
        finally:
            if registrar is not None:
                await rewriting.stop(registrar)
                await _stop(registrar)
            elif comparator is not None:
                await _note(comparator, Event.INSTANCE_STOP)


async def _registrar(
    config: Config, db: Database, keys: KeyStore, clock: Clock, comparator_key: bytes, *, shared: bool
) -> registrar_context.Context:
    """The registrar, checked against its key store and its outside head."""
    instance, database, epoch = await db.read(
        lambda conn: conn.execute("SELECT instance, database, epoch FROM instance").fetchone()
    )
    signs = await db.read(lambda conn: audit_key.current(keys, conn))
    log = make_log(instance, "registrar", keys, epoch, signs, clock)
    head = OutsideHead.load(config.path(config.files.registrar_keys).parent / HEAD_NAME, keys)
    head.shared = shared
    ring = KeyRing(keys, clock)
    _watch(db.engine, log, (instance, database, epoch))
    await db.read(ring.check_material)
    size, _ = await db.read(log.head)
    roots = {head.log_size: await db.read(lambda conn: log.root_at(conn, min(head.log_size, size)))}
    head.check(instance=instance, database=database, epoch=epoch, log_size=size, root_at=lambda at: roots[at])
    return registrar_context.Context(
        db=db,
        keys=keys,
        log=log,
        head=head,
        ring=ring,
        directory=auth.Directory(clock, config.limits.credential_cache),
        clock=clock,
        limits=config.limits,
        separation=config.separation,
        comparator_key=comparator_key,
    )


async def _comparator(
    config: Config, db: Database, keys: KeyStore, clock: Clock, registrar: registrar_context.Context | None
) -> comparator_context.Context:
    """The comparator, which is of one instance with its key store, and with the registrar if that is here."""
    instance, keystore = await db.read(lambda conn: conn.execute("SELECT instance, keystore FROM instance").fetchone())
    known = instance if registrar is None else await registrar.db.read(_instance_id)
    if (instance, keystore) != (known, keys.store_id):
        raise VerificationError(
            "the comparator's database, its key store and the registrar's belong to different instances",
            code="foreign_comparator",
            hint="check the paths in config.toml",
        )
    signs = await db.read(lambda conn: audit_key.current(keys, conn))
    return comparator_context.Context(
        db=db,
        keys=keys,
        log=make_log(instance, "comparator", keys, version=signs),
        limits=config.limits,
        directory=auth.Directory(clock, config.limits.credential_cache) if registrar is None else None,
    )


def _instance_id(conn: Connection) -> str:
    return str(conn.execute("SELECT instance FROM instance").fetchone()[0])


async def _gate(
    registrar: registrar_context.Context | None, comparator: comparator_context.Context | None, clock: Clock
) -> tuple[str, Gate]:
    """The instance's id, and the room that lets clients in: the registrar where it is here."""
    if registrar is not None:
        return await registrar.db.read(_instance_id), Gate(registrar.db, registrar.directory, clock, registrar.audit)
    assert comparator is not None
    assert comparator.directory is not None
    gate = Gate(comparator.db, comparator.directory, clock, comparator.audit_access)
    return await comparator.db.read(_instance_id), gate


async def _note(comparator: comparator_context.Context, event: Event, **told: str) -> None:
    await comparator.db.write(lambda conn: comparator.audit(conn, event, "service", 0, **told))


def _watch(engine: Engine, log: AuditLog, identity: tuple[str, str, int]) -> None:
    """Notice a database that was exchanged for an older one while the service runs: its log is shorter, or another."""

    def check(conn: Connection, known: tuple[int, str]) -> None:
        found = conn.execute("SELECT instance, database, epoch FROM instance").fetchone()
        size, _ = log.head(conn)
        if found != identity or size < known[0] or log.root_at(conn, known[0]) != known[1]:
            raise StaleDatabaseError(
                "the database behind this service was replaced by an older or another one",
                hint="stop every process of the service; docs/how-to/postgresql.md, Backups",
            )

    engine.watch = Watch(log.head, check)


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
        if not path.is_file():
            raise NotFoundError(
                "a database of this instance is missing",
                code="database_missing",
                hint="check the paths in config.toml, or restore it: docs/how-to/backups.md",
                where=path.name,
            )


def _files(config: Config) -> list[Path]:
    return [place for room in config.rooms if isinstance(place := places.database(config, room), Path)]


def _scrub(*databases: Path) -> None:
    """What was deleted shall be gone from the files, not only from their tables."""
    for database in databases:
        with contextlib.suppress(OSError):  # a full or failing disk: the next stop tries again
            scrub(database)


async def _start(registrar: registrar_context.Context) -> None:
    """Log the start, and let every counter continue where the head has reserved up to.

    A crash and a restore inside a reserved range cannot be told apart, so neither re-uses any of it.
    """

    def effect(conn: Connection) -> tuple[int, str]:
        registrar.head.follow()
        for row_id, uuid in conn.execute("SELECT id, uuid FROM domain").fetchall():
            reserved = registrar.head.reserved.get(uuid)
            if reserved is not None:
                conn.execute(
                    "INSERT INTO counter VALUES (?,?,?) ON CONFLICT (domain, epoch) DO UPDATE"
                    " SET next = CASE WHEN counter.next < excluded.next THEN excluded.next ELSE counter.next END",
                    (row_id, registrar.head.epoch, reserved),
                )
        registrar.audit(conn, Event.INSTANCE_START, "service", "", separation=registrar.separation)
        return registrar.log.head(conn)

    registrar.head.remember(*await registrar.db.write(effect))


async def _stop(registrar: registrar_context.Context) -> None:
    """Log the stop, and hand back what was reserved and not used: a clean stop wastes no serial.

    Where other processes may go on with the same reservation nothing is handed back.
    """

    def effect(conn: Connection) -> tuple[int, str]:
        registrar.audit(conn, Event.INSTANCE_STOP, "service", "")
        if registrar.head.shared:
            return registrar.log.head(conn)
        epoch = registrar.head.epoch
        for uuid, following in conn.execute(
            "SELECT d.uuid, c.next FROM counter c JOIN domain d ON d.id = c.domain WHERE c.epoch = ?",
            (epoch,),
        ):
            registrar.head.reserved[uuid] = following
        return registrar.log.head(conn)

    registrar.head.remember(*await registrar.db.write(effect))
