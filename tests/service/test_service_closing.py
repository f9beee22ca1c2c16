"""Closing a domain: two people, its keys destroyed when due, and what a crash or an old database cannot bring back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from operations_support import approve, ask, close, entries, later, make, new_name, pairs, post
from tests_support import run_cli, stored

from keys.passphrase import read_passphrase
from keys.store import KeyStore
from trustcenter.client import Connection, TrustCenter
from trustcenter.client.errors import RemoteError
from trustcenter.config import load
from trustcenter.messages import api


def connection_of(world, name: str, folder: Path) -> Path:
    own = Connection.load(world.live.operator)
    target = folder / f"{name}.toml"
    Connection(url=own.url, ca=own.ca, token=world[name]._token, staff=name).save(target)
    return target


def test_a_proposal_stops_nothing_and_only_its_own_signature_closes(world) -> None:
    domain = make(world)
    path = f"/v1/domains/{domain}/close"
    assert world["anna"]("GET", path).json["code"] == "no_proposal"
    first = world["operator"]("POST", path, {"days": 5}).json
    second = world["operator"]("POST", path, {"days": 6}).json
    assert first["statement"] != second["statement"]
    ask(world, domain, ["a"])
    assert approve(world, "anna", domain, first["statement"], 422)["code"] == "bad_signature"
    assert approve(world, "anna", domain, second["statement"], 422, key="bernd")["code"] == "bad_signature"
    assert world["operator"]("GET", f"/v1/domains/{domain}").json["state"] == "open"
    shown = world["bernd"]("GET", path).json
    assert (shown["statement"], shown["approved_by"]) == (second["statement"], None)
    assert approve(world, "bernd", domain, second["statement"])["state"] == "closing"
    assert world["operator"]("GET", path).json["approved_by"] == "bernd"
    assert approve(world, "anna", domain, second["statement"], 409)["code"] == "domain_closed"
    for name in ("north", "clara", "operator"):
        assert world[name]("POST", path + "/approvals", {"signature": "x"}).status in (403, 404), name
    entries = [
        json.loads(line)["leaf"]
        for line in world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()
        if domain.encode() in line and b":domain:" in line and b'"leaf"' in line
    ]
    done = [(e["event"], e["who"]) for e in entries]
    assert done[-3:] == [
        ("operator:domain:propose", "operator"),
        ("approver:domain:approve", "bernd"),
        ("operator:domain:close", "operator"),
    ]
    assert entries[-1]["data"]["approved_by"] == "bernd"


def test_close_on_the_command_line(world, tmp_path: Path) -> None:
    connect = ("--connect", world.live.operator)
    created = run_cli(
        "domain", "create", "ops-cli", "--site", "north", "--multi", "--deletable", "--alphabet", "symbol32",
        "--length", "8", "--check", "reed-solomon", "--json", *connect,
    )  # fmt: skip
    assert created.returncode == 0, created.stderr
    shown = json.loads(created.stdout)
    assert (shown["suite"], shown["multi"], shown["deletable"]) == ("drawn", True, True)
    assert shown["format"] == {"prefix": "", "alphabet": "symbol32", "length": 8, "check": "reed-solomon"}
    (text,) = ask(world, "ops-cli", ["a"])["pseudonyms"]
    assert run_cli("domain", "close", "ops-cli", *connect).returncode == 1  # nobody to ask
    proposed = run_cli("domain", "close", "ops-cli", "--days", "7", "--yes", *connect)
    assert proposed.returncode == 0, proposed.stderr
    assert json.loads(run_cli("domain", "show", "ops-cli", "--json", *connect).stdout)["state"] == "open"
    approver = connection_of(world, "anna", tmp_path)
    sign = ("domain", "approve-close", "ops-cli", "--key", world.keys["anna"], "--connect", approver)
    assert run_cli(*sign).returncode == 1  # nobody to ask
    closed = run_cli(*sign, "--yes")
    assert closed.returncode == 0, closed.stderr
    assert "keys destroyed after days: 7" in closed.stderr
    assert "closing" in closed.stdout
    assert "closing" in run_cli("domain", "list", *connect).stdout
    assert run_cli("domain", "destroy", "ops-cli", "--yes", *connect).returncode == 1
    assert post(world, "ops-cli", "pseudonyms", {"originals": ["b"]}, status=409)["code"] == "domain_closed"
    assert ask(world, "ops-cli", ["a"], mode="get")["pseudonyms"] == [text]
    assert run_cli("domain", "create", "x", "--site", "north", "--length", "8", *connect).returncode == 1


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("pseudonyms", {"originals": ["a"]}),
        ("additional", {"originals": ["a"]}),
        ("import", pairs(("z", "OLD-1"))),
    ],
)
def test_a_closed_domain_issues_nothing(world, verb: str, body: dict[str, Any]) -> None:
    domain = make(world, multi=True)
    (text,) = ask(world, domain, ["a"])["pseudonyms"]
    assert close(world, domain, 5)["state"] == "closing"
    refused = post(world, domain, verb, body, status=409, **{"Idempotency-Key": "k"})
    assert refused["code"] == "domain_closed"
    assert post(world, domain, "translate", {"pseudonyms": [text]})["pseudonyms"] == [text]
    again = world["operator"]("POST", f"/v1/domains/{domain}/close", {})
    assert (again.status, again.json["code"]) == (409, "domain_closed")
    rotate = world["operator"]("POST", f"/v1/domains/{domain}/keys/rotate", {})
    assert rotate.json["code"] == "domain_closed"
    early = world["operator"]("POST", f"/v1/domains/{domain}/destroy")
    assert (early.status, early.json["code"]) == (409, "not_due")


def test_a_parent_is_closed_after_its_children(world) -> None:
    parent = make(world)
    child = make(world, parent=parent)
    refused = world["operator"]("POST", f"/v1/domains/{parent}/close", {})
    assert (refused.status, refused.json["code"]) == (403, "has_children")
    close(world, child)
    close(world, parent)


def store(directory: Path) -> KeyStore:
    config = load(directory)
    assert config.files.passphrase is not None
    return KeyStore.open(
        config.path(config.files.registrar_keys), read_passphrase(config.path(config.files.passphrase), prompt=False)
    )


def keys_of(directory: Path, uuid: str) -> list[str | None]:
    return [entry.destroyed for entry in store(directory).entries() if entry.id.scope == f"domain:{uuid}"]


async def test_the_keys_of_a_closed_domain_are_destroyed_when_due(world) -> None:
    domain = make(world)
    ask(world, domain, ["a"])
    world["operator"]("POST", f"/v1/domains/{domain}/keys/rotate", {})
    (text,) = ask(world, domain, ["a"])["pseudonyms"]
    uuid = close(world, domain, 5)["uuid"]
    assert world.live.stop() == 0
    await later(world.live.dir, 4)
    assert keys_of(world.live.dir, uuid) == [None] * 4
    await later(world.live.dir, 6)
    assert None not in keys_of(world.live.dir, uuid)
    world.live.start()
    shown = world["operator"]("GET", f"/v1/domains/{domain}").json
    assert (shown["state"], shown["key_version"]) == ("closed", 0)
    states = {key["state"] for key in world["operator"]("GET", "/v1/keys").json["keys"] if key["domain"] == domain}
    assert states == {"destroyed"}
    for verb, body in (("translate", {"pseudonyms": [text]}), ("pseudonyms", {"originals": ["a"], "mode": "get"})):
        assert post(world, domain, verb, body, status=409)["code"] == "domain_destroyed"
    assert len(entries(world, "operator:key:destroy", domain)) == 4
    assert len(entries(world, "registrar:domain:destroy", domain)) == 1
    with stored(world.live.dir, "registrar") as conn:
        assert conn.execute("SELECT h FROM domain WHERE name = ?", (domain,)).fetchone() == (b"",)


async def test_a_crash_between_database_and_key_store_is_made_good_at_start(world) -> None:
    from trustcenter.registrar import closing, domains

    domain = make(world)
    ask(world, domain, ["a"])
    uuid = close(world, domain, 300)["uuid"]
    assert world.live.stop() == 0

    async def half(context: Any) -> None:
        await context.db.write(lambda conn: closing.shred(context, conn, domains.find(conn, domain), "service", ""))

    await later(world.live.dir, 0, half)
    assert keys_of(world.live.dir, uuid) == [None] * 3
    world.live.start()
    assert world.live.stop() == 0
    assert None not in keys_of(world.live.dir, uuid)
    world.live.start()
    assert world["operator"]("POST", f"/v1/domains/{domain}/destroy").json["state"] == "closed"


async def test_a_database_from_before_the_destruction_does_not_bring_the_domain_back(world) -> None:
    domain = make(world)
    (text,) = ask(world, domain, ["a"])["pseudonyms"]
    uuid = world["operator"]("GET", f"/v1/domains/{domain}").json["uuid"]
    assert world.live.stop() == 0
    keys = store(world.live.dir)
    keys.destroy([entry.id for entry in keys.entries() if entry.id.scope == f"domain:{uuid}"])
    world.live.start()
    shown = world["operator"]("GET", f"/v1/domains/{domain}").json
    assert (shown["state"], shown["key_version"]) == ("closed", 0)
    assert post(world, domain, "translate", {"pseudonyms": [text]}, status=409)["code"] == "domain_destroyed"
    assert ask(world, "north", ["a"])["errors"] == []


async def test_the_client_has_every_operation_and_large_batches_are_logged_in_parts(world) -> None:
    operator = Connection.load(world.live.operator)
    site = Connection(url=operator.url, ca=operator.ca, token=world["north"]._token, site="north")
    name = new_name()
    async with TrustCenter(operator) as center:
        made = await center.create_domain(api.DomainCreate(name=name, site="north", multi=True, deletable=True))
        assert (made.multi, made.deletable) == (True, True)
    originals = [f"o-{number}" for number in range(7000)]
    async with TrustCenter(site) as center:
        first = (await center.pseudonymize(name, originals)).pseudonyms
        assert (await center.get_pseudonyms(name, originals[::-1])).pseudonyms == first[::-1]
        more = await center.additional(name, ["o-1"], 2, key="mine")
        assert (await center.additional(name, ["o-1"], 2, key="mine")).pseudonyms == more.pseudonyms
        assert (await center.additional(name, ["o-1"], 2)).repeated is False
        assert (await center.import_pairs(name, [("o-2", "OLD"), ("o-3", "OLD")])).results == ["imported", None]
        assert set((await center.validate(name, [*first, "OLD"])).results) == {"ok"}
        assert (await center.anonymise(name, pseudonyms=["OLD"])).results == ["anonymised"]
        assert (await center.translate(name, ["OLD"])).pseudonyms == [first[2]]
        gone = await center.delete(name, originals=originals)
        assert gone.results == ["deleted", "deleted", None, *["deleted"] * 6997]
        assert gone.rows == 6999 + 4
        assert (await center.validate(name, first)).results.count("ok") == 1
    logged = entries(world, "site:pseudonym:delete", name)
    assert [entry["count"] for entry in logged] == [3000, 3000, 1003]
    assert len({serial for entry in logged for serial in entry["serials"]}) == 7003
    async with TrustCenter(operator) as center:
        proposed = await center.propose_closing(name, days=3)
        assert await center.closing(name) == proposed
        approve(world, "anna", name, proposed.statement)
        closed = await center.domain(name)
        assert closed.state == "closing"
        with pytest.raises(RemoteError) as early:
            await center.destroy_domain(name)
        assert early.value.code == "not_due"
