"""kill -9 while a release completes, its purge is on the way and stewards decide: nothing half done, nothing lost."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import random
import threading
import time
from typing import Any

import pytest
from sources_support import Source
from studies_support import bring, link, make_study, move
from test_service_study_states import held
from tests_support import Live

from keys import hybrid
from keys.personal import PersonalKey
from trustcenter.registrar.release.releases import CONTEXT, seal_info

pytestmark = pytest.mark.faults

ANSWER = {"answer": "same", "reason": "evidence-strong"}


@pytest.fixture(scope="module")
def recipient_key() -> hybrid.RecipientKey:
    return hybrid.RecipientKey.generate()


def attempt(caller: Any, path: str, body: Any) -> Any:
    """An answer, or None where the service was gone."""
    try:
        return caller("POST", path, body)
    except (OSError, http.client.HTTPException, ValueError):
        return None


def prepare(world: Any, key: Any, study: str) -> tuple[str, dict[str, Any], list[str]]:
    """A frozen study with doubtful pairs and a release that one of two has signed: path, release and tasks."""
    settings = {"lower": 1e-9, "upper": 1 - 1e-12, "purge": "released"}  # so that true pairs are doubtful
    assert make_study(world, key, study, settings=settings).status == 201
    for site, number, start in (("north", 1, 0), ("south", 2, 30)):
        bring(world, study, site, Source(study, number, start, 60))
    link(world, study)
    tasks = [t["task"] for t in world["dora"]("GET", f"/v1/studies/{study}/clearing").json["tasks"]]
    assert len(tasks) > 10
    assert move(world, study, "frozen").status == 200
    base = f"/v1/studies/{study}/releases"
    made = world["operator"]("POST", base, {"recipient": "dms"}).json
    path = f"{base}/{made['release']}"
    assert approve(world, path, made, "anna").status == 200
    return path, made, tasks


def approve(world: Any, path: str, made: dict[str, Any], who: str) -> Any:
    signature = PersonalKey.load(world.keys[who]).sign(CONTEXT, made["statement"].encode())
    return attempt(world[who], f"{path}/approvals", {"signature": signature})


def crash(world: Any, live: Live, key: Any, study: str, chance: random.Random) -> None:
    path, made, tasks = prepare(world, key, study)
    acknowledged: list[str] = []

    def steward() -> None:
        for task in tasks:
            answer = attempt(world["dora"], f"/v1/studies/{study}/clearing/{task}/answers", ANSWER)
            if answer is None or answer.status != 200:  # killed, or the study is released
                return
            acknowledged.append(task)

    def second() -> None:
        time.sleep(chance.uniform(0, 0.05))
        approve(world, path, made, "bernd")

    threads = [threading.Thread(target=work) for work in (steward, second)]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(0.01, 0.2))
    live.kill()
    for thread in threads:
        thread.join()
    live.start()

    found = world["operator"]("GET", path).json
    if found["state"] != "released":  # all of it, or nothing: then it is signed once more
        assert found["approvals"] == ["anna"]
        assert min(held(world, study)) > 0
        assert approve(world, path, made, "bernd").status == 200
    shown = world["operator"]("GET", f"/v1/studies/{study}").json
    assert shown["state"] == "released"
    assert shown["purged"] is not None
    assert held(world, study) == (0, 0, 0)
    sealed = world["operator"]("GET", f"{path}/join-map").body.partition(b"\n")[2]
    rows = list(csv.DictReader(io.StringIO(key.open(sealed, seal_info(study, made["release"])).decode())))
    assert len(rows) == 120

    log = world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()
    entries = [json.loads(line)["leaf"] for line in log if b'"leaf"' in line]
    mine = [e for e in entries if e["data"].get("study") == study]
    decided = [e["data"]["task"] for e in mine if e["event"] == "steward:clearing:answer"]
    assert set(acknowledged) <= set(decided)
    assert len(decided) == len(set(decided)) <= len(acknowledged) + 1  # one may have been done and not acknowledged
    for event in ("registrar:release:complete", "registrar:study:purge"):
        assert sum(e["event"] == event for e in mine) == 1


def test_a_release_that_was_killed_is_whole_or_was_not(world: Any, live: Live, recipient_key: Any) -> None:
    crash(world, live, recipient_key, "shot-0", random.Random(3))


@pytest.mark.soak
def test_many_releases_that_were_killed(world: Any, live: Live, recipient_key: Any) -> None:
    first, rounds = (int(os.environ.get(f"RELEASE_{name}", text)) for name, text in (("FIRST", "1"), ("ROUNDS", "40")))
    for number in range(first, first + rounds):
        crash(world, live, recipient_key, f"shot-{number}", random.Random(99 + number))
        print(f"round {number} of a release that was killed", flush=True)
