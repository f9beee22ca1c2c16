"""A linkage run that one process carries out and another one cancels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from access_support import Center, Reply
from postgres_support import PostgresServer
from sources_support import Source, create_study, register, send_map, send_rows
from tests_support import launch

from keys import hybrid

STUDY = "joined"


class Caller:
    """One caller of one process, as the helpers of the study's tests call it."""

    def __init__(self, center: Center, url: str, name: str) -> None:
        self._center = Center.__new__(Center)
        self._center.__dict__ = {**center.__dict__, "url": url}
        self._token = center.tokens[name]

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        conn = self._center.connect()
        sent = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **(headers or {})}
        try:
            conn.request(method, path, raw if body is None else json.dumps(body).encode(), sent)
            response = conn.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            conn.close()


class Processes:
    """Two processes of one instance; `callers[0]` and `callers[1]` are the callers at each."""

    def __init__(self, base: Path, server: PostgresServer) -> None:
        options = ["--postgres-registrar", server.create(), "--postgres-comparator", server.create()]
        self.first = Center(base, "", options=options)
        for site in ("north", "south"):
            self.first.add_site(site)
        self.first.add_staff("clara", "auditor")
        self.second, url = launch(self.first.dir, base / "second.log", "--port", "0")
        self.callers = [
            {name: Caller(self.first, u, name) for name in self.first.tokens} for u in (self.first.url, url)
        ]

    def ready(self) -> None:
        """A study that can be linked."""
        world = self.callers[0]
        assert create_study(world, hybrid.RecipientKey.generate(), STUDY, ("north", "south")).status == 201
        for number, site in enumerate(("north", "south")):
            source = Source(STUDY, 20 + number, 100 + 60 * number, 120)
            assert register(world, site, STUDY, source).status == 200
            receipt = send_rows(world, site, STUDY, source)
            assert send_map(world, site, STUDY, receipt, source.entries()).status == 200

    def start(self, which: int) -> str:
        """Start a run at a process; its id."""
        made = self.callers[which]["operator"]("POST", f"/v1/studies/{STUDY}/runs")
        run: str = made.json["run"]
        return run

    def cancel(self, which: int, run: str, who: str = "operator") -> Reply:
        """Cancel a run at a process."""
        return self.callers[which][who]("DELETE", f"/v1/studies/{STUDY}/runs/{run}")

    def ended(self, which: int, run: str) -> str:
        """The state in which a run has ended, as a process sees it."""
        deadline = time.monotonic() + 120
        found = {"state": ""}
        while time.monotonic() < deadline and found["state"] not in ("applied", "failed", "cancelled"):
            found = self.callers[which]["operator"]("GET", f"/v1/studies/{STUDY}/runs/{run}").json
            time.sleep(0.05)
        assert found["state"] != "failed", found["error"]
        return str(found["state"])

    def events(self, which: int, run: str) -> list[str]:
        """What the log tells of a run."""
        lines = self.callers[which]["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()
        leaves = [json.loads(line)["leaf"] for line in lines if b'"leaf"' in line]
        return [leaf["event"] for leaf in leaves if leaf["data"].get("run") == run]


@pytest.fixture
def processes(tmp_path: Path, server: PostgresServer) -> Iterator[Processes]:
    """Two processes, and a study that is ready for a run."""
    made = Processes(tmp_path, server)
    try:
        made.ready()
        yield made
    finally:
        made.first.kill()
        made.second.kill()
        made.second.wait(60)


def test_a_run_is_cancelled_from_another_process(processes: Processes) -> None:
    run = processes.start(0)
    assert processes.cancel(1, run, "north").status == 403
    cancelled = processes.cancel(1, run)
    assert cancelled.status == 200, cancelled.body
    assert [processes.ended(which, run) for which in (0, 1)] == ["cancelled", "cancelled"]
    assert processes.events(0, run) == ["operator:run:start", "operator:run:cancel"]
    again = processes.cancel(1, run)
    assert (again.status, again.code) == (409, "run_ended")

    # It is in nobody's way: the next run goes on to its end, and is then too late to be cancelled.
    following = processes.start(1)
    assert processes.ended(0, following) == "applied"
    assert processes.cancel(0, following).code == "run_ended"
    assert processes.events(0, following) == ["operator:run:start", "registrar:run:apply"]


def test_a_run_whose_process_died_is_cancelled_at_once(processes: Processes) -> None:
    run = processes.start(0)
    processes.first.kill()
    cancelled = processes.cancel(1, run)
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    processes.first.start()
    assert processes.events(1, run) == ["operator:run:start", "operator:run:cancel"]
