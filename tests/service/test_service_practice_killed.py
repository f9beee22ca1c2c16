"""`practice send` killed after each of its requests, and given again: every patient is there once, with all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import placed_support
import pytest
from sources_support import SCHEMA, people
from tests_support import stored

from keys.hybrid import RecipientKey
from keys.secretfiles import StudySecret
from linkage.tables import Table
from trustcenter.client import TrustCenter
from trustcenter.client.connection import Connection
from trustcenter.client.practice import work
from trustcenter.client.practice.home import Home
from trustcenter.client.study import secret_relay
from trustcenter.client.study.secret_pins import Pins
from trustcenter.messages.api.enrolment import EnrolmentCreate

pytestmark = pytest.mark.faults

STUDY = "sending"
EACH = 10  # patients that come with every attempt


class Killed(BaseException):
    """The practice's computer is switched off."""


def die_after(center: TrustCenter, requests: int) -> None:
    """Let a client die as soon as so many requests were answered."""
    left = requests
    for http in {center._http, center._rows}:
        original = http.call

        async def call(*args: Any, original: Any = original, **options: Any) -> Any:
            nonlocal left
            answer = await original(*args, **options)
            left -= 1
            if left == 0:
                raise Killed
            return answer

        http.call = call  # type: ignore[method-assign]


async def admitted(world: Any, folder: Path) -> Home:
    """A practice that has come in through the northern site and was given the study secret."""
    url = Connection.load(world.live.operator)
    sponsor = Connection(url=url.url, ca=url.ca, site="north", token=world["north"]._token)
    key, secret = RecipientKey.generate(), StudySecret.generate(STUDY, 1)
    pins, home = Pins.load(folder / "pins.toml"), Home(folder / "practice")
    async with TrustCenter(sponsor) as center:
        await secret_relay.publish(center, STUDY, key)
        made = EnrolmentCreate(site="praxis", title="Praxis", kind="practice", deduplicated=True, days=7)
        said = await work.enrol(await work.invite(center, STUDY, made, key, pins), home)
        await work.admit(center, STUDY, "praxis", said, key, secret, pins)
    return home


def held(world: Any) -> tuple[int, int, int]:
    """Mapped records, their refs, and rows at the comparator."""
    with stored(world.live.dir, "registrar") as conn:
        mine = " IN (SELECT domain FROM participant WHERE study = ? AND site = 'praxis')"
        records = conn.execute(f"SELECT count(*) FROM record WHERE state <> 'unlinked' AND domain{mine}", (STUDY,))
        refs = conn.execute(f"SELECT coalesce(sum(length(refs)), 0) / 16 FROM record_refs WHERE domain{mine}", (STUDY,))
        found = (records.fetchone()[0], int(refs.fetchone()[0]))
    with stored(world.live.dir, "comparator") as conn:
        return (*found, placed_support.rows_of(conn, STUDY))


async def test_a_practice_that_is_killed_anywhere_sends_again(world: Any, tmp_path: Path) -> None:
    body = {
        "name": STUDY,
        "purpose": "p",
        "permit": "q",
        "participants": [{"site": "north"}, {"site": "south"}],
        "recipients": [{"name": "dms", "public_key": RecipientKey.generate().public}],
        "minimum_batch": EACH,
    }
    assert world["operator"]("POST", "/v1/studies", body).status == 201
    allowed = world["operator"]("POST", f"/v1/studies/{STUDY}/sponsors", {"site": "north", "practices": 1})
    assert allowed.status == 200
    home = await admitted(world, tmp_path)
    attempts, alive = 0, False
    while not alive:
        attempts += 1
        count = attempts * EACH
        table = Table([str(number) for number in range(count)], people(0, count))
        async with TrustCenter(Connection.load(home.connection)) as center:
            die_after(center, attempts)
            try:
                await work.send(center, home, table)
                alive = True
            except Killed:
                pass
        async with TrustCenter(Connection.load(home.connection)) as center:
            await work.send(center, home, table)
            again = await work.send(center, home, table)
        assert again.sent == 0
        assert held(world) == (count, count * SCHEMA.P, count * SCHEMA.P), attempts
    assert attempts > 6  # study, secret, registration, announcement, rows, receipt, map
