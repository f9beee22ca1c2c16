"""Practices where the rooms are apart: each room lets them in by a code of its own, and turns them out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from apart_support import ROOMS, STUDY, Apart, running
from raw_support import Raw
from sources_support import people
from tests_support import everything, stored

from keys.hybrid import RecipientKey
from keys.secretfiles import StudySecret
from linkage.tables import Table
from trustcenter.client import RemoteError, TrustCenter
from trustcenter.client.connection import Connection
from trustcenter.client.practice import work
from trustcenter.client.practice.home import Home
from trustcenter.client.study import secret_relay
from trustcenter.client.study.secret_pins import Pins
from trustcenter.errors import TrustCenterError
from trustcenter.messages.api.enrolment import EnrolmentCreate, Sponsor


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    yield from running(tmp_path_factory.mktemp("apart"))


async def test_a_practice_comes_in_at_both_rooms_sends_and_is_turned_out(apart: Apart, tmp_path: Path) -> None:
    key, secret = RecipientKey.generate(), StudySecret.generate(STUDY, 1)
    pins, home = Pins.load(tmp_path / "pins.toml"), Home(tmp_path / "practice")
    for site, start in (("north", 0), ("south", 30)):
        await apart.upload(site, start, 60)
    wanted = EnrolmentCreate(site="praxis", title="Practice", days=7)
    for room in ROOMS:
        async with TrustCenter(Connection.load(apart.rooms[room].operator)) as center:
            await center.allow_sponsor(STUDY, Sponsor(site="north", practices=1))
    async with TrustCenter(apart.sites["north"]) as center:
        await secret_relay.publish(center, STUDY, key)
        with pytest.raises(RemoteError) as caught:  # two of them, at either room
            await center.create_rows_enrolment(STUDY, msgspec.structs.replace(wanted, site="south"))
        assert caught.value.code == "site_name_taken"
        invitation = await work.invite(center, STUDY, wanted, key, pins)
        apart.rooms["comparator"].kill()
        with pytest.raises(TrustCenterError):  # the registrar's code is used, the comparator's is not
            await work.enrol(invitation, home)
        apart.rooms["comparator"].start()
        said = await work.enrol(invitation, home)
        with pytest.raises(RemoteError) as caught:
            await work.enrol(invitation, home)
        assert caught.value.code == "invalid_enrolment_code"
        await work.admit(center, STUDY, "praxis", said, key, secret, pins)
    assert Raw(apart.sites["north"])("POST", f"/v1/studies/{STUDY}/settlements").status == 200  # delivers what waited
    table = Table([str(number) for number in range(60)], people(400, 60))
    connection = Connection.load(home.connection)
    async with TrustCenter(connection) as center:
        done = await work.send(center, home, table, require_separation="operator")
        assert (done.records, done.sent) == (60, 60)
    run = apart.link()
    assert run["state"] == "applied", run
    assert {source["site"]: source["records"] for source in run["counts"]["sources"]}["praxis"] == 60
    async with TrustCenter(connection) as center:
        assert len(await work.results(center, home, table.ids)) == 60
        assert (await work.send(center, home, table)).sent == 0
    with stored(apart.rooms["comparator"].dir, "comparator") as conn:
        held = everything(conn).lower()
    assert bytes.hex(connection.token.encode()) not in held
    assert not any(token in held for token in (connection.token.lower(), invitation.code, invitation.rows_code))
    practice, asked = Raw(connection.rows), f"/v1/studies/{STUDY}/parameters/comparator"
    assert practice("GET", asked).status == 200
    raw = Raw(connection)
    async with TrustCenter(apart.sites["north"]) as center:
        lost = await work.invite(center, STUDY, wanted, key, pins)  # for another computer; the letter is lost
        await center.revoke_enrolment(STUDY, (await work.find(center, STUDY, "praxis"))[-1].enrolment)
        assert redeemed(apart, lost.rows_code) == (403, "invalid_enrolment_code")
        assert (practice("GET", asked).status, raw("GET", f"/v1/studies/{STUDY}").status) == (200, 200)
        await work.enrol(await work.invite(center, STUDY, wanted, key, pins), home)  # a second one works at both rooms
        assert (practice("GET", asked).status, raw("GET", f"/v1/studies/{STUDY}").status) == (401, 401)
        connection = Connection.load(home.connection)
        practice, raw = Raw(connection.rows), Raw(connection)
        assert (practice("GET", asked).status, raw("GET", f"/v1/studies/{STUDY}").status) == (200, 200)
        waiting = await work.invite(center, STUDY, wanted, key, pins)
        for one in await center.enrolments(STUDY):
            if one.state == "used":
                await center.revoke_enrolment(STUDY, one.enrolment)
    assert (practice("GET", asked).status, raw("GET", f"/v1/studies/{STUDY}").status) == (401, 401)
    assert redeemed(apart, waiting.rows_code) == (403, "invalid_enrolment_code")
    async with TrustCenter(apart.sites["north"]) as center:
        await work.enrol(await work.invite(center, STUDY, wanted, key, pins), home)
        waiting = await work.invite(center, STUDY, wanted, key, pins)
        await work.turn_out(center, STUDY, "praxis")
        assert {one.state for one in await center.enrolments(STUDY)} == {"revoked"}
    connection = Connection.load(home.connection)
    practice, raw = Raw(connection.rows), Raw(connection)
    assert (practice("GET", asked).status, raw("GET", f"/v1/studies/{STUDY}").status) == (401, 401)
    assert redeemed(apart, waiting.rows_code) == (403, "invalid_enrolment_code")


def redeemed(apart: Apart, code: str) -> tuple[int, str]:
    """Status and code of what the comparator answers to its own code."""
    answer = apart.operator("comparator")("POST", "/v1/enrolments", {"code": code})
    return answer.status, answer.json["code"]


async def test_a_sponsor_cannot_take_the_name_of_a_site_that_is_yet_to_be_admitted(apart: Apart) -> None:
    """It takes part at the registrar, and the comparator's operator has not added it: nobody else comes in as it."""
    registrar = apart.operator("registrar")
    assert registrar("POST", "/v1/sites", {"name": "west", "kind": "diz", "title": "West"}).status == 201
    body = {
        "name": "lung",
        "purpose": "Test of names",
        "permit": "EK 2026-2",
        "participants": [{"site": site} for site in ("north", "west")],
        "recipients": [{"name": "dms", "public_key": RecipientKey.generate().public}],
    }
    assert registrar("POST", "/v1/studies", body).status == 201
    async with TrustCenter(apart.sites["north"]) as center:
        with pytest.raises(RemoteError) as caught:
            await center.create_rows_enrolment(STUDY, EnrolmentCreate(site="west", title="West", days=7))
    assert caught.value.code == "site_name_taken"
