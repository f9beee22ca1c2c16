"""What processes do that are killed: rotations of every kind, under load."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from rotation_support import destroy_room_keys, later
from rules_support import OPERATOR, Files, Opened, rotate_room
from sources_support import SCHEMA, Source

from keys.kdf import CHEAP_FOR_TESTS
from keys.store import KeyStore
from trustcenter.clock import utc_now
from trustcenter.comparator import instructions, uploads
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.rotating import rekey, room_key_compromise
from trustcenter.messages import api
from trustcenter.messages.rooms import Params, Settle
from trustcenter.registrar.rotating import reindexing, rewriting, rotation, rotation_verify

NAMED = [f"p{i}" for i in range(6, 60)]  # known originals only, so that the ends can be compared
PASSPHRASE = b"another good passphrase"
_ROWS = Source("heart", 1, 0, 20).rows


async def _issuing(center: Opened) -> None:
    while True:
        await center.issue("plain", NAMED[:5])
        await center.issue("plain", NAMED)


def of_domain(say: Connection, directory: Path, ident: str) -> None:
    """Go on with a prepared rotation of a domain's key, in many small steps."""
    rewriting.CHUNK = rewriting.BESIDE_SMALL = 3  # type: ignore[misc]
    reindexing.TOGETHER = reindexing.BESIDE_SMALL = 3  # type: ignore[misc]
    reindexing.HELD = 25  # type: ignore[misc]

    async def main() -> None:
        async with Files(directory).open() as center:
            loading = asyncio.create_task(_issuing(center))
            say.send("ready")
            await rotation.cut_over(center.context, "operator", "req", ident)
            await rewriting.run(center.context, ident)
            await rotation_verify.verify(center.context, OPERATOR, "req", ident)
            say.send("done")
            await loading

    asyncio.run(main())


async def _uploading(say: Connection, instance: Instance) -> None:
    """Uploads of one source, each given up by the next; every receipt is told."""
    room = instance.comparator
    body = api.UploadOpen(version=1, fingerprint=SCHEMA.fingerprint, rows=len(_ROWS) // 65, chunks=1)
    while True:
        await instructions.settle(room, Settle(study="heart", source="north", sequence=0))
        upload = (await uploads.open_upload(room, "north", "heart", body)).upload
        await uploads.put_chunk(room, "north", "heart", upload, 0, _ROWS, hashlib.sha256(_ROWS).digest())
        say.send(msgspec.json.encode(await uploads.complete(room, "north", "heart", upload)))


async def _study(instance: Instance) -> None:
    told = Params(
        study="heart",
        version=1,
        fingerprint=SCHEMA.fingerprint,
        passes=len(SCHEMA.passes),
        levels=[1, 2, 3, 4],
        caps=[100] * len(SCHEMA.passes),
        minimum_rows=1,
        sources=["north"],
    )
    room = instance.comparator
    await room.db.write(lambda conn: instructions.put_params(room, conn, told))


def of_room(say: Connection, directory: Path, room: str) -> None:
    """Rotate a room's own keys."""
    files = Files(directory)

    async def main() -> None:
        async with open_instance(files.config, files.passphrase) as instance:
            if room == "comparator":
                await _study(instance)
            load: Callable[[], Awaitable[None]] = {
                "registrar": lambda: _issuing(Opened(instance.registrar)),
                "comparator": lambda: _uploading(say, instance),
            }[room]
            loading = asyncio.ensure_future(load())
            say.send("ready")
            await rotate_room(instance, room)
            say.send("done")
            await loading

    asyncio.run(main())


async def _leak(instance: Instance, room: str, _: Files) -> None:
    await room_key_compromise.compromise(instance, OPERATOR, "req", room, LEAKED)


async def _rotate(instance: Instance, room: str, _: Files) -> None:
    await rotate_room(instance, room)


ROOM_ACTS: dict[str, Callable[[Instance, str, Files], Awaitable[Any]]] = {
    "rotate": _rotate,
    "leak": _leak,
    "destroy": destroy_room_keys,
}
LEAKED = api.RoomKeyCompromise(reason="backup disk stolen", since="2026-11-01")


def of_room_at(say: Connection, directory: Path, room: str, step: int, act: str = "rotate") -> None:
    """Rotate a room's own keys, and die at one of its instants; without a step, say how many there are.

    The same of what follows a leak ("leak"), and of destroying the version before ("destroy", 31 days later).

    Instants: before, inside and after each transaction of either room, before and after the key store is saved.
    """
    files, seen = Files(directory), 0

    def instant() -> None:
        nonlocal seen
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def writing(effect: Callable[..., Any], **options: Any) -> Any:
            def inside(conn: Any) -> Any:
                done = effect(conn)
                instant()
                return done

            instant()
            done = await write(inside, **options)
            instant()
            return done

        return writing

    def saving(add: Callable[..., None]) -> Callable[..., None]:
        def adding(ids: Any) -> None:
            instant()
            add(ids)
            instant()

        return adding

    async def main() -> None:
        clock = later(31) if act == "destroy" else utc_now
        async with open_instance(files.config, files.passphrase, clock) as instance:
            for context in (instance.registrar, instance.comparator):
                context.db.write = around(context.db.write)  # type: ignore[method-assign]
                context.keys.add = saving(context.keys.add)  # type: ignore[method-assign]
                context.keys.destroy = saving(context.keys.destroy)  # type: ignore[method-assign]
            await ROOM_ACTS[act](instance, room, files)
            say.send(seen)
            os.kill(os.getpid(), signal.SIGKILL)  # it is not closed either

    asyncio.run(main())


def of_seal(say: Connection, directory: Path) -> None:
    """Seal the key stores under another passphrase."""
    KeyStore.change_passphrase.__kwdefaults__["kdf"] = CHEAP_FOR_TESTS  # type: ignore[index]
    files = Files(directory)
    say.send("ready")
    rekey.rekey(files.config, files.passphrase, PASSPHRASE)
    say.send("done")
