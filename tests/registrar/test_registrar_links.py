"""Links of a run are written before it is applied, in several transactions: interrupted in between, they stand once."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from again_support import Steps, complaints, fill, using
from joining_support import OPERATOR
from tests_support import make_instance
from windows_support import tables

from linkage.tables import Table
from trustcenter.audit import merkle_root
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import api
from trustcenter.registrar.linking import links, runs

__all__ = ["tables"]  # a fixture


async def rows(opened: Instance, query: str) -> list[Any]:
    return list(await opened.registrar.db.read(lambda conn: conn.execute(query).fetchall()))


async def entries(opened: Instance, event: str) -> list[dict[str, Any]]:
    leaves = [json.loads(leaf) for (leaf,) in await rows(opened, "SELECT leaf FROM audit_entry ORDER BY seq")]
    return [leaf["data"] for leaf in leaves if leaf["event"] == event]


async def ended(rooms: Rooms) -> api.Run:
    """The only run, when it has ended."""
    assert rooms.linking is not None
    while (run := (await rooms.linking.list_runs("heart")).runs[0]).state in runs.OPEN:  # noqa: ASYNC110 - as a client
        await asyncio.sleep(0.02)
    return run


async def check(opened: Instance, rooms: Rooms) -> None:
    """The run is applied, and its decisions are those that the log names, each once."""
    assert (await ended(rooms)).state == "applied"
    (entry,) = await entries(opened, "registrar:run:apply")
    leaves = [bytes(leaf) for (leaf,) in await rows(opened, "SELECT leaf FROM linkage_decision ORDER BY number")]
    assert (entry["decisions"], entry["decisions_root"]) == (len(leaves), merkle_root(leaves).hex())
    pairs = "domain_a, serial_a, domain_b, serial_b"
    written = await rows(opened, f"SELECT {pairs} FROM link ORDER BY {pairs}")
    assert written == await rows(opened, f"SELECT {pairs} FROM linkage_decision ORDER BY number")
    assert len(written) == len(leaves) > 6
    assert await complaints(opened) == []


async def test_a_run_that_was_stopped_writes_its_links_once(
    tmp_path: Path, tables: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_SLICE", 1)
    make_instance(tmp_path / "instance")
    steps = Steps()

    async def first(opened: Instance, rooms: Rooms) -> None:
        await fill(opened, rooms, tables, link=False)
        assert rooms.linking is not None
        await rooms.linking.create(OPERATOR, "req", "heart")
        await steps.until(lambda: rows(opened, "SELECT 1 FROM link LIMIT 1"))

    async def second(opened: Instance, rooms: Rooms) -> None:
        await check(opened, rooms)
        assert len(await entries(opened, "registrar:run:resume")) == 1

    with monkeypatch.context() as patched:
        patched.setattr(links, "turns", steps)
        await using(tmp_path / "instance", first)
    await using(tmp_path / "instance", second)


@pytest.mark.faults
async def test_a_run_that_is_cancelled_leaves_no_links(
    tmp_path: Path, tables: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_SLICE", 1)
    steps = Steps()
    monkeypatch.setattr(links, "turns", steps)
    make_instance(tmp_path / "instance")

    async def work(opened: Instance, rooms: Rooms) -> None:
        await fill(opened, rooms, tables, link=False)
        assert rooms.linking is not None
        run = await rooms.linking.create(OPERATOR, "req", "heart")
        await steps.until(lambda: rows(opened, "SELECT 1 FROM link LIMIT 1"))
        cancelling = asyncio.create_task(rooms.linking.cancel(OPERATOR, "heart", run.run))  # it waits for the end
        while not await rows(opened, "SELECT 1 FROM run WHERE cancelled_by IS NOT NULL"):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        steps.go_on()
        await cancelling
        assert (await ended(rooms)).state == "cancelled"
        for table in ("link", "linkage_decision"):
            assert await rows(opened, f"SELECT count(*) FROM {table}") == [(0,)]

    await using(tmp_path / "instance", work)


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[3].split(":")
import test_registrar_links as t
t.links._SLICE = 1
async def work(opened, rooms):
    left, write = int(sys.argv[2]), opened.registrar.db.write
    def counted(fn, *, large=False):
        nonlocal left
        left -= "Links.keep" in fn.__qualname__
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(fn, large=large)
    opened.registrar.db.write = counted
    if not (await rooms.linking.list_runs("heart")).runs:
        await rooms.linking.create(t.OPERATOR, "req", "heart")
    await t.ended(rooms)
asyncio.run(t.using(Path(sys.argv[1]), work))
"""


@pytest.mark.faults
async def test_a_run_is_killed_while_it_writes_its_links(tmp_path: Path, tables: dict[str, Table]) -> None:
    folder = tmp_path / "instance"
    make_instance(folder)
    await using(folder, lambda opened, rooms: fill(opened, rooms, tables, link=False))
    path = f"{Path(__file__).parent}:{Path(__file__).parent.parent}:{Path(__file__).parent.parent / 'service'}"
    for writes in (1, 4, 6):
        arguments = [sys.executable, "-c", CHILD, str(folder), str(writes), path]
        done = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    await using(folder, check)
