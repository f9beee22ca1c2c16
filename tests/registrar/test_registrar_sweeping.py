"""Versions that are over and purges are cleaned up in chunks: interrupted between two of them, they are taken up."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import placed_support
import pytest
from again_support import RECORDS, Steps, complaints, fill, using
from joining_support import OPERATOR
from tests_support import make_instance, stay_within_a_day
from windows_support import tables

from linkage.tables import Table
from trustcenter.comparator import ahead
from trustcenter.instance.between.carrying import Carrying
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import api
from trustcenter.registrar.linking import sweeping
from trustcenter.registrar.study import refs, study_versions
from trustcenter.store import Connection

__all__ = ["tables"]  # a fixture
RENEW = api.StudyRenew(version=2, reason="member_removed")
CLOSE = api.StudyMove(state="closed")


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ROWS", 25), ("PAGES", 20), ("REFS", 300)):
        monkeypatch.setattr(sweeping, name, value)
    monkeypatch.setattr(ahead, "_MANY_REFS", 10)


async def counts(opened: Instance) -> tuple[int, int, int]:
    """Refs at the registrar, links, and rows at the comparator."""

    def look(conn: Connection) -> tuple[int, int]:
        held = refs.held(conn, refs.domains_of(conn, "heart"))
        return held, int(conn.execute("SELECT count(*) FROM link").fetchone()[0])

    rows = await opened.comparator.db.read(lambda conn: placed_support.rows_of(conn, "heart"))
    return *(await opened.registrar.db.read(look)), rows


async def waiting(opened: Instance) -> list[sweeping.Sweep]:
    return await opened.registrar.db.read(sweeping.waiting)


async def cleaned(opened: Instance, rooms: Rooms) -> None:
    await sweeping.carry_out(opened.registrar)
    assert rooms.linking is not None
    await rooms.linking.deliver()
    assert await waiting(opened) == []


async def test_a_version_that_is_over_is_cleaned_up_from_where_it_was_left(
    tmp_path: Path, tables: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    make_instance(tmp_path / "instance")
    total, steps = 2 * RECORDS * 15, Steps()

    async def begun(opened: Instance) -> bool:
        return any(sweep.part for sweep in await waiting(opened))

    async def first(opened: Instance, rooms: Rooms) -> None:
        await fill(opened, rooms, tables, link=False)
        assert await counts(opened) == (total, 0, total)
        task = asyncio.create_task(study_versions.renew(opened.registrar, OPERATOR, "req", "heart", RENEW))
        await steps.until(lambda: begun(opened))
        task.cancel()
        assert await asyncio.gather(task, return_exceptions=True) != [None]
        assert await complaints(opened) == []

    async def second(opened: Instance, rooms: Rooms) -> None:
        await cleaned(opened, rooms)
        assert await counts(opened) == (0, 0, 0)
        assert await complaints(opened) == []

    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "turns", steps)
        await using(tmp_path / "instance", first)
    await using(tmp_path / "instance", second)


async def test_a_run_that_reads_while_a_version_is_cleaned_up_counts_nothing_of_it(
    tmp_path: Path, tables: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    stay_within_a_day()
    make_instance(tmp_path / "instance")

    async def work(opened: Instance, rooms: Rooms) -> None:
        study = await fill(opened, rooms, tables, link=False)
        until = opened.registrar.clock().date().isoformat()
        both = api.StudyRenew(version=2, reason="member_removed", linkable_until=until)
        await study_versions.renew(opened.registrar, OPERATOR, "req", "heart", both)
        fetch = Carrying._fetch

        async def late(*args: Any) -> None:
            """Its last day is over once the run is begun, and the refs are not cleaned up when it decides."""
            await fetch(*args)
            query = "UPDATE study_version SET linkable_until = '2020-01-01' WHERE version = 1"
            await opened.registrar.db.write(lambda conn: conn.execute(query).rowcount)
            assert await study_versions.end_all_due(opened.registrar) == 1

        monkeypatch.setattr(Carrying, "_fetch", late)
        done = await study.link()
        held, links, _ = await counts(opened)
        assert (held > 0, done.linked_persons, links) == (True, 0, 0)
        await cleaned(opened, rooms)
        assert (await counts(opened))[0] == 0
        assert await complaints(opened) == []

    await using(tmp_path / "instance", work)


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[4].split(":")
import test_registrar_sweeping as t
from trustcenter.registrar.study import study_moves
from trustcenter.store import Database
t.sweeping.ROWS, t.sweeping.PAGES, t.sweeping.REFS = 25, 20, 300
t.ahead._MANY_REFS = 10
left, write = int(sys.argv[3]), Database.write
def counted(self, fn, *, large=False):
    global left
    left -= large
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, fn, large=large)
Database.write = counted
async def work(opened, rooms):
    if sys.argv[2] == "renew":
        await t.study_versions.renew(opened.registrar, t.OPERATOR, "req", "heart", t.RENEW)
    elif sys.argv[2] == "close":
        await study_moves.move(opened.registrar, t.OPERATOR, "req", "heart", t.CLOSE)
    await t.cleaned(opened, rooms)
asyncio.run(t.using(Path(sys.argv[1]), work))
"""


@pytest.mark.faults
@pytest.mark.parametrize(("what", "writes"), [("renew", "8"), ("close", "2")])  # a long message takes 6
async def test_cleaning_up_is_killed_between_chunks_and_taken_up(
    tmp_path: Path, tables: dict[str, Table], what: str, writes: str
) -> None:
    folder = tmp_path / "instance"
    make_instance(folder)
    await using(folder, lambda opened, rooms: fill(opened, rooms, tables, link=True))
    path = f"{Path(__file__).parent}:{Path(__file__).parent.parent}:{Path(__file__).parent.parent / 'service'}"
    kills = 0
    for number in range(1, 40):
        arguments = [sys.executable, "-c", CHILD, str(folder), what if number == 1 else "go on", writes, path]
        done = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        kills += 1
    assert kills >= 2

    async def look(opened: Instance, _: Rooms) -> None:
        assert await waiting(opened) == []
        held = await counts(opened)
        assert held[::2] == (0, 0)
        assert (held[1] == 0) == (what == "close")
        assert await complaints(opened) == []

    await using(folder, look)
