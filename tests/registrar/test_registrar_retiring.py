"""Withdrawn records and declared duplicates: gone here at once, told to the comparator together with others."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from windows_support import SITES, Study, instance, tables

from linkage.tables import Table
from trustcenter.instance.between import reconciling
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import api
from trustcenter.registrar.linking import retiring
from trustcenter.registrar.study import own_duplicates

__all__ = ["instance", "tables"]  # fixtures
PASSES = 15


async def retired(study: Study) -> list[int]:
    """How many rows the comparator was told to retire, message by message."""
    query = "SELECT leaf FROM audit_entry ORDER BY seq"
    leaves = await study.instance.comparator.db.read(lambda conn: conn.execute(query).fetchall())
    entries: list[Any] = [json.loads(leaf) for (leaf,) in leaves]
    return [entry["data"]["rows"] for entry in entries if entry["event"] == "comparator:rows:retire"]


async def held(study: Study) -> int:
    """How many rows the comparator has."""
    query = "SELECT sum(held) FROM upload WHERE state = 'live'"
    return int(await study.instance.comparator.db.read(lambda conn: conn.execute(query).fetchone()[0]))


async def declare(study: Study, gone: int, stays: int) -> None:
    north = study.sites["north"]
    numbers = [north.encoded[1][n].tobytes().hex() for n in (gone, stays)]
    body = api.DuplicateRequest(duplicates=[api.Duplicate(record_number=numbers[0], successor=numbers[1])])
    await own_duplicates.declare(study.instance.registrar, north.principal, "req", study.name, body)
    await study.linking.deliver()


async def test_the_comparator_is_not_told_which_rows_were_one_record(
    instance: tuple[Instance, Rooms], tables: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, registrar = Study(*instance, "heart", tables), instance[0].registrar
    await study.create(SITES)
    for name in SITES:
        await study.send(name, range(130))
    await study.link()

    # One record withdrawn, one declared a duplicate: in nobody's map from now on, and the comparator hears nothing.
    await study.withdraw("south", [3])
    await declare(study, 7, 8)
    assert await retired(study) == []
    assert await held(study) == 2 * 130 * PASSES
    assert len(await study.persons()) == 2 * 130 - 2
    # Nor can it ask, by saying that it is of another moment: what waits is held as well.
    await reconciling.reconcile(registrar, study.linking._comparator)
    assert (await retired(study), await held(study)) == ([], 2 * 130 * PASSES)
    # The next window does not compare what waits.
    run = await study.link()
    assert await retired(study) == [2 * PASSES]
    assert await held(study) == (2 * 130 - 2) * PASSES
    assert [source.rows for source in run.sources] == [129 * PASSES, 129 * PASSES]

    # A minimum batch hides each in the others.
    await study.withdraw("north", range(20, 69))
    assert len(await retired(study)) == 1
    await study.withdraw("south", [90])
    assert await retired(study) == [2 * PASSES, 50 * PASSES]

    # Where no window comes, a week is the longest.
    await study.withdraw("south", [91])
    assert await retiring.tell_due(registrar) == 0
    now = registrar.clock()
    monkeypatch.setattr(registrar, "clock", lambda: now + timedelta(days=retiring.DAYS_MAX, minutes=1))
    assert await retiring.tell_due(registrar) == PASSES
    await study.linking.deliver()
    assert await retired(study) == [2 * PASSES, 50 * PASSES, PASSES]

    await study.withdraw("south", [92])
    windows = await study.link()
    assert windows.sources[1].records == 130 - 4
    before = await study.partition()
    await study.link("full")
    assert await study.partition() == before


async def test_records_that_come_again_while_their_refs_wait_keep_their_rows(
    instance: tuple[Instance, Rooms], tables: dict[str, Table]
) -> None:
    study = Study(*instance, "heart", tables)
    await study.create(SITES)
    for name in SITES:
        await study.send(name, range(130))
    await study.withdraw("south", range(30))
    assert await retired(study) == []
    study.sent["south"] -= {ref.tobytes() for n in range(30) for ref in study.sites["south"].encoded[2][n]}
    await study.send("south", [*range(30), *range(130, 160)])  # with the refs they had: the same rows
    await study.link()
    assert await retired(study) == [30 * PASSES]
    assert await held(study) == (130 + 160) * PASSES
