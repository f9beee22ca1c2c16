"""Exports, extracts and proofs of the logs of a living service."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests_support import run_cli

from trustcenter.audit import fingerprint, merkle_root, verify_bundle, verify_inclusion, verify_log
from trustcenter.audit.note import parse_checkpoint, parse_note
from trustcenter.client import Connection, TrustCenter
from trustcenter.client.logs.audit_proofs import extends, prove
from trustcenter.errors import BundleError, LogForkedError


@pytest.fixture(scope="module")
def used(world):
    """A world in which something has happened."""
    for site in ("north", "south"):
        domain = f"audit-{site}"
        assert world["operator"]("POST", "/v1/domains", {"name": domain, "site": site}).status == 201
        for part in range(3):
            body = {"originals": [f"{site}-{part}-{n}" for n in range(5)]}
            assert world[site]("POST", f"/v1/domains/{domain}/pseudonyms", body).status == 200
    assert world["north"]("POST", "/v1/domains/audit-south/pseudonyms", {"originals": ["x"]}).status == 404
    return world


def connection(world, name: str) -> Connection:
    """The connection of a caller of the world."""
    operator = Connection.load(world.live.operator)
    role = {"site": name} if name in ("north", "south") else {"staff": name}
    return Connection(url=operator.url, ca=operator.ca, token=world[name]._token, **role)


def cli(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the program and hold its exit code against the expected one."""
    ended = run_cli(*map(str, arguments))
    assert ended.returncode == code, ended.stderr
    return ended


def leaves(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line)["leaf"] for line in raw.splitlines() if line.startswith(b'{"hash"')]


def whole(world, room: str = "registrar") -> bytes:
    answer = world["clara"]("GET", f"/v1/audit/{room}/export")
    assert answer.status == 200
    return answer.body


def test_extracts_hold_what_was_asked_for_and_nothing_else(used) -> None:
    everything = leaves(whole(used))
    issued = [e for e in everything if e["event"] == "site:pseudonym:issue"]
    times = [e["time"] for e in everything]
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"events": ["site:pseudonym:issue"]}, lambda e: e["event"] == "site:pseudonym:issue"),
        (
            {"site": "south"},
            lambda e: "south" in (e["who"], e["data"].get("site")) or e["data"].get("domain") == "audit-south",
        ),
        ({"since": times[4], "until": times[-2]}, lambda e: times[4] <= e["time"] < times[-2]),
        (
            {"site": "north", "events": ["site:pseudonym:issue"], "since": issued[1]["time"]},
            lambda e: e["who"] == "north" and e["event"] == "site:pseudonym:issue" and e["time"] >= issued[1]["time"],
        ),
        ({"study": "no-such-study"}, lambda e: False),
    ]
    for wanted, holds in cases:
        answer = used["clara"]("POST", "/v1/audit/registrar/extracts", wanted)
        assert answer.status == 200, answer.body
        report = verify_bundle(io.BytesIO(answer.body))
        verify_log.verify(io.BytesIO(answer.body))
        assert report.selection == wanted
        found = leaves(answer.body)
        assert [e for e in found if e["seq"] < len(everything)] == [e for e in everything if holds(e)], wanted
    last = leaves(whole(used))
    told = [e["data"] for e in last if e["event"] == "auditor:log:export" and "events" in e["data"]]
    assert told[0]["events"] == ["site:pseudonym:issue"]


def test_extracts_that_are_refused(used) -> None:
    def code(room: str, body: Any, who: str = "clara") -> tuple[int, str]:
        answer = used[who]("POST", f"/v1/audit/{room}/extracts", body)
        return answer.status, answer.json["code"]

    assert code("registrar", {"events": ["site:pseudonym:forget"]}) == (400, "unknown_event")
    assert code("comparator", {"since": "2026-01-01T00:00:00.000000Z"}) == (400, "no_time_in_this_room")
    assert code("registrar", {"since": "yesterday"}) == (400, "invalid_body")
    assert code("attic", {}) == (404, "unknown_room")
    for who in ("north", "operator"):
        assert code("registrar", {}, who) == (403, "forbidden")


