"""kill -9 at the commits of a window: it is taken up, applied once, and comes to what a run over all comes to."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import time
from typing import Any

import pytest
from sources_support import Source, create_study, register, send_map, send_rows
from test_service_crash import children, wait_for, wait_for_end
from test_service_faults import failing
from tests_support import ON_POSTGRES, Live

from keys import hybrid

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(ON_POSTGRES, reason="kills at calls of SQLite's"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]
SHORT = (4, 8)  # which flush to the disk the service does not survive
LONG = tuple(range(1, 15))


def send(world: Any, study: str, site: str, key: int, start: int, count: int) -> None:
    source = Source(study, key, start, count)
    assert register(world, site, study, source).status == 200
    assert send_map(world, site, study, send_rows(world, site, study, source), source.entries()).status == 200


def ended(world: Any, live: Live, study: str, pids: list[int]) -> bool:
    """Whether the service was killed, with all its workers, before its windows were all applied."""
    while live.process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            windows = world["operator"]("GET", f"/v1/studies/{study}/runs").json["runs"]
            if windows and all(window["state"] in ("applied", "failed") for window in windows):
                return False
        time.sleep(0.02)
    wait_for_end(pids)
    return True


def kills(world: Any, live: Live, study: str, flushes: tuple[int, ...]) -> int:
    """A window per flush, killed there if it has so many; returns how many were."""
    assert create_study(world, hybrid.RecipientKey.generate(), study).status == 201
    for number, site in enumerate(("north", "south")):
        send(world, study, site, 40 + number, 60 * number, 120)
    runs, killed = [], 0
    for round_, flush in enumerate(flushes):
        site, key = (("north", 40), ("south", 41))[round_ % 2]
        send(world, study, site, key, 200 + 50 * (round_ // 2), 50)
        with failing("fsync,fdatasync", f"signal=KILL:when={flush}")(live):  # type: ignore[arg-type]
            with contextlib.suppress(OSError, http.client.HTTPException):
                world["operator"]("POST", f"/v1/studies/{study}/runs")
            dead = ended(world, live, study, children(live.process.pid))
        if dead:
            killed += 1
            live.start()
        known = world["operator"]("GET", f"/v1/studies/{study}/runs").json["runs"]
        if not known or known[0]["run"] in runs:  # killed before there was a run
            run = world["operator"]("POST", f"/v1/studies/{study}/runs").json["run"]
        else:
            run = known[0]["run"]
        assert wait_for(world, study, run, ("applied", "failed"))["state"] == "applied"
        runs.append(run)
    windows = world["operator"]("GET", f"/v1/studies/{study}/runs").json["runs"]
    assert [entry["run"] for entry in reversed(windows)] == runs
    run = world["operator"]("POST", f"/v1/studies/{study}/runs?mode=full").json["run"]
    full = wait_for(world, study, run, ("applied", "failed"))
    for name in ("persons", "linked_persons", "largest_cluster"):
        assert full["counts"][name] == windows[0]["counts"][name]
    entries = [
        json.loads(line)["leaf"]
        for line in world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()
        if b'"leaf"' in line
    ]
    mine = [e["data"] for e in entries if e["event"] == "registrar:run:apply" and e["data"]["study"] == study]
    assert [data["run"] for data in mine] == [*runs, run]
    assert mine[-1]["changes"] == {}
    return killed


def test_a_killed_window_is_applied_once(world, live: Live) -> None:
    assert kills(world, live, "windows", SHORT) >= 1


@pytest.mark.soak
def test_a_window_that_is_killed_at_any_flush_is_applied_once(world, live: Live) -> None:
    print(f"{kills(world, live, 'long', LONG)} of {len(LONG)} windows were killed")
