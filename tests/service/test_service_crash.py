"""kill -9 under load: what was acknowledged stays, nothing is half done. `make soak` has the long form."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import ssl
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests_support import Live, launch, make_instance, run_cli

from trustcenter.client.connection import Connection


def hammer(connection: Connection, worker: int, stop: threading.Event, seen: dict[str, str], clash: list[str]) -> None:
    """Ask for pseudonyms until told to stop; note every acknowledged one. Half of the originals are shared."""
    parts = urlsplit(connection.url)
    context = ssl.create_default_context(cadata=connection.ca)
    numbers = random.Random(worker)
    headers = {"Authorization": f"Bearer {connection.token}", "Content-Type": "application/json"}
    while not stop.is_set():
        originals = [f"shared-{numbers.randrange(5000)}" for _ in range(20)] + [
            f"own-{worker}-{numbers.randrange(10**9)}" for _ in range(20)
        ]
        conn = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            conn.request("POST", "/v1/domains/north/pseudonyms", json.dumps({"originals": originals}), headers)
            response = conn.getresponse()
            body = response.read()
            if response.status == 200:
                for original, pseudonym in zip(originals, json.loads(body)["pseudonyms"], strict=True):
                    if seen.setdefault(original, pseudonym) != pseudonym:
                        clash.append(original)
        conn.close()


def crash_rounds(base: Path, rounds: int) -> int:
    """Kill and restart `rounds` times under load; returns how many pseudonyms were acknowledged."""
    directory = base / "center"
    make_instance(directory)
    log = base / "log"
    process, _ = launch(directory, log)
    operator = ("--connect", directory / "operator.toml")
    for command in (
        ("site", "add", "north", *operator),
        ("domain", "create", "north", "--site", "north", *operator),
        ("site", "token", "north", "-o", base / "north.toml", *operator),
    ):
        done = run_cli(*command)
        assert done.returncode == 0, done.stderr
    connection = Connection.load(base / "north.toml")
    seen: dict[str, str] = {}
    clash: list[str] = []
    for _ in range(rounds):
        stop = threading.Event()
        workers = [threading.Thread(target=hammer, args=(connection, n, stop, seen, clash)) for n in range(4)]
        for worker in workers:
            worker.start()
        time.sleep(random.uniform(0.2, 1.2))
        process.kill()
        process.wait(10)
        stop.set()
        for worker in workers:
            worker.join(10)
        process, _ = launch(directory, log)
    assert not clash
    assert len(set(seen.values())) == len(seen), "one pseudonym for two originals"
    source, target = base / "all.csv", base / "again.csv"
    source.write_text("pid\n" + "".join(f"{original}\n" for original in seen))
    done = run_cli(
        "pseudonymize", source, "--column", "pid", "--domain", "north", "-o", target,
        "--connect", base / "north.toml", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert target.read_text().splitlines()[1:] == list(seen.values())
    process.terminate()
    assert process.wait(30) == 0
    checked = run_cli("doctor", directory)
    assert checked.returncode == 0, checked.stdout
    fitting = run_cli("fsck", directory, timeout=600)
    assert fitting.returncode == 0, fitting.stdout + fitting.stderr
    return len(seen)


def test_acknowledged_pseudonyms_survive_random_kills(tmp_path: Path) -> None:
    assert crash_rounds(tmp_path, 4) > 100


@pytest.mark.soak
def test_acknowledged_pseudonyms_survive_many_random_kills(tmp_path: Path) -> None:
    rounds = int(os.environ.get("CRASH_ROUNDS", "200"))
    print(f"{crash_rounds(tmp_path, rounds):,} pseudonyms acknowledged over {rounds} kills")


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
