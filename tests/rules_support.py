"""One opened instance in this process: real store, real keys, real head; and strings made as a thief of both would."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from keys.ids import Purpose
from trustcenter import config as configuration
from trustcenter.auth import Principal
from trustcenter.clock import utc_now
from trustcenter.config import Config
from trustcenter.errors import TrustCenterError
from trustcenter.instance.checking import fsck
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.rotating import room_keys
from trustcenter.messages import api
from trustcenter.registrar import domain_create, domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import imports, layout, operations, removal, rows, translate
from trustcenter.registrar.rotating import rotation, rotation_end, rotation_map, rotation_show, rotation_verify
from trustcenter.store import Connection

NORTH = Principal("north", "site", "")
SOUTH = Principal("south", "site", "")
OPERATOR = Principal("operator", "operator", "")
FORMAT = api.DrawnFormat(prefix="P-", alphabet="symbol32", length=8, check="damm")


class Files:
    """An instance on disk, stopped."""

    def __init__(self, directory: Path) -> None:
        self.dir = directory

    @property
    def config(self) -> Config:
        return configuration.load(self.dir)

    @property
    def passphrase(self) -> bytes:
        return (self.dir / "passphrase").read_bytes().strip()

    @property
    def database(self) -> Path:
        return self.dir / "registrar" / "registrar.db"

    @property
    def head(self) -> Path:
        return self.dir / "registrar-keys" / "head.json"

    def head_facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.head.read_bytes().split(b"\n")[0])
        return facts

    def copy(self, target: Path) -> Files:
        shutil.copytree(self.dir, target)
        return Files(target)

    def failures(self) -> list[str]:
        """What `fsck` finds wrong."""
        return [f"{f.name}: {f.text}" for f in fsck.run(self.config, self.passphrase) if f.state == "fail"]

    @asynccontextmanager
    async def open(self, clock: Callable[[], datetime] = utc_now) -> AsyncIterator[Opened]:
        async with open_instance(self.config, self.passphrase, clock) as instance:
            yield Opened(instance.registrar)


class Opened:
    """The registrar of an opened instance, called as its routes call it."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def domain(self, name: str, **options: Any) -> DomainRow:
        """The domain, made if it is not there."""
        with contextlib.suppress(TrustCenterError):
            return await self.context.db.read(lambda conn: domains.find(conn, name))
        await domain_create.create(self.context, OPERATOR, "req", api.DomainCreate(name=name, site="north", **options))
        return await self.context.db.read(lambda conn: domains.find(conn, name))

    async def issue(self, name: str, originals: Sequence[str], request: str = "req") -> list[str]:
        body = api.PseudonymRequest(originals=list(originals))
        answer = await operations.pseudonymize(self.context, NORTH, request, name, body)
        assert not answer.errors
        return [text for text in answer.pseudonyms if text is not None]

    async def additional(self, name: str, key: str, originals: Sequence[str], count: int = 1) -> api.AdditionalAnswer:
        body = api.AdditionalRequest(originals=list(originals), count=count)
        return await operations.additional(self.context, NORTH, "req", name, key, body)

    async def verdicts(self, name: str, texts: Sequence[str]) -> list[str]:
        answer = await operations.validate(self.context, NORTH, "req", name, list(texts))
        return list(answer.results)

    async def translate(self, name: str, texts: Sequence[str]) -> api.TranslateAnswer:
        return await translate.translate(self.context, NORTH, "req", name, list(texts))

    async def remove(self, kind: str, name: str, texts: Sequence[str]) -> api.RemovalAnswer:
        call = removal.delete if kind == "delete" else removal.anonymise
        return await call(self.context, NORTH, "req", name, api.Selection(pseudonyms=list(texts)))

    async def rotate(self, name: str) -> api.RotationPlan:
        """Rotate; a rotation that is under way is ended first."""
        for before in (await rotation_show.list_rotations(self.context, name)).rotations:
            if before.stage == "changed":
                await self.finalize(before.rotation, name)
        return await rotation.rotate(self.context, OPERATOR, "req", name, api.RotateRequest(dry_run=False))

    async def finalize(self, ident: str | None, name: str) -> None:
        """End a rotation as it is ended: verified, the owner's map fetched and acknowledged."""
        assert ident is not None
        context = self.context
        await rotation_verify.verify(context, OPERATOR, "req", ident)
        found = await rotation_show.show(context, ident)
        digest = hashlib.sha256()
        async for part in translate.translation_map(context, NORTH, "req", name, found.from_version):
            digest.update("".join(f"{old},{new}\n" for old, new in part).encode())
        await rotation_map.acknowledge(context, NORTH, "req", ident, api.MapAcknowledge(sha256=digest.hexdigest()))
        await rotation_end.finalize(context, OPERATOR, "req", ident)

    async def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return await self.context.db.read(lambda conn: conn.execute(query, values).fetchall())

    async def rows(self, name: str) -> list[tuple[Any, ...]]:
        """(serial, nonce, salt, idx, tag, sealed, status) of a domain, in serial order."""
        return await self.sql(
            "SELECT e.serial, e.nonce, e.salt, e.idx, e.tag, e.sealed, e.status FROM entry e"
            " JOIN domain d ON d.id = e.domain WHERE d.name = ? ORDER BY e.serial",
            name,
        )

    async def entries(self, event: str) -> list[dict[str, Any]]:
        """The data of every entry of the log of that event."""
        leaves = [json.loads(leaf) for (leaf,) in await self.sql("SELECT leaf FROM audit_entry ORDER BY seq")]
        return [{"who": leaf["who"], **leaf["data"]} for leaf in leaves if leaf["event"] == event]

    async def forge(self, name: str, version: int, serial: int, nonce: bytes) -> str:
        """The pseudonym of any row under any version, made with the keys of both stores."""
        domain = await self.domain(name)
        return layout.format_rows(self.context, domain, version, *rows.columns([(serial, nonce)]))[0]

    def active(self, conn: Connection, domain: DomainRow) -> int:
        return self.context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version


async def rotate_room(instance: Instance, room: str) -> api.RoomRotationPlan:
    """Rotate a room's own keys."""
    return await room_keys.rotate(instance, OPERATOR, "req", room, api.RoomRotateRequest())


async def fill(center: Opened) -> dict[str, list[str]]:
    """Domains with all that is ever sealed: originals, drawn strings, imported ones; some anonymised, some deleted."""
    await center.domain("short", suite=api.Suite.DRAWN, format=FORMAT, deletable=True)
    named = [f"p{i}" for i in range(60)]
    texts = {"plain": await center.issue("plain", named), "short": await center.issue("short", named)}
    pairs = [api.ImportPair(original=f"i{i}", pseudonym=f"LEGACY-{i}") for i in range(5)]
    await imports.import_pairs(center.context, NORTH, "req", "plain", pairs)
    await center.remove("anonymise", "plain", texts["plain"][:3])
    await center.remove("delete", "plain", texts["plain"][3:6])
    return texts
