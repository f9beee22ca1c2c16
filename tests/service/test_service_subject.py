"""What the centre says of one pseudonym: to its own site only, and with everything that was done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_service_audit import connection

from keys.personal import PersonalKey
from trustcenter.client import TrustCenter
from trustcenter.client.logs.audit_export import export_log
from trustcenter.client.logs.audit_findings import collect
from trustcenter.client.logs.audit_report import page
from trustcenter.errors import UsageError


def make(world, name: str, **options: object) -> list[str]:
    """A domain of north with some pseudonyms, made in two batches."""
    assert world["operator"]("POST", "/v1/domains", {"name": name, "site": "north", **options}).status == 201
    found: list[str] = []
    for part in range(2):
        body = {"originals": [f"{name}-{part}-{n}" for n in range(20)]}
        found += world["north"]("POST", f"/v1/domains/{name}/pseudonyms", body).json["pseudonyms"]
    return found


def ask(world, domain: str, pseudonym: str, who: str = "north"):
    return world[who]("POST", f"/v1/domains/{domain}/subject-reports", {"pseudonym": pseudonym})


def leaves(world) -> dict[int, dict]:
    lines = world["clara"]("GET", "/v1/audit/registrar/export").lines
    return {line["leaf"]["seq"]: line["leaf"] for line in lines if "leaf" in line}


def test_a_report_names_the_batch_and_every_reidentification(world) -> None:
    name = "subject-one"
    pseudonyms = make(world, name, reversible=True)
    first, late = pseudonyms[3], pseudonyms[33]
    path = f"/v1/domains/{name}/reidentifications"
    asked = world["north"]("POST", path, {"pseudonyms": [late], "reason": "incidental finding"})
    assert asked.status == 201, asked.body
    ident = asked.json["reidentification"]
    signature = PersonalKey.load(world.keys["anna"]).sign("trustcenter/reidentify/1", asked.json["statement"].encode())
    signed = world["anna"]("POST", f"/v1/reidentifications/{ident}/approvals", {"signature": signature})
    assert signed.json["state"] == "approved", signed.body
    given = world["north"]("POST", f"{path}/{ident}/originals", {"pseudonyms": [late]})
    assert given.json["originals"] == [f"{name}-1-13"], given.body

    entries = leaves(world)
    plain, found = ask(world, name, first).json, ask(world, name, late).json
    assert [event["event"] for event in plain["events"]] == ["site:pseudonym:issue"]
    assert [event["event"] for event in found["events"]] == ["site:pseudonym:issue", "site:pseudonym:reidentify"]
    assert found["events"][1]["reidentification"] == ident
    assert plain["events"][0]["entry"] != found["events"][0]["entry"], "two batches"
    for event in (*plain["events"], *found["events"]):
        leaf = entries[event["entry"]]
        assert (leaf["event"], leaf["time"], leaf["who"]) == (event["event"], event["time"], event["who"])
        assert leaf["data"]["domain"] == name
    assert (found["original_held"], found["registered"], found["study"]) == (True, False, "")
    world["north"]("POST", f"/v1/domains/{name}/anonymise", {"pseudonyms": [first]})
    assert ask(world, name, first).json["original_held"] is False
    told = [leaf["data"] for leaf in leaves(world).values() if leaf["event"] == "site:subject:report"]
    assert [data["count"] for data in told] == [1, 1, 1]
    assert not any(text in json.dumps(told) for text in (first, late))


async def test_an_auditors_archive_holds_the_reasons_and_the_report_shows_them(world, tmp_path: Path) -> None:
    (pseudonym, *_) = make(world, "subject-why", reversible=True)
    path = "/v1/domains/subject-why/reidentifications"
    assert world["north"]("POST", path, {"pseudonyms": [pseudonym], "reason": "finding of case 77"}).status == 201
    shown = {}
    for statements in (False, True):
        archive = tmp_path / f"{statements}.zip"
        async with TrustCenter(connection(world, "clara")) as center:
            await export_log(center, "registrar", archive, form="archive", statements=statements)
        shown[statements] = page(collect([archive]))
    assert "finding of case 77" in shown[True]
    assert "finding of case 77" not in shown[False]
    assert [leaf["who"] for leaf in leaves(world).values() if leaf["data"].get("part") == "statements"] == ["clara"]
    assert world["operator"]("GET", "/v1/statements").status == 403
    async with TrustCenter(connection(world, "clara")) as center:
        with pytest.raises(UsageError) as caught:
            await export_log(center, "registrar", tmp_path / "log.ndjson", statements=True)
    assert caught.value.code == "archive_only"


def test_others_learn_nothing(world) -> None:
    pseudonyms = make(world, "subject-two")
    for who, status in (("south", 404), ("operator", 403), ("clara", 403), ("nobody", 401)):
        assert ask(world, "subject-two", pseudonyms[0], who).status == status
    for text in ("", "x", pseudonyms[0][:-1], "0" * 28):
        answer = ask(world, "subject-two", text)
        assert answer.status in (400, 404), answer.body
        assert not text or text not in answer.body.decode() or len(text) < 3


def test_the_program_tells_it(world, tmp_path: Path) -> None:
    pseudonyms = make(world, "subject-three")
    connect = tmp_path / "north.toml"
    connection(world, "north").save(connect)
    command = [sys.executable, "-m", "trustcenter", "subject", "report", "subject-three", "--connect", str(connect)]
    ended = subprocess.run(command, input=pseudonyms[0] + "\n", capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "site:pseudonym:issue" in ended.stdout
    assert pseudonyms[0] not in ended.stdout
    none = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=60)
    assert none.returncode == 1
    assert "error: there is no pseudonym on standard input [usage]" in none.stderr
