"""Windows: in whatever order records come, change and leave, the persons are those of a run over everything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from joining_support import OPERATOR
from windows_support import BASE, REST, SITES, Study, instance, tables

from linkage.tables import Table
from trustcenter.errors import UsageError
from trustcenter.instance.checking import fsck_rows
from trustcenter.instance.checking.finding import Finding
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.registrar.linking import runs, tally
from trustcenter.store import Connection
from trustcenter.store.migrations import statements

__all__ = ["instance", "tables"]  # fixtures

STEPS = {
    "north": lambda study: study.send("north", REST),
    "south": lambda study: study.send("south", REST),
    "corrections": lambda study: study.send("north", range(0, BASE, 6), again=True),
    "withdrawals": lambda study: study.withdraw("south", range(5, 200, 15)),
}
ORDERS = [
    ("north", "south", "corrections", "withdrawals"),
    ("withdrawals", "corrections", "south", "north"),
    ("corrections", "south", "withdrawals", "north"),
]


@pytest.mark.parametrize("order", [ORDERS[0], *(pytest.param(order, marks=pytest.mark.soak) for order in ORDERS[1:])])
async def test_windows_come_to_what_a_run_over_everything_comes_to(
    instance: tuple[Instance, Rooms], tables: dict[str, Table], order: Sequence[str]
) -> None:
    study = Study(*instance, "heart", tables)
    await study.create(SITES)
    for name in SITES:
        await study.send(name, range(BASE))
    first = await study.link()
    assert first.decided == 2 * BASE
    assert first.linked_persons > 150
    for step in order:
        await STEPS[step](study)
        assert await study.miscounted() == []
        counts = await study.link()
        assert 0 < counts.decided < 500  # not everything
        assert await study.miscounted() == []
    windows, before, kept = await study.partition(), await study.persons(), await study.pairs()
    assert counts.persons == len(windows)
    assert counts.linked_persons == sum(len(members) > 1 for members in windows)
    assert [s.records for s in counts.sources] == [450, 450 - 13]

    everything = await study.link("full")
    assert everything.decided == 900 - 13
    assert await study.partition() == windows
    assert await study.persons() == before
    assert await study.pairs() == kept, "edges that can matter to nobody are kept as well"
    assert await study.miscounted() == []
    assert (everything.persons, everything.linked_persons) == (counts.persons, counts.linked_persons)
    await study.instance.registrar.db.write(as_of_before)
    assert await study.miscounted() == []
    assert [finding.state for finding in await records_of(study)] == ["ok"]
    for damage in ("UPDATE person_size SET persons = persons + 1", "DELETE FROM neighbours WHERE serial % 7 = 0"):
        await study.instance.registrar.db.write(lambda conn, d=damage: conn.execute(d))  # type: ignore[misc]
    assert [finding.state for finding in await records_of(study)] == ["fail", "fail"]


def as_of_before(conn: Connection) -> None:
    """Count a study as the store of before is counted when it is opened."""
    for table in ("linked", "person_size"):
        conn.execute(f"DELETE FROM {table}")
    (step,) = tally.MIGRATIONS
    for statement in statements(step.sql):
        if statement.startswith("INSERT"):
            conn.execute(statement)


async def records_of(study: Study) -> list[Finding]:
    """What fsck finds about records."""
    return await study.instance.registrar.db.read(lambda conn: list(fsck_rows.records(conn)))


async def test_a_dry_run_and_a_cancelled_one_change_nothing(
    instance: tuple[Instance, Rooms], tables: dict[str, Table]
) -> None:
    study = Study(*instance, "lungs", tables)
    await study.create(SITES)
    for name in SITES:
        await study.send(name, range(BASE))
    plan = await study.linking.plan(OPERATOR, "lungs", "window")
    assert (plan.everything, plan.rows, plan.fresh_rows) == (True, 2 * BASE * 15, 2 * BASE * 15)
    assert plan.comparisons > 1000
    assert (await study.linking.list_runs("lungs")).runs == []
    await study.link()
    plan = await study.linking.plan(OPERATOR, "lungs", "window")
    assert (plan.everything, plan.fresh_rows, plan.comparisons) == (False, 0, 0)
    await study.send("north", REST)
    plan = await study.linking.plan(OPERATOR, "lungs", "window")
    assert (plan.everything, plan.fresh_rows) == (False, len(REST) * 15)
    assert 100 < plan.comparisons < 5000
    assert (await study.linking.plan(OPERATOR, "lungs", "full")).fresh_rows == (2 * BASE + len(REST)) * 15
    with pytest.raises(UsageError):
        await study.linking.plan(OPERATOR, "lungs", "half")

    before = await study.persons()
    run = await study.linking.create(OPERATOR, "req", "lungs")
    await study.linking.cancel(OPERATOR, "lungs", run.run)
    while run.state in runs.OPEN:
        await asyncio.sleep(0.02)
        run = await study.linking.show("lungs", run.run)
    assert run.state == "cancelled"
    assert await study.persons() == before
    spool = study.instance.config.path("registrar") / "spool"
    assert not spool.exists() or not list(spool.iterdir())
    counts = await study.link()
    assert counts.sources[0].records == BASE + len(REST)
    assert (await study.link("full")).linked_persons == counts.linked_persons
