"""Opening one room: its store against its key store and, at the registrar, against the outside head; start and stop."""

from __future__ import annotations

import asyncio

from keys.ids import Purpose
from keys.store import KeyStore
from trustcenter import auth
from trustcenter.audit import AuditLog, Event
from trustcenter.clock import Clock, stamp, utc_now
from trustcenter.comparator import context as comparator_context
from trustcenter.comparator import moving, receipt_keys
from trustcenter.config import Config
from trustcenter.errors import StaleDatabaseError, VerificationError
from trustcenter.registrar import context as registrar_context
from trustcenter.registrar.head import OutsideHead
from trustcenter.registrar.rotating.keyring import INSTANCE, KeyRing
from trustcenter.registrar.study import refs
from trustcenter.store import Connection, Database
from trustcenter.store.engine import Engine, Watch

from .opened import Gate
from .parts import no_instance
from .places import HEAD_NAME
from .rotating import audit_key, room_key_record


def log_origin(instance: str, room: str, epoch: int = 0) -> str:
    """The identity of a log. Reopening the registrar under a new epoch begins a new one (docs/spec/audit-log.md)."""
    return f"trustcenter/{instance}/epoch-{epoch}/{room}" if epoch else f"trustcenter/{instance}/{room}"


def make_log(
    instance: str,
    room: str,
    keys: KeyStore,
    epoch: int = 0,
    version: int | None = None,
    clock: Clock = utc_now,
    separation: str = "",
) -> AuditLog:
    """The log of a room, signed with a version of that room's audit key, or the oldest one that is there.

    `epoch` is the registrar's, 0 at the comparator.
    """
    version = audit_key.versions(keys)[0] if version is None else version
    return AuditLog(
        origin=log_origin(instance, room, epoch),
        sign=audit_key.signer(keys, version),
        public_key=keys.public_key(INSTANCE, Purpose.AUDIT, version),
        find=lambda public: audit_key.find(keys, public),
        clock=clock,
        separation=separation,
    )


async def open_registrar(
    config: Config, db: Database, keys: KeyStore, clock: Clock, comparator_key: bytes, *, shared: bool
) -> registrar_context.Context:
    """The registrar, checked against its key store and its outside head."""
    found = await db.read(lambda conn: conn.execute("SELECT instance, database, epoch FROM instance").fetchone())
    if found is None:
        raise no_instance()
    instance, database, epoch = found
    signs = await db.read(lambda conn: audit_key.current(keys, conn))
    log = make_log(instance, "registrar", keys, epoch, signs, clock, config.separation)
    head = OutsideHead.load(config.path(config.files.registrar_keys).parent / HEAD_NAME, keys)
    head.shared = shared
    ring = KeyRing(keys, clock)
    _watch(db.engine, log, (instance, database, epoch))
    await db.read(ring.check_material)
    size, _ = await db.read(log.head)
    roots = {head.log_size: await db.read(lambda conn: log.root_at(conn, min(head.log_size, size)))}
    await asyncio.to_thread(refs.move, db)
    head.check(instance=instance, database=database, epoch=epoch, log_size=size, root_at=lambda at: roots[at])
    head.state_key = await db.read(lambda conn: ring.expect(conn, head.state_key))
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


async def open_comparator(
    config: Config, db: Database, keys: KeyStore, clock: Clock, registrar: registrar_context.Context | None
) -> comparator_context.Context:
    """The comparator, which is of one instance with its key store, and with the registrar if that is here."""
    found = await db.read(lambda conn: conn.execute("SELECT instance, keystore FROM instance").fetchone())
    if found is None:
        raise no_instance()
    instance, keystore = found
    known = instance if registrar is None else await registrar.db.read(_instance_id)
    if (instance, keystore) != (known, keys.store_id):
        raise VerificationError(
            "the comparator's database, its key store and the registrar's belong to different instances",
            code="foreign_comparator",
            hint="check the paths in config.toml",
        )
    signs = await db.read(lambda conn: audit_key.current(keys, conn))
    await db.read(lambda conn: receipt_keys.current(keys, conn))  # the key store is not older than the database
    await db.write(lambda conn: room_key_record.note_sealing(conn, keys.sealing, stamp(clock())))
    await asyncio.to_thread(moving.move, db)
    return comparator_context.Context(
        db=db,
        keys=keys,
        log=make_log(instance, "comparator", keys, version=signs, separation=config.separation),
        limits=config.limits,
        directory=auth.Directory(clock, config.limits.credential_cache) if registrar is None else None,
    )


def _instance_id(conn: Connection) -> str:
    return str(conn.execute("SELECT instance FROM instance").fetchone()[0])


async def open_gate(
    registrar: registrar_context.Context | None, comparator: comparator_context.Context | None, clock: Clock
) -> tuple[str, Gate]:
    """The instance's id, and the room that lets clients in: the registrar where it is here."""
    if registrar is not None:
        return await registrar.db.read(_instance_id), Gate(registrar.db, registrar.directory, clock, registrar.audit)
    assert comparator is not None
    assert comparator.directory is not None
    gate = Gate(comparator.db, comparator.directory, clock, comparator.audit_access)
    return await comparator.db.read(_instance_id), gate


async def note(comparator: comparator_context.Context, event: Event, **told: str) -> None:
    """Log the start or stop of a comparator of its own."""
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


async def start(registrar: registrar_context.Context) -> None:
    """Log the start, and let every counter continue where the head has reserved up to.

    A crash and a restore inside a reserved range cannot be told apart, so neither re-uses any of it.
    """

    def effect(conn: Connection) -> tuple[int, str]:
        room_key_record.note_sealing(conn, registrar.keys.sealing, stamp(registrar.clock()))
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


async def stop(registrar: registrar_context.Context) -> None:
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
