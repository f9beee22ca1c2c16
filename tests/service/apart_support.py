"""Two rooms in two processes, paired, with sites that know both addresses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from log_support import failures
from raw_support import Raw
from sources_support import SCHEMA, STUDY_SECRET, people
from tests_support import Live, launch, make_instance, postgres_options, run_cli

from keys import hybrid
from linkage.encode import Secrets
from linkage.tables import Table
from trustcenter import config
from trustcenter.client import TrustCenter
from trustcenter.client import site as work
from trustcenter.client.connection import Connection, RowsConnection
from trustcenter.instance.between import cards

ROOMS = ("registrar", "comparator")
STUDY = "heart"


@dataclass
class Apart:
    """Both rooms, running."""

    folder: Path
    rooms: dict[str, Live] = field(default_factory=dict)
    sites: dict[str, Connection] = field(default_factory=dict)
    tokens: dict[str, list[str]] = field(default_factory=dict)

    def operator(self, room: str) -> Raw:
        return Raw(Connection.load(self.rooms[room].operator))

    def restart(self, room: str) -> None:
        self.rooms[room].kill()
        self.rooms[room].start()

    async def upload(self, site: str, start: int, count: int, street: str = "", **other: Any) -> work.Uploaded:
        """Bring the centre up to date with these people of a site, as `trustcenter study upload` does.

        With a street they have all moved there.
        """
        key = {"north": 1, "south": 2}[site]
        ids = [f"{key}-{n}" for n in range(start, start + count)]
        columns = people(start, count)
        if street:
            columns["street"] = [street] * count
        secrets = Secrets(study_secret=STUDY_SECRET, site_key=bytes([key] * 32), study=STUDY, version=1)
        async with TrustCenter(self.sites[site]) as center:
            study = await center.study(STUDY)
            work.check_study(study, SCHEMA, secret_study=STUDY, secret_version=1, site=site, **other)
            return await work.upload(center, study, SCHEMA, Table(ids, columns), secrets)

    def link(self) -> Any:
        """A run, to its end."""
        operator = self.operator("registrar")
        return self.follow(operator("POST", f"/v1/studies/{STUDY}/runs").json)

    def follow(self, run: Any) -> Any:
        operator, deadline = self.operator("registrar"), time.monotonic() + 180
        while run["state"] in ("queued", "comparing", "deciding") and time.monotonic() < deadline:
            time.sleep(0.2)
            run = operator("GET", f"/v1/studies/{STUDY}/runs/{run['run']}").json
        return run


def make(folder: Path, *, by_hand: bool = False) -> Apart:
    """Both instances, made and paired by the commands of the how-to, with one study of two sites.

    By hand: the registrar does not know where the comparator is.
    """
    apart = Apart(folder)
    read_out = {}
    for room in ROOMS:
        directory = folder / room
        prints = make_instance(directory, ("--room", room, "--separation", "operator", *postgres_options([room])))
        assert list(prints) == [room]
        written = (directory / "config.toml").read_text()
        (directory / "config.toml").write_text(written.replace("[server]", "workers = 1\n\n[server]", 1))
        settings = config.load(directory)
        own = (directory / "passphrase").read_bytes().strip()
        card = cards.make(settings, own, by_hand=by_hand and room == "comparator")
        read_out[room] = card.fingerprint
        (folder / f"{room}.card").write_bytes(msgspec.json.encode(card))
        apart.rooms[room] = Live("", directory, directory / "operator.toml", prints, None, folder / f"{room}.log")  # type: ignore[arg-type]
    for room, other in (ROOMS, ROOMS[::-1]):
        paired = run_cli("rooms", "pair", folder / room, folder / f"{other}.card", "--fingerprint", read_out[other])
        assert paired.returncode == 0, paired.stderr
    for room in ROOMS[::-1]:
        live = apart.rooms[room]
        live.process, live.url = launch(live.dir, live.log, "--room", room)
    for site in ("north", "south"):
        found = {}
        for room in ROOMS:
            operator, own = apart.operator(room), Connection.load(apart.rooms[room].operator)
            assert operator("POST", "/v1/sites", {"name": site, "kind": "diz", "title": site}).status == 201
            issued = operator("POST", f"/v1/sites/{site}/tokens", {}).json
            apart.tokens.setdefault(room, []).extend((issued["token"], issued["token_id"]))
            found[room] = Connection(url=own.url, ca=own.ca, token=issued["token"], site=site)
        files = {room: folder / f"{site}-{room}.toml" for room in ROOMS}
        for room in ROOMS:
            found[room].save(files[room])
        if site == "north":
            joined = run_cli("rooms", "connect", files["registrar"], files["comparator"], "-o", folder / f"{site}.toml")
            assert joined.returncode == 0, joined.stderr
        else:
            there = found["comparator"]
            rows = RowsConnection(url=there.url, ca=there.ca, token=there.token, site=site)
            msgspec.structs.replace(found["registrar"], comparator=rows).save(folder / f"{site}.toml")
        apart.sites[site] = Connection.load(folder / f"{site}.toml")
    body = {
        "name": STUDY,
        "purpose": "Test of rooms apart",
        "permit": "EK 2026-1",
        "participants": [{"site": site} for site in ("north", "south")],
        "recipients": [{"name": "dms", "public_key": hybrid.RecipientKey.generate().public}],
    }
    assert apart.operator("registrar")("POST", "/v1/studies", body).status == 201
    return apart


def running(folder: Path, *, by_hand: bool = False) -> Iterator[Apart]:
    """Two rooms for the tests of a file; neither may have failed."""
    found = make(folder, by_hand=by_hand)
    try:
        yield found
    finally:
        for live in found.rooms.values():
            live.stop()
    for live in found.rooms.values():
        assert "Traceback" not in failures(live.log)
