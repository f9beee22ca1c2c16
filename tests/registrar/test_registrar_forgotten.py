"""What is kept for a while and then goes by itself: invitations that nobody followed, rows that were never mapped."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joining_support import OPERATOR, Joining, joining
from sources_support import Source
from tests_support import make_instance, postgres_options

from trustcenter import config
from trustcenter.auth import Principal
from trustcenter.comparator import enrolment as comparator_enrolment
from trustcenter.comparator import instructions
from trustcenter.errors import ConflictError
from trustcenter.instance.opening import open_instance
from trustcenter.messages.api import enrolment as m
from trustcenter.messages.rooms import Params
from trustcenter.registrar.study import enrolment

PAST = "2020-01-01T00:00:00Z"
NORTH, SOUTH = Principal("north", "site", ""), Principal("south", "site", "")


@pytest.fixture
async def study(tmp_path: Path) -> AsyncIterator[Joining]:
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(loaded, passphrase) as instance, joining(instance) as made:
        registrar = instance.registrar
        for name in ("north", "south"):
            await registrar.db.write(lambda conn, name=name: registrar.directory.add_site(conn, name, "diz", name))  # type: ignore[misc]
        await made.create(["north", "south"])
        yield made


def later(study: Joining, monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    now = study.instance.registrar.clock()
    monkeypatch.setattr(study.instance.registrar, "clock", lambda: now + timedelta(days=days))


async def test_invitations_that_nobody_followed_go_with_their_names(
    study: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    registrar = study.instance.registrar

    async def invite(site: Principal, name: str) -> m.EnrolmentCode:
        body = m.EnrolmentCreate(site=name, title=f"Practice {name}")
        return await enrolment.create(registrar, site, "req", "heart", body)

    for site in (NORTH, SOUTH):
        await enrolment.allow(registrar, OPERATOR, "req", "heart", m.Sponsor(site=site.name, practices=3))
    waits, taken_back = await invite(NORTH, "mill"), await invite(NORTH, "brook")
    await enrolment.revoke(registrar, NORTH, "req", "heart", taken_back.enrolment)
    with pytest.raises(ConflictError) as caught:
        await invite(SOUTH, "mill")
    assert caught.value.code == "site_name_taken"
    later(study, monkeypatch, 14.1)
    other = await invite(SOUTH, "mill")  # the first code is over, and the name with it
    assert await enrolment.forget_unused(registrar) == 0
    later(study, monkeypatch, 16)
    assert await enrolment.forget_unused(registrar) == 1
    later(study, monkeypatch, 14)
    assert await enrolment.forget_unused(registrar) == 1
    found = await enrolment.listing(registrar, OPERATOR, "heart")
    assert [one.enrolment for one in found.enrolments] == [other.enrolment]
    rows: Any = await registrar.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry").fetchall())
    entries = [json.loads(leaf) for (leaf,) in rows]
    told = [entry["data"] for entry in entries if entry["event"] == "registrar:enrolment:forget"]
    assert {entry["enrolment"] for entry in told} == {waits.enrolment, taken_back.enrolment}
    assert not any("mill" in str(entry) for entry in told)


async def test_codes_of_a_comparator_go_but_for_those_of_sources(tmp_path: Path) -> None:
    make_instance(
        tmp_path / "room", ("--room", "comparator", "--separation", "operator", *postgres_options(["comparator"]))
    )
    loaded = config.load(tmp_path / "room")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    sources = Params(
        study="heart",
        version=1,
        fingerprint="ab" * 32,
        passes=15,
        levels=[1, 2, 3, 4],
        caps=[5] * 15,
        minimum_rows=750,
        sources=["north", "came-in"],
    )
    codes = (("nobody", PAST, 0), ("came-in", PAST, 0), ("used", PAST, 1), ("waits", "2999-01-01T00:00:00Z", 0))
    async with open_instance(loaded, passphrase) as instance:
        room = instance.comparator

        def effect(conn: Any) -> None:
            instance.gate.directory.add_site(conn, "north", "diz", "North")
            instructions.put_params(room, conn, sources)
            insert = "INSERT INTO enrolment (id, study, sponsor, site, kind, title, hash, expires, used)"
            insert += " VALUES (?,'heart','north',?,'practice','T',?,?,?)"
            for number, (site, expires, used) in enumerate(codes):
                conn.execute(insert, (f"{number:032}", site, bytes([number]) * 32, expires, used))

        await room.db.write(effect)
        assert await comparator_enrolment.forget_unused(room) == 1
        assert await comparator_enrolment.forget_unused(room) == 0
        left = await room.db.read(lambda conn: conn.execute("SELECT site FROM enrolment ORDER BY site").fetchall())
    assert [site for (site,) in left] == ["came-in", "used", "waits"]


async def test_rows_that_were_never_mapped_go_after_a_week(study: Joining, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("heart", 1, 0, 60)
    await study.register(NORTH, source)
    receipt = await study.receipt(NORTH, source)

    async def staged() -> int:
        query = "SELECT count(*) FROM upload WHERE state = 'staged'"
        return int(await study.instance.comparator.db.read(lambda conn: conn.execute(query).fetchone()[0]))

    later(study, monkeypatch, 6.9)
    await study.linking.give_up_idle()
    assert await staged() == 1
    later(study, monkeypatch, 0.2)
    await study.linking.give_up_idle()
    assert await staged() == 0
    with pytest.raises(ConflictError) as caught:
        await study.map(NORTH, source, receipt)
    assert caught.value.code == "receipt_over"
    await study.upload(NORTH, source)
    later(study, monkeypatch, 8)
    await study.linking.give_up_idle()  # rows that are live stay
    query = "SELECT sum(held) FROM upload WHERE state = 'live'"
    held = await study.instance.comparator.db.read(lambda conn: conn.execute(query).fetchone()[0])
    assert held == 60 * 15
