"""An instance with both rooms becomes a registrar, a new comparator is paired, and the sites' uploads fill it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from apart_support import STUDY, Apart
from raw_support import Raw
from tests_support import ON_POSTGRES, Live, launch, make_instance, run_cli, stored

from keys import hybrid
from trustcenter import config
from trustcenter.client.connection import Connection, RowsConnection
from trustcenter.errors import ConflictError
from trustcenter.instance.between import cards, dividing

SITES = ("north", "south")


def passphrase(folder: Path) -> bytes:
    return (folder / "passphrase").read_bytes().strip()


def serve(folder: Path, room: str) -> Live:
    live = Live("", folder, folder / "operator.toml", {}, None, folder.with_suffix(".log"))  # type: ignore[arg-type]
    live.process, live.url = launch(live.dir, live.log, "--room", room)
    return live


def persons(folder: Path) -> list[Any]:
    """Who is whom, by domain and serial."""
    with stored(folder, "registrar") as conn:
        return conn.execute("SELECT domain, serial, person FROM record ORDER BY domain, serial").fetchall()


def admit(operator: Raw, own: Connection) -> dict[str, Connection]:
    found = {}
    for site in SITES:
        operator("POST", "/v1/sites", {"name": site, "kind": "diz", "title": site})
        token = operator("POST", f"/v1/sites/{site}/tokens", {}).json["token"]
        found[site] = Connection(url=own.url, ca=own.ca, token=token, site=site)
    return found


def test_only_a_stopped_instance_of_both_rooms_is_divided(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    make_instance(folder)
    settings = config.load(folder)
    left = dividing.divide(settings, passphrase(folder), "process")
    assert len(left) == 2
    if not ON_POSTGRES:
        assert all(isinstance(path, Path) and path.exists() for path in left)
    divided = config.load(folder)
    assert (divided.room, divided.separation, divided.rooms) == ("registrar", "process", ("registrar",))
    assert cards.make(divided, passphrase(folder)).room == "registrar"
    with pytest.raises(ConflictError) as caught:
        dividing.divide(divided, passphrase(folder), "process")
    assert caught.value.code == "one_room"
    asked = run_cli("rooms", "divide", folder, "--separation", "operator")
    assert "not_confirmed" in asked.stderr


@pytest.mark.soak
async def test_a_divided_instance_goes_on_with_a_new_comparator(tmp_path: Path) -> None:
    folder, there = tmp_path / "registrar", tmp_path / "comparator"
    apart = Apart(tmp_path)
    make_instance(folder)
    live = serve(folder, "both")
    try:
        apart.rooms["registrar"] = live
        apart.sites = admit(apart.operator("registrar"), Connection.load(live.operator))
        body = {
            "name": STUDY,
            "purpose": "p",
            "permit": "q",
            "participants": [{"site": site} for site in SITES],
            "recipients": [{"name": "dms", "public_key": hybrid.RecipientKey.generate().public}],
        }
        assert apart.operator("registrar")("POST", "/v1/studies", body).status == 201
        for site, first in (("north", 0), ("south", 60)):
            assert (await apart.upload(site, first, 120)).sent == 120
        assert apart.link()["state"] == "applied"
        running = run_cli("rooms", "divide", folder, "--separation", "operator", "--yes")
        assert "already_running" in running.stderr
    finally:
        live.stop()
    before = persons(folder)
    divided = run_cli("rooms", "divide", folder, "--separation", "operator", "--yes")
    assert divided.returncode == 0, divided.stderr
    make_instance(there, ("--room", "comparator", "--separation", "operator"))
    shown = {}
    for place in (folder, there):
        card = cards.make(config.load(place), passphrase(place))
        shown[card.room] = card
    cards.keep(config.load(folder), shown["comparator"], shown["comparator"].fingerprint)
    cards.keep(config.load(there), shown["registrar"], shown["registrar"].fingerprint)
    for room, place in (("comparator", there), ("registrar", folder)):
        apart.rooms[room] = serve(place, room)
    try:
        own = Connection.load(apart.rooms["comparator"].operator)
        for site, found in admit(apart.operator("comparator"), own).items():
            rows = RowsConnection(url=found.url, ca=found.ca, token=found.token, site=site)
            apart.sites[site] = msgspec.structs.replace(apart.sites[site], comparator=rows)
        emptied = apart.link()  # reconciles: to the new comparator everything is lost
        assert emptied["state"] == "applied", emptied
        for site, first in (("north", 0), ("south", 60)):
            assert (await apart.upload(site, first, 120, require_separation="operator")).sent == 120
        assert apart.link()["state"] == "applied"
    finally:
        for live in apart.rooms.values():
            live.stop()
    assert persons(folder) == before