async def test_proofs_are_given_and_hold(used) -> None:
    async with TrustCenter(connection(used, "north")) as center:
        old = await center.audit_checkpoint("registrar")
        await center.pseudonymize("audit-north", ["another"])
        new = await center.audit_checkpoint("registrar")
        size = parse_checkpoint(parse_note(new).text).size
        for index in (0, 1, size // 2, size - 1):
            proof = await prove(center, "registrar", index)
            raw = whole(used)
            line = raw.splitlines()[index + 1]
            assert proof.leaf_hash.encode() == line[9:73]
            assert merkle_root([line[82:-1] for line in raw.splitlines()[1 : size + 1]])
        assert (await extends(center, "registrar", old, new)).size == size
        assert (await extends(center, "registrar", new, old)).size == size
        assert (await extends(center, "registrar", new, new)).size == size
        other = await center.audit_checkpoint("comparator")
        assert parse_checkpoint(parse_note(other).text).size >= 1
        assert {parse_checkpoint(parse_note(note).text).separation for note in (new, other)} == {"none"}
        await prove(center, "comparator", 0)


async def test_a_log_that_was_rewritten_is_noticed(used) -> None:
    async with TrustCenter(connection(used, "north")) as center:
        old = await center.audit_checkpoint("registrar")
        await center.pseudonymize("audit-north", ["yet another"])
        new = await center.audit_checkpoint("registrar")
        proof = await center.consistency("registrar", *(parse_checkpoint(parse_note(n).text).size for n in (old, new)))
        broken = [proof.hashes[-1], *proof.hashes[:-1]] if len(proof.hashes) > 1 else ["00" * 32]

        class Lying(TrustCenter):
            async def consistency(self, room: str, old: int, new: int) -> Any:
                return msgspec.structs.replace(await super().consistency(room, old, new), hashes=broken)

    async with Lying(connection(used, "north")) as center:
        with pytest.raises(LogForkedError):
            await extends(center, "registrar", old, new)


def test_places_that_a_log_does_not_have(used) -> None:
    for path in (
        "inclusion/999999/5",
        "inclusion/5/5",
        "inclusion/0/999999",
        "consistency/5/4",
        "consistency/1/999999",
    ):
        answer = used["north"]("GET", f"/v1/audit/registrar/{path}")
        assert (answer.status, answer.json["code"]) == (404, "unknown_place"), path
    for path in ("inclusion/x/5", "inclusion/0/0", "consistency/0/4", "consistency/1/9999999999"):
        answer = used["north"]("GET", f"/v1/audit/registrar/{path}")
        assert (answer.status, answer.json["code"]) == (400, "invalid_parameter"), path
    assert used["north"]("GET", "/v1/audit/attic/inclusion/0/1").status == 404


def test_the_program_exports_in_every_format(used, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    connect = tmp_path / "clara.toml"
    connection(used, "clara").save(connect)

    def export(*arguments: object) -> Any:
        return cli("audit", "export", "registrar", *arguments, "--connect", connect)

    mark = fingerprint(json.loads(whole(used).splitlines()[0])["vkey"])
    bundle, archive = tmp_path / "all.bundle", tmp_path / "all.zip"
    for target in (bundle, archive):
        export("-o", target)
        cli("audit", "verify", target, "--key", mark)
    count = verify_bundle(io.BytesIO(bundle.read_bytes())).size

    for name, form in (("t.csv", None), ("t.parquet", None), ("t.ndjson", "ndjson"), ("t.fhir", "fhir")):
        target = tmp_path / name
        export("-o", target, "--event", "site:pseudonym:issue", *(("--format", form) if form else ()))
    table = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_bytes().decode())))
    columns = pq.read_table(tmp_path / "t.parquet").to_pydict()
    lines = [json.loads(line) for line in (tmp_path / "t.ndjson").read_bytes().splitlines()]
    events = [json.loads(line) for line in (tmp_path / "t.fhir").read_bytes().splitlines()]
    assert len(table) == len(columns["seq"]) == len(lines) == len(events) >= 6
    for cells, seq, entry, event in zip(table, columns["seq"], lines, events, strict=True):
        assert int(cells["seq"]) == seq == entry["seq"]
        assert cells["event"] == entry["event"] == "site:pseudonym:issue"
        assert json.loads(cells["data"]) == entry["data"]
        assert event["resourceType"] == "AuditEvent"
        assert event["subtype"][0]["code"] == "pseudonymize"
        assert event["recorded"] == entry["time"] == cells["time"]
        assert event["entity"][0]["what"]["identifier"]["value"] == cells["hash"]
    cli("audit", "convert", str(archive), "-o", str(tmp_path / "c.parquet"), "--key", mark)
    assert pq.read_table(tmp_path / "c.parquet").num_rows >= count

    with zipfile.ZipFile(archive) as packed:
        assert set(packed.namelist()) == {"log.ndjson", "verify_log.py", "checkpoint.txt", "README.txt"}
        packed.extractall(tmp_path / "apart")
    apart = tmp_path / "apart"

    def single(*arguments: object) -> subprocess.CompletedProcess[str]:
        # Isolated, in another directory: nothing of ours can be imported.
        command = [sys.executable, "-I", str(apart / "verify_log.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=apart, capture_output=True, text=True, check=False, timeout=60)

    good = single(archive, "--key", mark)
    assert good.returncode == 0, good.stderr
    assert "intact" in good.stdout
    raw = bytearray((apart / "log.ndjson").read_bytes())
    raw[len(raw) // 2] ^= 1
    (apart / "broken.ndjson").write_bytes(raw)
    bad = single("broken.ndjson", "--key", mark)
    assert bad.returncode == 3
    assert "BROKEN at entry " in bad.stderr
    assert single(archive, "--key", "0" * 32).returncode == 3
    broken = cli("audit", "verify", str(apart / "broken.ndjson"), "--key", mark, code=3)
    assert "entry " in broken.stderr
    left = tmp_path / "none.csv"
    cli("audit", "convert", str(apart / "broken.ndjson"), "-o", str(left), code=3)
    assert not left.exists(), "a table of a broken log"


def test_an_archive_with_a_flipped_byte_is_refused(used, tmp_path: Path) -> None:
    connect, archive = tmp_path / "clara.toml", tmp_path / "all.zip"
    connection(used, "clara").save(connect)
    cli("audit", "export", "comparator", "-o", str(archive), "--connect", str(connect))
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b'"leaf"') + 20] ^= 1
    archive.write_bytes(raw)
    cli("audit", "verify", str(archive), code=3)


def test_inclusion_vectors_agree_with_the_service(used) -> None:
    answer = used["north"]("GET", "/v1/audit/registrar/inclusion/0/3").json
    raw = whole(used).splitlines()[1:4]
    root = merkle_root([line[82:-1] for line in raw])
    verify_inclusion(0, 3, bytes.fromhex(answer["leaf_hash"]), [bytes.fromhex(h) for h in answer["hashes"]], root)
    with pytest.raises(BundleError):
        verify_bundle(io.BytesIO(b"\n".join(raw)))


def test_a_rule_of_retention_takes_two_people_on_the_command_line(world, tmp_path: Path) -> None:
    event, operator = "site:pseudonym:reidentify", ("--connect", world.live.operator)
    people = {}
    for name in ("anna", "clara"):
        own = Connection.load(world.live.operator)
        people[name] = tmp_path / f"{name}.toml"
        Connection(url=own.url, ca=own.ca, token=world[name]._token, staff=name).save(people[name])

    def rule(*options: Any, code: int = 0) -> dict[str, Any]:
        done = run_cli("audit", *options, "--json")
        assert done.returncode == code, done.stderr
        if code:
            return {"told": done.stderr}
        return next(one for one in json.loads(done.stdout)["rules"] if one["event"] == event) | {"told": done.stderr}

    sign = ("approve-retention", event, "--key", world.keys["anna"], "--connect", people["anna"])
    assert "no_proposal" in rule(*sign, "--yes", code=1)["told"]
    proposed = rule("retention", event, "--years", "10", *operator)
    assert (proposed["years"], proposed["proposed"]) == (0, 10)
    assert "approve-retention" in proposed["told"]
    assert rule("retention", "--connect", people["clara"])["proposed"] == 10
    assert "not_confirmed" in rule(*sign, code=1)["told"]  # nobody to ask
    done = rule(*sign, "--yes")
    assert (done["years"], done["proposed"], done["in_force"] > "2026") == (10, 0, True)
    assert "until now: for ever" in done["told"]
    assert rule("retention", event, "--years", "11", *operator)["years"] == 11
    for name in ("clara", "operator", "north"):
        path = f"/v1/retention/proposals/{'0' * 32}/approvals"
        assert world[name]("POST", path, {"signature": "x"}).status == 403, name


def test_asking_for_what_is_another_sites_is_a_refusal_in_the_log(world) -> None:
    refused = world["south"]("GET", "/v1/domains/north")
    assert (refused.status, refused.json["code"]) == (404, "unknown_domain")
    deadline = time.monotonic() + 30
    while True:  # written beside the answer, not before it
        told = [json.loads(line).get("leaf", {}) for line in whole(world).splitlines() if b":request:refused" in line]
        if any(entry["who"] == "south" and entry["data"]["reason"] == "unknown_domain" for entry in told):
            break
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    assert all("north" not in json.dumps(entry["data"]) for entry in told), "what was asked for is not told"
