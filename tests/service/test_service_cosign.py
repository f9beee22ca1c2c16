"""Sites cosign the logs of a living service; a centre that shows two histories to two sites is found out."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ports_support import own_port
from tests_support import Live, launch, run_cli

from keys.personal import PersonalKey
from trustcenter.audit import verify_bundle, verify_log
from trustcenter.audit.cosign import cosign as sign
from trustcenter.audit.cosign import parse_witness
from trustcenter.audit.note import parse_note
from trustcenter.client import Connection, TrustCenter
from trustcenter.client.logs.audit_cosign import cosign_head, require, witness_key
from trustcenter.config import load
from trustcenter.errors import LogForkedError, VerificationError
from trustcenter.instance import places

SITES = ("north", "south", "east")


def cli(*arguments: object, code: int = 0) -> Any:
    ended = run_cli(*map(str, arguments))
    assert ended.returncode == code, ended.stderr
    return ended


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Per site a connection file, a key and its verifier key; the auditor's connection file."""
    made = tmp_path_factory.mktemp("cosign")
    origin = world["clara"]("GET", "/v1/audit/registrar/checkpoint").body.decode().split("\n")[0]
    operator = Connection.load(world.live.operator)
    for name in (*SITES, "clara"):
        role = {"staff": name} if name == "clara" else {"site": name}
        path = made / f"{name}.toml"
        Connection(url=operator.url, ca=operator.ca, token=world[name]._token, **role).save(path)
        if name in SITES:
            key = PersonalKey.generate()
            key.save(made / f"{name}.key")
            (made / f"{name}.witness").write_text(witness_key(origin, name, key.public_bytes).vkey + "\n")
    return made


def cosign(folder: Path, site: str, *rooms: str) -> None:
    """What `trustcenter audit cosign` does, in this process."""
    path, key = folder / f"{site}.toml", PersonalKey.load(folder / f"{site}.key")

    async def run() -> None:
        async with TrustCenter(Connection.load(path)) as center:
            for room in rooms or ("registrar", "comparator"):
                await cosign_head(center, room, site, key.public_bytes, key.cosign, path)

    asyncio.run(run())


def demand(folder: Path, who: str, *sites: str, days: float = 7) -> dict[str, int]:
    """What `trustcenter audit cosigned` does, in this process: entries that each site saw."""
    keys = [parse_witness((folder / f"{site}.witness").read_text()) for site in sites]

    async def run() -> dict[str, int]:
        async with TrustCenter(Connection.load(folder / f"{who}.toml")) as center:
            _, seen = await require(center, "registrar", keys, len(keys), days)
            return {one.name.rpartition("/")[2]: one.size for one in seen}

    return asyncio.run(run())


def witnesses(folder: Path, *sites: str) -> list[object]:
    return [part for site in sites for part in ("--witness", folder / f"{site}.witness")]


def grow(raw: Any, site: str) -> None:
    body = {"originals": [f"{site}-{time.monotonic_ns()}"]}
    assert raw("POST", f"/v1/domains/{site}/pseudonyms", body).status == 200


def test_heads_are_cosigned_shown_and_demanded(world, folder: Path, tmp_path: Path) -> None:
    own = ["--key", folder / "north.key", "--connect", folder / "north.toml"]
    assert cli("audit", "witness-key", *own).stdout == (folder / "north.witness").read_text()
    assert cli("audit", "cosign", *own).stdout.count("/site/north") == 2
    grow(world["south"], "south")
    cosign(folder, "south")
    kept = folder / "north.toml.cosigned"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_bytes())["rooms"].keys() == {"registrar", "comparator"}
    # Online: a third site holds its own view against both.
    connect = ["--connect", folder / "east.toml"]
    said = cli("audit", "cosigned", "registrar", *witnesses(folder, "north", "south"), "--json", *connect)
    shown = json.loads(said.stdout)
    assert [one["name"].rpartition("/")[2] for one in shown["witnesses"]] == ["south", "north"]
    assert shown["agreed"] == min(one["size"] for one in shown["witnesses"]) > 0
    with pytest.raises(VerificationError):
        demand(folder, "east", *SITES)
    with pytest.raises(VerificationError):
        demand(folder, "east", "north", days=1e-9)
    # Offline: from the archive, with the program and with the single file.
    mark = world.live.fingerprints["registrar"]
    archive = tmp_path / "log.zip"
    chosen = ["--event", "site:pseudonym:issue"]
    cli("audit", "export", "registrar", "-o", archive, *chosen, "--connect", folder / "clara.toml")
    both = [archive, "--key", mark, *witnesses(folder, "north", "south")]
    single = [sys.executable, verify_log.__file__, *both]
    assert f"agreed: {shown['agreed']}" in subprocess.run(single, capture_output=True, text=True, check=True).stdout
    third = ["--witness", folder / "east.witness"]
    assert "(witnesses)" in cli("audit", "verify", *both, *third, code=3).stderr
    ended = subprocess.run([*single, *third], capture_output=True, text=True, check=False)
    assert (ended.returncode, "BROKEN at witnesses" in ended.stderr) == (3, True)
    found = json.loads(cli("audit", "verify", *both, *third, "--quorum", "2", "--json").stdout)[0]
    assert found["agreed"] == shown["agreed"]
    # As files, beside a bundle.
    cli("audit", "cosigned", "comparator", "-o", tmp_path / "heads", "--connect", folder / "clara.toml")
    cli("audit", "export", "comparator", "-o", tmp_path / "c.ndjson", "--connect", folder / "clara.toml")
    heads = [part for path in sorted((tmp_path / "heads").iterdir()) for part in ("--checkpoint", path)]
    cli("audit", "verify", tmp_path / "c.ndjson", *heads, *witnesses(folder, "north", "south"))
    # What the log says of it, and what it does not: the comparator's says nothing.
    lines = [json.loads(line) for line in world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()[1:-1]]
    told = [line["leaf"] for line in lines if line["leaf"]["event"] == "site:log:cosign"]
    assert [(leaf["who"], leaf["data"]["room"]) for leaf in told] == [
        (site, room) for site in ("north", "south") for room in ("registrar", "comparator")
    ]
    assert b"cosign" not in world["clara"]("GET", "/v1/audit/comparator/export").body


