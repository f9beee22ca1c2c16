"""What processes do that are killed: rotations of every kind, under load."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
from rules_support import OPERATOR, Files, Opened, rotate_room
from test_service_study import SCHEMA, Source

from keys.kdf import CHEAP_FOR_TESTS
from keys.store import KeyStore
from trustcenter.comparator import instructions, uploads
from trustcenter.instance import rekey
from trustcenter.instance.opening import Instance, open_instance
from trustcenter.messages import api
from trustcenter.messages.rooms import Params, Settle
from trustcenter.registrar import reindexing, rewriting, rotation, rotation_verify

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


def of_seal(say: Connection, directory: Path) -> None:
    """Seal the key stores under another passphrase."""
    KeyStore.change_passphrase.__kwdefaults__["kdf"] = CHEAP_FOR_TESTS  # type: ignore[index]
    files = Files(directory)
    say.send("ready")
    rekey.rekey(files.config, files.passphrase, PASSPHRASE)
    say.send("done")
