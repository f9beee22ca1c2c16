"""Expiry, quotas and forgetting, with the clock and the limits in the test's hand."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests_support import make_instance

from keys.personal import PersonalKey
from trustcenter import config
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError, PolicyError
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.messages import reidentification as wire
from trustcenter.registrar import closing, domain_create, domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.pseudonyms import issue, layout
from trustcenter.registrar.reversal import originals, reidentify
from trustcenter.registrar.reversal.tickets import TicketNeededError

pytestmark = pytest.mark.files

SITE = Principal("north", "site", "t")
ANNA = Principal("anna", "approver", "t")
OPERATOR = Principal("olga", "operator", "t")


@dataclass
class House:
    """An opened registrar whose time the test moves."""

    context: Context
    key: PersonalKey
    now: list[datetime] = field(default_factory=list)

    def pass_time(self, **span: float) -> None:
        self.now[0] += timedelta(**span)

    async def issue(self, values: list[str]) -> list[str]:
        context = self.context
        domain = await context.db.read(lambda conn: domains.find(conn, "north", SITE))
        encoded = [value.encode() for value in values]
        tags = context.keys.tags(domain.uuid, layout.LOOKUP_VERSION, encoded)
        made = await context.db.write(
            lambda conn: issue.create_or_get(context, conn, domain, encoded, tags, "north", "r")
        )
        return layout.format_rows(context, domain, made.version, made.serials, made.nonces)

    async def ask(self, values: list[str], **more: Any) -> api.Reidentification:
        body = api.ReidentifyRequest(pseudonyms=values, reason="why", **more)
        return await reidentify.create(self.context, SITE, "r", "north", body)

    async def approve(self, made: api.Reidentification) -> api.Reidentification:
        signature = self.key.sign(wire.CONTEXT, made.statement.encode())
        return await reidentify.approve(
            self.context, ANNA, "r", made.reidentification, api.Approval(signature=signature)
        )

    async def fetch(self, made: api.Reidentification, values: list[str]) -> api.OriginalsAnswer:
        return await originals.release(self.context, SITE, "r", "north", made.reidentification, values)

    async def state(self, made: api.Reidentification) -> str:
        return (await reidentify.show(self.context, SITE, made.reidentification)).state

    async def rows(self, query: str) -> list[Any]:
        return await self.context.db.read(lambda conn: conn.execute(query).fetchall())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("house") / "instance"
    make_instance(path)
    return path


@pytest.fixture
async def house(directory: Path, tmp_path: Path) -> AsyncIterator[House]:
    import shutil

    copy = tmp_path / "instance"
    shutil.copytree(directory, copy)
    loaded = config.load(copy)
    limits = msgspec.structs.replace(loaded.limits, reidentify_per_day=5, reidentify_fetches=3, reidentify_open=2)
    now = [datetime(2026, 11, 24, 22, 0, tzinfo=UTC)]
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(msgspec.structs.replace(loaded, limits=limits), passphrase, lambda: now[0]) as opened:
        context, key = opened.registrar, PersonalKey.generate()

        def people(conn: sqlite3.Connection) -> None:
            context.directory.add_site(conn, "north", "diz", "North")
            context.directory.add_staff(conn, "anna", "approver", key.public)

        await context.db.write(people)
        await domain_create.create(context, OPERATOR, "r", api.DomainCreate(name="north", site="north"))
        yield House(context, key, now)


async def test_a_ticket_ends_when_its_hours_are_over(house: House) -> None:
    values = await house.issue(["a", "b"])
    made = await house.ask(values, valid_hours=24)
    await house.approve(made)
    house.pass_time(hours=23, minutes=59)
    assert (await house.fetch(made, values)).originals == ["a", "b"]
    house.pass_time(minutes=1)
    with pytest.raises(TicketNeededError):
        await house.fetch(made, values)
    assert await house.state(made) == "expired"
    assert await house.rows("SELECT * FROM reidentification_row") == []
    house.pass_time(hours=-3)  # a clock that is put back does not revive it
    with pytest.raises(TicketNeededError):
        await house.fetch(made, values)
    with pytest.raises(ConflictError):
        await house.approve(made)


async def test_a_request_that_nobody_signs_ends_after_a_week(house: House) -> None:
    made = await house.ask(await house.issue(["a"]))
    house.pass_time(days=7)
    assert await house.state(made) == "expired"
    with pytest.raises(ConflictError):
        await house.approve(made)


async def test_a_ticket_is_used_up_and_then_forgets_its_rows(house: House) -> None:
    values = await house.issue(["a"])
    made = await house.ask(values)
    await house.approve(made)
    answers = [await house.fetch(made, values) for _ in range(3)]
    assert [answer.fetches_left for answer in answers] == [2, 1, 0]
    assert answers[-1].state == "used-up"
    assert await house.rows("SELECT * FROM reidentification_row") == []
    with pytest.raises(TicketNeededError):
        await house.fetch(made, values)


async def test_fetching_what_is_not_in_the_ticket_spends_it_too(house: House) -> None:
    inside, outside = await house.issue(["a", "b"])
    made = await house.ask([inside])
    await house.approve(made)
    for _ in range(3):
        assert (await house.fetch(made, [outside])).originals == [None]
    with pytest.raises(TicketNeededError):
        await house.fetch(made, [inside])


async def test_a_sites_quota_is_per_day_and_all_or_nothing(house: House) -> None:
    values = await house.issue(list("abcdef"))
    made = await house.ask(values)
    await house.approve(made)
    with pytest.raises(PolicyError) as too_many:
        await house.fetch(made, values)
    assert too_many.value.code == "reidentification_quota"
    assert len((await house.fetch(made, [*values[:3], *values[:3]])).originals) == 6  # three subjects
    with pytest.raises(PolicyError):
        await house.fetch(made, values[3:])
    assert (await house.fetch(made, values[3:5])).originals == ["d", "e"]
    other = await house.ask(values[5:])
    await house.approve(other)
    with pytest.raises(PolicyError):
        await house.fetch(other, values[5:])
    house.pass_time(hours=2)  # past midnight in UTC
    assert (await house.fetch(other, values[5:])).originals == ["f"]


async def test_a_refused_fetch_releases_nothing_and_is_in_the_log(house: House) -> None:
    values = await house.issue(["a"])
    made = await house.ask(values)
    with pytest.raises(TicketNeededError):
        await house.fetch(made, values)
    assert await house.rows("SELECT * FROM reidentification_salt") == []
    assert await house.rows("SELECT * FROM reidentification_day") == []
    leaves = [leaf for (leaf,) in await house.rows("SELECT leaf FROM audit_entry ORDER BY seq")]
    last = msgspec.json.decode(leaves[-1])
    assert (last["event"], last["who"], last["data"]["code"]) == (
        "site:reidentification:refused",
        "north",
        "ticket_needed",
    )


async def test_a_site_has_few_open_requests(house: House) -> None:
    values = await house.issue(["a"])
    first = await house.ask(values)
    await house.ask(values)
    with pytest.raises(ConflictError) as refused:
        await house.ask(values)
    assert refused.value.code == "too_many_open"
    await reidentify.deny(house.context, ANNA, "r", first.reidentification, api.Denial(reason="no"))
    await house.ask(values)


async def test_deleting_a_row_erases_the_salts_that_open_its_entries(house: House) -> None:
    values = await house.issue(["a", "b"])
    made = await house.ask(values)
    await house.approve(made)
    await house.fetch(made, values)
    assert len(await house.rows("SELECT * FROM reidentification_salt")) == 2
    await house.context.db.write(
        lambda conn: conn.execute("UPDATE entry SET status = 2 WHERE serial = (SELECT min(serial) FROM entry)")
    )
    assert len(await house.rows("SELECT * FROM reidentification_salt")) == 1
    await house.context.db.write(lambda conn: conn.execute("DELETE FROM entry"))
    assert await house.rows("SELECT * FROM reidentification_salt") == []


async def test_what_was_deleted_since_has_no_original(house: House) -> None:
    values = await house.issue(["a", "b"])
    made = await house.ask(values)
    await house.approve(made)

    def forget(conn: sqlite3.Connection) -> None:
        conn.execute("UPDATE entry SET tag = NULL, sealed = NULL WHERE serial = (SELECT min(serial) FROM entry)")

    await house.context.db.write(forget)
    answer = await house.fetch(made, values)
    assert answer.originals.count(None) == 1
    assert set(answer.originals) < {"a", "b", None}
    assert [error.code for error in answer.errors] == ["not_in_ticket"]
    assert len(await house.rows("SELECT * FROM reidentification_salt")) == 1


async def test_two_signatures_where_two_are_required(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reidentify, "REQUIRED", 2)
    bernd = PersonalKey.generate()
    await house.context.db.write(
        lambda conn: house.context.directory.add_staff(conn, "bernd", "approver", bernd.public)
    )
    values = await house.issue(["a"])
    made = await house.ask(values)
    assert "signatures: 2\n" in made.statement
    assert (await house.approve(made)).state == "requested"
    assert (await house.approve(made)).state == "requested"
    with pytest.raises(TicketNeededError):
        await house.fetch(made, values)
    signature = bernd.sign(wire.CONTEXT, made.statement.encode())
    second = await reidentify.approve(
        house.context,
        Principal("bernd", "approver", "t"),
        "r",
        made.reidentification,
        api.Approval(signature=signature),
    )
    assert (second.state, second.approvals) == ("approved", ["anna", "bernd"])
    assert (await house.fetch(made, values)).originals == ["a"]


async def test_a_closed_domain_opens_no_entry_and_releases_nothing(house: House) -> None:
    values = await house.issue(["a"])
    made = await house.ask(values)
    await house.approve(made)
    await house.fetch(made, values)
    await house.context.db.write(lambda conn: closing.carry_out(house.context, conn, "operator", "r", "north", 1))
    assert (await house.fetch(made, values)).originals == ["a"]  # within the grace period
    house.pass_time(days=1)
    with pytest.raises(ConflictError):
        await house.fetch(made, values)
    await closing.destroy(house.context, OPERATOR, "r", "north")
    assert await house.rows("SELECT * FROM reidentification_salt") == []
    assert await house.rows("SELECT * FROM reidentification_row") == []