def test_cosignatures_that_are_refused(world, folder: Path) -> None:
    cosign(folder, "north", "registrar")
    witness = (folder / "north.witness").read_text().strip()
    (head,) = [
        head
        for head in world["north"]("GET", "/v1/audit/registrar/cosigned").json["heads"]
        if witness in head["witnesses"]
    ]
    path = "/v1/audit/registrar/cosignatures"

    def code(who: str, note: str, vkey: str = witness, to: str = path) -> tuple[int, str]:
        answer = world[who]("POST", to, {"note": note, "witness": vkey})
        return answer.status, answer.json.get("code", "")

    note = head["note"]
    own = [line for line in note.splitlines(keepends=True) if "/site/" in line]
    bare = note
    for line in own:
        bare = bare.replace(line, "")
    assert code("north", note)[0] == 200  # again the same
    assert code("south", note) == (403, "foreign_witness")
    assert code("clara", note)[0] == 403
    assert code("north", bare)[1] == "not_cosigned"
    assert code("north", note, to=path.replace("registrar", "comparator"))[0] == 422
    assert code("north", note.replace("\n\n", "\nmore\n\n"))[0] == 422
    assert code("north", note, vkey=witness[:-4] + "AAA=")[0] == 422
    assert code("north", "x")[0] == 422
    key = PersonalKey.load(folder / "north.key")
    assert code("north", sign(bare, parse_witness(witness), key.cosign, int(time.time()) + 3600))[1] == "cosigned_later"
    older = head["note"]
    cosign(folder, "north", "registrar")
    assert code("north", older) == (409, "cosigned_before")
    # A key of the site's that is not the one it cosigned with before takes its place.
    cli("staff", "keygen", "--no-passphrase", "-o", folder / "new.key")
    cli("audit", "cosign", "registrar", "--key", folder / "new.key", "--connect", folder / "north.toml")
    said = cli("audit", "cosigned", "registrar", *witnesses(folder, "north"), "--connect", folder / "east.toml", code=3)
    assert "too_few_witnesses" in said.stderr


@pytest.fixture(scope="module")
def twin(world, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A second service on a copy of everything, keys included: the other history that a centre can show."""
    for site in ("north", "south"):
        cosign(folder, site)
    live: Live = world.live
    assert live.stop() == 0
    base = tmp_path_factory.mktemp("twin")
    shutil.copytree(live.dir, base / "instance")
    live.start()
    process, url = launch(base / "instance", base / "log", "--port", str(own_port()))
    running = Live(url, base / "instance", live.operator, live.fingerprints, process, base / "log")
    yield running
    running.process.terminate()
    running.process.wait(60)


@pytest.mark.files
def test_two_histories_shown_to_two_sites_are_found_out(world, twin: Live, folder: Path, tmp_path: Path) -> None:
    operator = Connection.load(world.live.operator)
    south = Connection(url=twin.url, ca=operator.ca, token=world["south"]._token, site="south")
    shutil.copytree(folder, tmp_path / "south")
    (tmp_path / "south" / "south.toml").unlink()
    south.save(tmp_path / "south" / "south.toml")
    # North is shown one history, south another; each is whole, signed, and extends what its site saw before.
    grow(world["north"], "north")
    grow(type(world["south"])(south), "south")
    cosign(folder, "north", "registrar")
    cosign(tmp_path / "south", "south", "registrar")
    shown = {}
    for name, raw in (("north", world["north"]), ("south", type(world["south"])(south))):
        heads = raw("GET", "/v1/audit/registrar/cosigned").json["heads"]
        shown[name] = heads[0]["note"]
    assert parse_note(shown["north"]).text != parse_note(shown["south"]).text
    # South asks for north's cosignature: the twin has only one of before the fork, which covers nothing of after it.
    found = demand(tmp_path / "south", "south", "north", "south")
    assert found["north"] < found["south"]
    # The centre puts north's new cosignature there: no log extends both heads.
    with sqlite3.connect(places.file(load(twin.dir), "registrar")) as conn:
        size = int(shown["north"].split("\n")[1])
        conn.execute(
            "UPDATE audit_cosignature SET note = ?, size = ? WHERE room = 'registrar' AND site = 'north'",
            (shown["north"], size),
        )
    with pytest.raises(LogForkedError):
        demand(tmp_path / "south", "south", "north")
    # An auditor who has the log of one and the head of the other.
    raw = world["clara"]("GET", "/v1/audit/registrar/export").body
    bundle, head = tmp_path / "bundle", tmp_path / "head"
    bundle.write_bytes(raw)
    head.write_text(shown["south"])
    assert verify_bundle(bundle.open("rb")).size
    broken = cli("audit", "verify", bundle, "--checkpoint", head, *witnesses(folder, "south"), code=3)
    assert "audit_bundle_broken" in broken.stderr
    # And a site that is moved from one history to the other does not cosign.
    (tmp_path / "south" / "south.toml").unlink()
    Connection(url=operator.url, ca=operator.ca, token=world["south"]._token, site="south").save(
        tmp_path / "south" / "south.toml"
    )
    for _ in range(3):
        grow(world["north"], "north")
    with pytest.raises(LogForkedError):
        cosign(tmp_path / "south", "south", "registrar")
