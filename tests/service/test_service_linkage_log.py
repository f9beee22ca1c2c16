"""Decisions of a run: committed to in the log, handed over under dual control, erased without a change to the log."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from sources_support import Source, create_study, register, send_map, send_rows
from tests_support import ON_POSTGRES, run_cli, stored

from keys import hybrid
from keys.personal import PersonalKey
from trustcenter.audit import fingerprint
from trustcenter.client import Connection
from trustcenter.registrar.release.releases import CONTEXT as _RELEASE

CONTEXT = "trustcenter/linkage-disclosure/1"
STUDY = "audited"


@pytest.fixture(scope="module")
def linked(world) -> dict[str, Any]:
    """A study of three sites with 60, 80 and 20 people in common, linked once."""
    create_study(world, hybrid.RecipientKey.generate(), STUDY)
    for site, (start, seed) in {"north": (0, 1), "south": (60, 2), "east": (100, 3)}.items():
        source = Source(STUDY, seed, start, 120)
        assert register(world, site, STUDY, source).status == 200
        receipt = send_rows(world, site, STUDY, source)
        assert send_map(world, site, STUDY, receipt, source.entries()).status == 200
    run = world["operator"]("POST", f"/v1/studies/{STUDY}/runs").json
    deadline = time.monotonic() + 120
    while run["state"] not in ("applied", "failed", "cancelled") and time.monotonic() < deadline:
        time.sleep(0.3)
        run = world["operator"]("GET", f"/v1/studies/{STUDY}/runs/{run['run']}").json
    assert run["state"] == "applied", run
    return run


def connection(world, name: str, folder: Path) -> Path:
    """A connection file of a person."""
    operator = Connection.load(world.live.operator)
    path = folder / f"{name}.toml"
    if not path.exists():
        Connection(url=operator.url, ca=operator.ca, token=world[name]._token, staff=name).save(path)
    return path


def cli(*arguments: object, code: int = 0) -> Any:
    ended = run_cli(*map(str, arguments))
    assert ended.returncode == code, ended.stderr
    return ended


def entry_of(world, run: str) -> dict[str, Any]:
    lines = world["clara"]("GET", "/v1/audit/registrar/export").lines
    leaves = [line["leaf"] for line in lines if "leaf" in line]
    (found,) = [
        leaf["data"] for leaf in leaves if leaf["event"] == "registrar:run:apply" and leaf["data"]["run"] == run
    ]
    return dict(found)


def test_decisions_leave_under_dual_control_only(world, linked: dict[str, Any]) -> None:
    base = f"/v1/studies/{STUDY}/runs/{linked['run']}/disclosures"
    for who in ("operator", "north", "anna"):
        assert world[who]("POST", base, {"reason": "x"}).status == 403
    made = world["clara"]("POST", base, {"reason": "complaint 12"})
    assert made.status == 200, made.body
    path = f"/v1/disclosures/{made.json['disclosure']}"
    early = world["clara"]("GET", f"{path}/decisions")
    assert (early.status, early.json["code"]) == (403, "not_approved")
    statement = made.json["statement"].encode()
    anna, bernd = (PersonalKey.load(world.keys[name]) for name in ("anna", "bernd"))
    for signature in (
        bernd.sign(CONTEXT, statement),
        anna.sign(CONTEXT, statement + b"x"),
        anna.sign(_RELEASE, statement),
    ):
        refused = world["anna"]("POST", f"{path}/approvals", {"signature": signature})
        assert refused.json["code"] == "bad_signature", refused.body
    assert world["clara"]("POST", f"{path}/approvals", {"signature": anna.sign(CONTEXT, statement)}).status == 403
    signed = world["anna"]("POST", f"{path}/approvals", {"signature": anna.sign(CONTEXT, statement)})
    assert signed.json["approved_by"] == "anna"
    lines = world["clara"]("GET", f"{path}/decisions").lines
    assert lines[-1] == {"done": True, "count": len(lines) - 1}
    for who in ("operator", "north", "anna"):
        assert world[who]("GET", f"{path}/decisions").status == 403
    unknown = world["clara"]("GET", f"/v1/disclosures/{'0' * 32}/decisions")
    assert (unknown.status, unknown.json["code"]) == (404, "unknown_disclosure")
    told = [
        (line["leaf"]["event"], line["leaf"]["who"])
        for line in world["clara"]("GET", "/v1/audit/registrar/export").lines
        if "leaf" in line and line["leaf"]["data"].get("disclosure") == made.json["disclosure"]
    ]
    assert told == [
        ("auditor:linkage:propose", "clara"),
        ("approver:linkage:approve", "anna"),
        ("auditor:linkage:export", "clara"),
    ]


def test_the_program_fetches_checks_and_notices(world, linked: dict[str, Any], tmp_path: Path) -> None:
    clara, anna = connection(world, "clara", tmp_path), connection(world, "anna", tmp_path)
    entry = entry_of(world, linked["run"])
    matches = sum(pair["matches"] + pair["possible"] for pair in linked["counts"]["pairs"])
    assert entry["decisions"] == matches >= 100

    def fetch(target: Path) -> None:
        made = json.loads(
            cli(
                "audit", "propose-decisions", STUDY, linked["run"], "--reason", "r", "--json", "--connect", clara
            ).stdout
        )
        cli("audit", "approve-decisions", made["disclosure"], "--key", world.keys["anna"], "--yes", "--connect", anna)
        cli("audit", "decisions", made["disclosure"], "-o", target, "--connect", clara)

    first, bundle = tmp_path / "decisions.ndjson", tmp_path / "registrar.ndjson"
    fetch(first)
    cli("audit", "export", "registrar", "-o", bundle, "--connect", clara)
    mark = fingerprint(json.loads(bundle.read_bytes().splitlines()[0])["vkey"])

    def check(path: Path, code: int = 0) -> Any:
        return cli("audit", "check-decisions", path, bundle, "--key", mark, "--json", code=code)

    assert json.loads(check(first).stdout) == {
        "study": STUDY, "run": linked["run"], "decisions": entry["decisions"], "erased": 0,
    }  # fmt: skip
    details = [json.loads(json.loads(line)["detail"]) for line in first.read_bytes().splitlines()]
    pairs = {(detail["a"][0], detail["b"][0]) for detail in details}
    assert pairs <= {(f"{STUDY}.{a}", f"{STUDY}.{b}") for a in world.callers for b in world.callers}

    lines = first.read_bytes().splitlines(keepends=True)
    one = json.loads(lines[0])

    def with_first(**changes: Any) -> list[bytes]:
        return [json.dumps({**one, **changes}).encode() + b"\n", *lines[1:]]

    for changed in (
        lines[1:],
        lines[:-1],
        [lines[1], lines[0], *lines[2:]],
        with_first(detail=one["detail"].replace('"edges":', '"edges":1')),
        with_first(salt="00" * 16),
        with_first(leaf="00" * 32),
        with_first(leaf="00" * 32, salt="", detail=""),
        [],
    ):
        (tmp_path / "changed").write_bytes(b"".join(changed))
        check(tmp_path / "changed", 3)
    assert json.loads(check(first).stdout)["erased"] == 0


@pytest.mark.skipif(ON_POSTGRES, reason="erases in the file itself")
def test_an_erased_decision_leaves_the_log_valid(world, linked: dict[str, Any], tmp_path: Path) -> None:
    clara = connection(world, "clara", tmp_path)
    with contextlib.closing(sqlite3.connect(world.live.dir / "registrar" / "registrar.db", timeout=30)) as conn:
        first = conn.execute("SELECT domain_a, serial_a FROM link WHERE run = ? LIMIT 1", (linked["run"],)).fetchone()
        conn.execute("DELETE FROM link WHERE run = ? AND domain_a = ? AND serial_a = ?", (linked["run"], *first))
        conn.commit()
    with stored(world.live.dir, "registrar") as conn:
        (salts,) = conn.execute("SELECT count(*) FROM linkage_decision WHERE salt IS NULL").fetchone()
        (pairs,) = conn.execute("SELECT count(*) FROM linkage_decision WHERE serial_a IS NULL").fetchone()
    assert salts == pairs >= 1
    made = world["clara"]("POST", f"/v1/studies/{STUDY}/runs/{linked['run']}/disclosures", {"reason": "x"}).json
    key = PersonalKey.load(world.keys["anna"])
    signature = key.sign(CONTEXT, made["statement"].encode())
    world["anna"]("POST", f"/v1/disclosures/{made['disclosure']}/approvals", {"signature": signature})
    target, bundle = tmp_path / "decisions.ndjson", tmp_path / "registrar.ndjson"
    cli("audit", "decisions", made["disclosure"], "-o", target, "--connect", clara)
    cli("audit", "export", "registrar", "-o", bundle, "--connect", clara)
    found = json.loads(cli("audit", "check-decisions", target, bundle, "--json").stdout)
    assert found["erased"] == salts
    assert found["decisions"] == entry_of(world, linked["run"])["decisions"]


def _words(value: Any) -> set[Any]:
    """Every string, and every number that is too large to be a count, in some JSON."""
    if isinstance(value, dict):
        return set().union(*map(_words, value.values()), set())
    if isinstance(value, list):
        return set().union(*map(_words, value), set())
    return {value} if isinstance(value, str) or value > 1_000_000 else set()


def test_nothing_but_what_is_meant_to_stands_in_both_logs(world, linked: dict[str, Any]) -> None:
    registrar, comparator = (
        [line["leaf"] for line in world["clara"]("GET", f"/v1/audit/{room}/export").lines if "leaf" in line]
        for room in ("registrar", "comparator")
    )
    kinds = {leaf["event"] for leaf in comparator}
    assert {"site:upload:complete", "comparator:rows:accept", "comparator:window:deliver"} <= kinds
    assert {"site:map:accept", "registrar:run:apply"} <= {leaf["event"] for leaf in registrar}
    # By design (docs/spec/audit-log.md, section 3): by these an auditor compares the rooms.
    uploads = [leaf["data"] for leaf in registrar if leaf["event"] == "site:map:accept"]
    run = entry_of(world, linked["run"])
    meant = {"north", "south", "east", STUDY, run["fingerprint"], run["parameters"], run["edges_sha256"]}
    meant |= {data[word] for data in uploads for word in ("upload", "root")}
    meant |= {registrar[0]["data"]["instance"], "service", "registrar", "done", "instance:service:initialise"}
    both = set.union(*map(_words, registrar)) & set.union(*map(_words, comparator))
    assert both - meant == set()
    assert {"north", STUDY, uploads[0]["upload"], run["edges_sha256"]} <= both
    # The other way round: no identifier of a client, request, record or pseudonym that the registrar knows.
    text = json.dumps(comparator)
    requests = {leaf["data"]["request"] for leaf in registrar if leaf["data"].get("request")}
    names = {leaf["who"] for leaf in registrar} - {"service", "north", "south", "east"}
    assert requests
    assert {"clara"} <= names
    with stored(world.live.dir, "registrar") as conn:
        tokens = {row[0] for row in conn.execute("SELECT id FROM token").fetchall()}
        domains = {row[0] for row in conn.execute("SELECT name FROM domain WHERE study IS NOT NULL").fetchall()}
        persons = {bytes(row[0]).hex() for row in conn.execute("SELECT person FROM record WHERE person IS NOT NULL")}
    results = [
        line
        for site in ("north", "south", "east")
        for line in world[site]("GET", f"/v1/studies/{STUDY}/results").lines
        if "pseudonym" in line
    ]
    records, pseudonyms = ({line[word] for line in results} for word in ("record_number", "pseudonym"))
    for known in (requests, names, tokens, domains, persons, records, pseudonyms, {linked["run"]}):
        assert known
        assert not [value for value in known if value in text]
    # The window stands instead of the clock, in whatever form a clock could be told.
    for leaf in comparator:
        assert "time" not in leaf
        assert isinstance(leaf["window"], int)
        assert leaf["window"] < 1_000
    assert not re.search(r"20[0-9]{2}-[0-9]{2}", text)
    numbers = {value for leaf in comparator for value in _words(leaf) if isinstance(value, int)}
    assert numbers == set()
