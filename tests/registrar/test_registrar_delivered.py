"""A comparator that delivers what was not ordered: nothing of it is applied, and an alarm is raised."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from joining_support import OPERATOR, Joining, joining
from sources_support import Source
from tests_support import make_instance

from trustcenter import config
from trustcenter.auth import Principal
from trustcenter.instance.between.port import LocalComparator
from trustcenter.instance.opening import open_instance
from trustcenter.messages.rooms import WindowOrder, WindowState
from trustcenter.registrar.linking import delivered, runs

MOST = 2 * 60 * 10 * 15  # rows of two sources, each with at most ten of the other one in its block, counted twice


class Liar(LocalComparator):
    """The comparator of an instance, which says something else of a delivered window."""

    said: dict[str, Any]

    def _lie(self, state: WindowState) -> WindowState:
        if state.header is None:
            return state
        return msgspec.structs.replace(state, header=msgspec.structs.replace(state.header, **self.said))

    async def start_window(self, order: WindowOrder) -> WindowState:
        return self._lie(await super().start_window(order))

    async def window(self, study: str, window: int, patience: float) -> WindowState:
        return self._lie(await super().window(study, window, patience))


@contextlib.asynccontextmanager
async def two_sites(folder: Path) -> AsyncIterator[tuple[Joining, LocalComparator]]:
    """A study with maps of two sites, and its comparator."""
    make_instance(folder)
    loaded = config.load(folder)
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(loaded, passphrase) as instance, joining(instance) as study:
        registrar = instance.registrar
        for name in ("north", "south"):
            await registrar.db.write(lambda conn, name=name: registrar.directory.add_site(conn, name, "diz", name))  # type: ignore[misc]
        await study.create(["north", "south"])
        for key, (name, start) in enumerate((("north", 0), ("south", 30)), 1):
            site, source = Principal(name, "site", ""), Source("heart", key, start, 60)
            await study.register(site, source)
            await study.upload(site, source)
        honest = study.linking._comparator
        assert isinstance(honest, LocalComparator)
        yield study, honest


async def test_a_window_that_is_ordered_otherwise_while_it_is_compared_is_compared_again(tmp_path: Path) -> None:
    """A registrar that was restored or upgraded in the middle of a run wants everything, not what it had ordered."""
    async with two_sites(tmp_path / "instance") as (study, comparator):
        order = await study.linking._carrying._order("heart", 1, "window")
        orders = [msgspec.structs.replace(order, previous="1" * 64), order]
        for each in orders:  # nothing is awaited in between: the first one is not even begun
            assert (await comparator.start_window(each)).state == "running"
        found = await comparator.window("heart", 1, 60)
        assert found.header is not None
        assert found.header.answers(order)
        assert (await comparator.start_window(order)).header == found.header
        other = msgspec.structs.replace(order, parameters_hash="2" * 64)
        assert (await comparator.start_window(other)).state == "running"
        await comparator.cancel("heart", 1)
        assert (await comparator.window("heart", 1, 0)).state == "cancelled"
        assert (await comparator.start_window(order)).state == "running"
        assert (await comparator.window("heart", 1, 60)).header == found.header


async def test_a_header_that_is_not_the_order_is_refused_and_told(tmp_path: Path) -> None:
    async with two_sites(tmp_path / "instance") as (study, honest):
        instance, registrar = study.instance, study.instance.registrar
        liar = Liar(instance.comparator, honest._windows, instance.id, "none")
        study.linking._carrying._comparator = liar
        most = await registrar.db.read(lambda conn: delivered.edges_max(conn, "heart"))
        assert 60 * 15 < most <= MOST
        lies: dict[str, Any] = {
            "study": "lungs",
            "version": 2,
            "window": 77,
            "parameters_hash": "0" * 64,
            "previous": "0" * 64,
            "edges": most + 1,
        }
        for field, value in lies.items():
            liar.said = {field: value}
            run = await study.linking.create(OPERATOR, "req", "heart")
            while run.state in runs.OPEN:
                await asyncio.sleep(0.02)
                run = await study.linking.show("heart", run.run)
            code = "too_many_edges" if field == "edges" else "foreign_edges"
            assert (run.state, run.error) == ("failed", code), field
        assert await study.persons() == {}
        leaves = await registrar.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry").fetchall())
        alarms = [data for (leaf,) in leaves if (data := json.loads(leaf))["event"] == "registrar:rooms:alarm"]
        assert [alarm["data"]["field"] for alarm in alarms] == list(lies)

        liar.said = {}
        run = await study.run()
        assert run.counts is not None
        assert 30 * 15 // 2 < run.counts.edges <= most
