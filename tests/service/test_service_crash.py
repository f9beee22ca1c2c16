"""kill -9 under load: what was acknowledged stays, nothing is half done. `make soak` has the long form."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from crash_support import DOMAINS, Caller, Ledger, Worker, compare, require_distinct
from tests_support import Live, launch, make_instance, run_cli

from trustcenter import config
from trustcenter.client.connection import Connection
from trustcenter.instance import fsck
from trustcenter.instance.parts import database_path, recompute_log, snapshot

WORKERS = 4
WIDE = "\n[limits]\nrequests_per_second = 100000\nrequest_burst = 100000\n"


class Crashing:
    """An instance that is killed under load and compared with what its clients were told."""

    def __init__(self, base: Path) -> None:
        self.dir, self.base, self.log = base / "center", base, base / "log"
        make_instance(self.dir)
        with (self.dir / "config.toml").open("a") as stream:
            stream.write(WIDE)
        self.process, _ = launch(self.dir, self.log)
        operator = ("--connect", self.dir / "operator.toml")
        self.cli("site", "add", "north", *operator)
        self.cli("site", "token", "north", "-o", base / "north.toml", *operator)
        self.connection = Connection.load(base / "north.toml")
        self.operator = Connection.load(self.dir / "operator.toml")
        call = Caller(self.operator)
        for name, options in DOMAINS.items():
            made = call("/v1/domains", {"name": name, "site": "north", **options})
            assert made is not None
            assert made[0] == 201, made
        call.close()
        self.ledger = Ledger()
        self.requests: dict[tuple[str, str], int] = {}  # (request, event) → rows, from the log
        self.logged = 0
        self.rotated = 0
        self.heads: dict[int, str] = {}

    def cli(self, *arguments: str | Path) -> None:
        done = run_cli(*arguments)
        assert done.returncode == 0, done.stderr

    def round(self, number: int) -> None:
        """Load, kill, restart, compare what came new."""
        stop = threading.Event()
        since, effects = len(self.ledger.names), len(self.ledger.effects)
        threads = [
            threading.Thread(target=Worker(self.ledger, self.connection, self.operator, number * WORKERS + n, stop).run)
            for n in range(WORKERS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.05, 1.2))
        self.process.kill()
        self.process.wait(10)
        stop.set()
        for thread in threads:
            thread.join(30)
        self.process, _ = launch(self.dir, self.log)
        assert not self.ledger.wrong, self.ledger.wrong[:3]
        assert not set(self.ledger.statuses) - {200, 409, 503}, self.ledger.statuses
        compare(self.ledger, self.connection, max(since - 500, 0))
        self.read_log()
        for request, event, rows in self.ledger.effects[effects:]:
            assert self.requests.get((request, event)) == rows, f"acknowledged and not in the log: {event}"
        self.check()

    def read_log(self) -> None:
        """The reverse of what the clients know: entries tell of rows, and `fsck` compares those with the store."""
        with snapshot(database_path(config.load(self.dir), "registrar")) as conn:
            query = "SELECT seq, leaf FROM audit_entry WHERE seq >= ? ORDER BY seq"
            for seq, leaf in conn.execute(query, (self.logged,)):
                self.logged = seq + 1
                entry = json.loads(leaf)
                data = entry["data"]
                if entry["event"] in ("site:pseudonym:issue", "site:pseudonym:delete"):
                    place = (data["request"], entry["event"])
                    self.requests[place] = self.requests.get(place, 0) + data["count"]
                elif entry["event"] == "operator:key:rotate":
                    self.requests[data["request"], entry["event"]] = 1
                    self.rotated += 1
            (version,) = conn.execute(
                "SELECT v.version FROM key_version v JOIN domain d ON v.scope = 'domain:' || d.uuid"
                " WHERE d.name = 'turned' AND v.purpose = 'pseudonym' AND v.state = 'active'"
            ).fetchone()
            assert version - 1 == self.rotated, "a rotation without its entry, or the reverse"
            log = recompute_log(conn, "registrar", tuple(self.heads))
            assert log.roots == self.heads, "the log does not extend what it was"
            self.heads[log.size] = log.root

    def check(self) -> None:
        findings = fsck.run(config.load(self.dir), (self.dir / "passphrase").read_bytes().strip())
        assert [f.text for f in findings if f.state == "fail"] == []

    def end(self) -> tuple[int, Counter[int]]:
        """Compare everything, stop in order, check again; how many pseudonyms were acknowledged, and statuses."""
        compare(self.ledger, self.connection)
        acknowledged = require_distinct(self.ledger)
        self.process.terminate()
        assert self.process.wait(40) == 0
        checked = run_cli("doctor", self.dir)
        assert checked.returncode == 0, checked.stdout
        fitting = run_cli("fsck", self.dir, timeout=600)
        assert fitting.returncode == 0, fitting.stdout + fitting.stderr
        assert "Traceback" not in self.log.read_text()
        return acknowledged, self.ledger.statuses


def crash_rounds(base: Path, rounds: int) -> str:
    """Kill and restart `rounds` times under load; the figures, in words."""
    center = Crashing(base)
    try:
        for number in range(rounds):
            center.round(number)
        acknowledged, statuses = center.end()
    finally:
        if center.process.poll() is None:
            center.process.kill()
    ledger = center.ledger
    assert acknowledged > 20 * rounds
    return (
        f"{rounds} kills: {acknowledged:,} pseudonyms acknowledged, {len(ledger.deleted):,} of them deleted,"
        f" {len(ledger.keyed):,} keyed requests, {center.rotated} rotations,"
        f" {len(ledger.effects):,} effects found in {center.logged:,} log entries, lost: 0; statuses {dict(statuses)}"
    )


def test_what_was_acknowledged_survives_random_kills(tmp_path: Path) -> None:
    crash_rounds(tmp_path, 2)


@pytest.mark.soak
def test_what_was_acknowledged_survives_many_random_kills(tmp_path: Path) -> None:
    print(crash_rounds(tmp_path, int(os.environ.get("CRASH_ROUNDS", "200"))))


def wait_for(world: Any, study: str, run: str, states: tuple[str, ...], seconds: float = 120) -> dict:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = world["operator"]("GET", f"/v1/studies/{study}/runs/{run}").json
        if found["state"] in states:
            return found
        time.sleep(0.02)
    raise AssertionError(f"the run stayed {found['state']}")


def test_a_run_that_was_killed_is_taken_up_and_applied_once(world, live: Live) -> None:
    from test_service_study import Source, create_study, register, send_map, send_rows

    from keys import hybrid

    study = "killed"
    assert create_study(world, hybrid.RecipientKey.generate(), study).status == 201
    for number, site in enumerate(("north", "south")):
        source = Source(study, 20 + number, 100 + 60 * number, 120)
        assert register(world, site, study, source).status == 200
        assert send_map(world, site, study, send_rows(world, site, study, source), source.entries()).status == 200
    run = world["operator"]("POST", f"/v1/studies/{study}/runs").json["run"]
    wait_for(world, study, run, ("comparing", "deciding", "applied"))
    live.kill()
    live.start()
    done = wait_for(world, study, run, ("applied", "failed"))
    assert done["state"] == "applied"
    assert [pair["matches"] for pair in done["counts"]["pairs"] if set(pair["sites"]) == {"north", "south"}] == [60]
    runs = world["operator"]("GET", f"/v1/studies/{study}/runs").json["runs"]
    assert [entry["run"] for entry in runs] == [run]
    entries = [
        json.loads(line)["leaf"]
        for line in world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()
        if b'"leaf"' in line
    ]
    assert sum(e["event"] == "registrar:run:apply" and e["data"]["run"] == run for e in entries) == 1
