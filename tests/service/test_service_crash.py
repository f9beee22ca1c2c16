"""kill -9 under load: what was acknowledged stays, nothing is half done. `make soak` has the long form."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from crash_center import Crashing, wait_until
from tests_support import Live

pytestmark = pytest.mark.faults


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


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((entry / "stat").read_text().rpartition(") ")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def wait_for_end(pids: list[int]) -> None:
    """A service that was killed leaves no worker behind."""
    wait_until(lambda: not any(map(lives, pids)), "a worker outlived its service")


def lives(pid: int) -> bool:
    """Whether a process still runs: one that has ended stays in /proc where nobody asks for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_run_that_was_killed_is_taken_up_and_applied_once(world, live: Live) -> None:
    from sources_support import Source, create_study, register, send_map, send_rows

    from keys import hybrid

    study = "killed"
    assert create_study(world, hybrid.RecipientKey.generate(), study).status == 201
    for number, site in enumerate(("north", "south")):
        source = Source(study, 20 + number, 100 + 60 * number, 120)
        assert register(world, site, study, source).status == 200
        assert send_map(world, site, study, send_rows(world, site, study, source), source.entries()).status == 200
    run = world["operator"]("POST", f"/v1/studies/{study}/runs").json["run"]
    wait_for(world, study, run, ("comparing", "deciding", "applied"))
    workers = children(live.process.pid)
    live.kill()
    wait_for_end(workers)
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
