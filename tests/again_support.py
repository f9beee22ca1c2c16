"""An instance that is opened, filled and opened again, and what `fsck` says of its studies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from windows_support import SITES, Study

from linkage.tables import Table
from trustcenter import config
from trustcenter.instance.checking import fsck_rows
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.running import Rooms
from trustcenter.store import Connection

RECORDS = 60  # of each site


class Steps:
    """Takes the place of `turns` in a module: its job stands still after each of its transactions."""

    def __init__(self) -> None:
        """In an event loop or before it."""
        self._stands, self._go = asyncio.Semaphore(0), asyncio.Semaphore(0)
        self._free = False

    async def give_way(self, context: object, took: float) -> None:
        """The job is after a transaction."""
        if not self._free:
            self._stands.release()
            await self._go.acquire()

    async def until(self, there: Callable[[], Awaitable[Any]]) -> None:
        """Let the job go on, one transaction after the other, until something is there; then it stands."""
        await self._stands.acquire()
        while not await there():
            self._go.release()
            await self._stands.acquire()

    def go_on(self) -> None:
        """Let it go on to its end."""
        self._free = True
        self._go.release()


async def using(folder: Path, work: Callable[[Instance, Rooms], Any]) -> Any:
    """Work with an opened instance whose jobs run."""
    loaded = config.load(folder)
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(loaded, passphrase) as opened:
        rooms = Rooms(opened)
        await rooms.start()
        try:
            return await work(opened, rooms)
        finally:
            await rooms.stop()


async def fill(opened: Instance, rooms: Rooms, tables: dict[str, Table], *, link: bool) -> Study:
    def add(conn: Connection) -> None:
        for name in SITES:
            opened.registrar.directory.add_site(conn, name, "diz", name)

    await opened.registrar.db.write(add)
    study = Study(opened, rooms, "heart", tables)
    await study.create(SITES)
    for name in SITES:
        await study.send(name, range(RECORDS))
    if link:
        await study.link()
    return study


async def complaints(opened: Instance) -> list[str]:
    mine = await opened.registrar.db.read(lambda conn: list(fsck_rows.records(conn)))
    theirs = await opened.comparator.db.read(lambda conn: list(fsck_rows.comparator_rows(conn)))
    return [finding.text for finding in (*mine, *theirs) if finding.state != "ok"]
