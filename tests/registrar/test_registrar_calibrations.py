"""Tables that sites counted: sent, pooled, frozen with the first run, and taken in anew by an estimate only."""

from __future__ import annotations

import msgspec
import pytest
from joining_support import OPERATOR
from windows_support import BASE, REST, SCHEMA, SITES, Study, instance, tables

from linkage.calibrate import calibrate
from linkage.corrupt import corrupted, halves
from linkage.decide import Counts, pooled, shareable, shipped
from linkage.errors import DensitiesError
from linkage.normalise import prepare
from linkage.tables import Table
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import api
from trustcenter.registrar.linking import calibrations

__all__ = ["instance", "tables"]  # fixtures

NORTH, SOUTH, ELSEWHERE = (Principal(name, "site", "") for name in (*SITES, "west"))


@pytest.fixture(scope="module")
def counted(tables: dict[str, Table]) -> dict[str, Counts]:
    """What each site counts on its own records."""
    made = {}
    for name, table in tables.items():
        columns = table.select(SCHEMA.columns)
        left, right, whose = halves(len(table), name)
        copy = corrupted(columns, seed=name)
        own = prepare(SCHEMA, {k: [v[i] for i in left] for k, v in columns.items()})
        other = prepare(SCHEMA, {k: [v[i] for i in right] for k, v in copy.items()})
        made[name] = shareable(calibrate(SCHEMA, own, other, whose, provenance={"made": "in a cellar"}))
    return made


async def send(study: Study, site: Principal, counts: Counts) -> api.Calibrations:
    body = api.CalibrationSend(counts=counts.encode())
    return await calibrations.send(study.instance.registrar, site, "req", study.name, body)


async def test_tables_are_pooled_frozen_and_wait_for_an_estimate(
    instance: tuple[Instance, Rooms], tables: dict[str, Table], counted: dict[str, Counts]
) -> None:
    study = Study(*instance, "heart", tables)
    context = study.instance.registrar
    await study.create(SITES, calibration="sites")
    for name in SITES:
        await study.send(name, range(BASE))
    told = await send(study, NORTH, counted["north"])
    assert (told.decided_with, told.next_estimate) == (None, None), "over the tables of all"
    assert [t.site for t in told.tables] == ["north"]
    assert told.tables[0].matches == counted["north"].table()[0, 0].sum()
    one = pooled("hyb15", 15, [counted["north"]]).sha256
    assert (await calibrations.show(context, OPERATOR, "heart")).next_estimate == one != shipped("hyb15").sha256
    assert await send(study, NORTH, counted["north"]) == told, "the same table again changes nothing"

    first = await study.link()
    assert first.linked_persons > 150
    assert (await calibrations.show(context, OPERATOR, "heart")).decided_with == one

    await send(study, SOUTH, counted["south"])
    seen = await calibrations.show(context, SOUTH, "heart")
    assert [t.site for t in seen.tables] == ["south"], "a site sees its own table only"
    assert (seen.decided_with, seen.next_estimate) == (None, None)
    await study.send("north", REST)
    await study.link()
    both = pooled("hyb15", 15, [counted[name] for name in SITES]).sha256
    told = await calibrations.show(context, OPERATOR, "heart")
    assert (told.decided_with, told.next_estimate) == (one, both), "windows keep what was frozen"
    await study.link("estimate")
    assert (await calibrations.show(context, OPERATOR, "heart")).decided_with == both

    with pytest.raises(NotFoundError):
        await calibrations.drop(context, SOUTH, "req", "heart", "north")
    await calibrations.drop(context, OPERATOR, "req", "heart", "north")
    await calibrations.drop(context, SOUTH, "req", "heart", "south")
    with pytest.raises(NotFoundError):
        await calibrations.drop(context, OPERATOR, "req", "heart", "south")
    told = await calibrations.show(context, OPERATOR, "heart")
    assert (told.tables, told.next_estimate) == ([], shipped("hyb15").sha256)
    assert told.decided_with == both

    def logged(conn: object) -> bytes:
        rows = conn.execute("SELECT counts FROM calibration").fetchall()  # type: ignore[attr-defined]
        return b"".join(bytes(row[0]) for row in rows)

    await send(study, NORTH, counted["north"])
    assert b"cellar" not in await context.db.read(logged), "what a site says of itself is not kept"
    await study.linking.move_study(OPERATOR, "req", "heart", api.StudyMove(state="closed"))
    told = await calibrations.show(context, OPERATOR, "heart")
    assert (told.tables, told.decided_with) == ([], None), "gone with the edges"
    await refuses(instance, tables, counted)


async def refuses(instance: tuple[Instance, Rooms], tables: dict[str, Table], counted: dict[str, Counts]) -> None:
    """What is sent to a study that does not want it, or must not leave a site."""
    mine = counted["north"]
    plain = Study(*instance, "plain", tables)
    await plain.create(SITES)
    with pytest.raises(PolicyError) as refused:
        await send(plain, NORTH, mine)
    assert refused.value.code == "calibration_not_wanted"

    study = Study(*instance, "strict", tables)
    await study.create(SITES, calibration="sites")
    with pytest.raises(ConflictError) as other:
        await send(study, NORTH, msgspec.structs.replace(mine, profile="fine16"))
    assert other.value.code == "other_passes"
    table = mine.table()
    table[0, 0, 3, 3] = 2
    for bad in (
        Counts.of(table, ("own",), ("own",), (5,), "hyb15", {}),
        mine + Counts.of(table, ("a",), ("a",), (5,), "hyb15", {}),
    ):
        with pytest.raises(DensitiesError):
            await send(study, NORTH, bad)
    body = api.CalibrationSend(counts=b"{}")
    with pytest.raises(DensitiesError):
        await calibrations.send(study.instance.registrar, NORTH, "req", "strict", body)
    with pytest.raises(NotFoundError):
        await send(study, ELSEWHERE, mine)
    told = await calibrations.show(study.instance.registrar, OPERATOR, "strict")
    assert told.tables == []
