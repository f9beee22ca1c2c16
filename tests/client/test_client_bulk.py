"""Jobs with effects: killed at any moment they go on, none of their effects comes twice, and all are told."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from client_support import DOMAIN, problem

from trustcenter.client import RemoteError, TrustCenter
from trustcenter.client.jobs.bulk import additional_file, remove_file
from trustcenter.client.jobs.rowjob import Files
from trustcenter.client.settings import Settings

# What a child process runs: the same job as in this process.
CHILD = """
import asyncio, sys
from pathlib import Path
from trustcenter.client import Connection, TrustCenter
from trustcenter.client.jobs.bulk import additional_file, remove_file
from trustcenter.client.jobs.rowjob import Files
from trustcenter.client.settings import Settings

async def main(connection, verb, source, target):
    files = Files(Path(source), Path(target), resume=True)
    async with TrustCenter(Connection.load(Path(connection)), Settings(batch=20, concurrency=2)) as center:
        if verb == "additional":
            await additional_file(center, "north", files, "pid", "psn")
        else:
            await remove_file(center, "north", files, "delete", "pid", "originals")

asyncio.run(main(*sys.argv[1:]))
"""


class Memory:
    """Remembers what it made and erased, as the service does: requests by key, erased originals for ever."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.made: list[str] = []
        self.answers: dict[str, Any] = {}
        self.erased: set[str] = set()
        self.refuse_after: int | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({**DOMAIN, "multi": True, "deletable": True})
        if self.refuse_after is not None and len(self.erased) >= self.refuse_after:
            return problem(403, "forbidden")
        body = await request.json()
        verb = request.path.rsplit("/", 1)[1]
        answer = self.additional(request, body) if verb == "additional" else self.delete(body)
        await asyncio.sleep(self.delay)  # the effect is there, the answer is not yet
        return web.json_response(answer)

    def additional(self, request: web.Request, body: Any) -> Any:
        key = request.headers["Idempotency-Key"]
        if key not in self.answers:
            pseudonyms = []
            for original in body["originals"]:
                self.made.append(original)
                pseudonyms.append([f"{original}-{len(self.made)}"])
            self.answers[key] = (body, {"pseudonyms": pseudonyms, "errors": [], "key_version": 1, "repeated": False})
        assert self.answers[key][0] == body, "one key for two requests"
        return self.answers[key][1]

    def delete(self, body: Any) -> Any:
        results, errors = [], []
        for index, original in enumerate(body["originals"]):
            if original in self.erased:
                errors.append({"index": index, "code": "unknown_original"})
            results.append(None if original in self.erased else "deleted")
            self.erased.add(original)
        return {"results": results, "errors": errors, "rows": len(results)}


@pytest.fixture
def connection_file(rogue: Any, tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    lines = [f"{name} = {json.dumps(getattr(rogue.connection, name))}" for name in ("url", "ca", "token", "site")]
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return path


async def killed_twice(connection: Path, verb: str, source: Path, target: Path) -> None:
    sidecar, last = target.with_name(f".{target.name}.resume"), 0
    for _ in range(2):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(connection), verb, str(source), str(target)
        )
        deadline, now = time.monotonic() + 60, 0
        while time.monotonic() < deadline:
            await asyncio.sleep(0.01)
            if sidecar.exists() and (now := json.loads(sidecar.read_bytes())["row"]) > last + 100:
                break
        assert now > last, "it did not get anywhere"
        child.send_signal(signal.SIGKILL)
        await child.wait()
        last = now


@pytest.mark.parametrize("verb", ["additional", "delete"])
async def test_a_killed_job_goes_on(rogue: Any, connection_file: Path, tmp_path: Path, verb: str) -> None:
    service = Memory(delay=0.03)
    rogue.handler = service.handle
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    pids = [f"p{i}" for i in range(800)]
    source.write_text("pid\n" + "".join(f"{pid}\n" for pid in pids))
    await killed_twice(connection_file, verb, source, target)
    service.delay = 0.0
    files = Files(source, target, resume=True)
    async with TrustCenter(rogue.connection, Settings(batch=20, concurrency=2)) as center:
        if verb == "additional":
            result = await additional_file(center, "north", files, "pid", "psn")
            assert sorted(service.made) == sorted(pids), "each exactly once"
            assert len({line.split(",")[1] for line in target.read_text().splitlines()}) == 801
        else:
            result = await remove_file(center, "north", files, "delete", "pid", "originals")
            assert service.erased == set(pids)
            outcomes = [line.split(",")[1] for line in target.read_text().splitlines()[1:]]
            assert set(outcomes) <= {"deleted", "unknown_original"}
            # Only answers that were under way at one of the two kills can be lost: at most three batches each.
            assert outcomes.count("unknown_original") <= 2 * 3 * 20
            assert result.counts["deleted"] + result.failures == 800
    assert result.rows == 800
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv", "site.toml"]


async def test_what_was_done_before_an_error_is_kept(rogue: Any, tmp_path: Path) -> None:
    service = Memory()
    service.refuse_after = 100
    rogue.handler = service.handle
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("pid\n" + "".join(f"p{i}\n" for i in range(300)))
    settings = Settings(batch=20, concurrency=1)
    async with TrustCenter(rogue.connection, settings) as center:
        with pytest.raises(RemoteError) as caught:
            await remove_file(center, "north", Files(source, target), "delete", "pid", "originals")
        assert "--resume" in caught.value.hint
        service.refuse_after = None
        result = await remove_file(center, "north", Files(source, target, resume=True), "delete", "pid", "originals")
    assert (result.rows, result.counts["deleted"] + result.failures) == (300, 300)
    assert result.failures <= 40
