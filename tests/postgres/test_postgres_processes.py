"""Several API processes on one PostgreSQL, and a server that is restarted under load."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from access_support import Center
from crash_center import wait_until
from postgres_support import PostgresServer, programs
from tests_support import launch, run_cli

pytestmark = pytest.mark.faults


class Pair:
    """Two processes of one instance. `ask(0 or 1, ...)` goes to either."""

    def __init__(self, base: Path, options: list[str]) -> None:
        self.center = Center(base, "", options=options)
        self.center.add_site("north")
        self.log = base / "second.log"
        self.processes: list[subprocess.Popen[str]] = []
        self.start_second()

    def start_second(self) -> None:
        process, url = launch(self.center.dir, self.log, "--port", "0")
        self.processes.append(process)
        self.urls = [self.center.url, url]

    def ask(self, which: int, *arguments: Any, **named: Any) -> Any:
        self.center.url = self.urls[which]
        return self.center.ask(*arguments, **named)

    def stop(self) -> None:
        self.center.kill()
        for process in self.processes:
            process.kill()
            process.wait(60)


@contextlib.contextmanager
def _pair(base: Path, server: PostgresServer) -> Iterator[Pair]:
    options = ["--postgres-registrar", server.create(), "--postgres-comparator", server.create()]
    pair = Pair(base, options)
    try:
        yield pair
    finally:
        pair.stop()


def _strings(pair: Pair, which: int, domain: str, originals: list[str]) -> list[str]:
    reply = pair.ask(which, "north", "POST", f"/v1/domains/{domain}/pseudonyms", {"originals": originals})
    assert reply.status == 200, reply.body
    answer: list[str] = reply.json["pseudonyms"]
    return answer


def test_two_processes_are_one_service(tmp_path: Path, server: PostgresServer) -> None:
    with _pair(tmp_path, server) as pair:
        first = _strings(pair, 0, "north", ["a", "b"])
        assert _strings(pair, 1, "north", ["b", "a"]) == first[::-1]

        # What one makes the other has: a domain with its keys, a rotation, a revoked token.
        made = pair.ask(1, "operator", "POST", "/v1/domains", {"name": "later", "site": "north"})
        assert made.status == 201, made.body
        later = _strings(pair, 0, "later", ["x"])
        assert _strings(pair, 1, "later", ["x"]) == later
        turned = pair.ask(0, "operator", "POST", "/v1/domains/north/keys/rotate", {"dry_run": False})
        assert turned.status == 200, turned.body
        second = _strings(pair, 1, "north", ["a", "b"])
        assert not set(second) & set(first)
        assert _strings(pair, 0, "north", ["a", "b"]) == second
        # The tags of originals are made anew by one of them; neither gives an original a second pseudonym.
        body = {"dry_run": False, "purpose": "lookup"}
        ident = pair.ask(0, "operator", "POST", "/v1/domains/north/keys/rotate", body).json["rotation"]
        assert _strings(pair, 1, "north", ["b", "a"]) == second[::-1]
        while pair.ask(1, "operator", "GET", f"/v1/rotations/{ident}").json["stage"] == "rewriting":
            assert _strings(pair, 1, "north", ["a"]) == second[:1]
        verified = pair.ask(1, "operator", "POST", f"/v1/rotations/{ident}/verify")
        assert (verified.json["stage"], verified.json["done"]) == ("verified", 2), verified.body
        assert _strings(pair, 0, "north", ["a", "b"]) == second
        answer = pair.ask(1, "north", "POST", "/v1/domains/north/translate", {"pseudonyms": first})
        assert answer.json["pseudonyms"] == second

        # The same new originals at both at once: one pseudonym each, and never one for two.
        names = [[f"p-{n}" for n in range(start, start + 400)] for start in range(0, 2000, 200)]
        work = list(itertools.product((0, 1), names))
        urls = pair.urls

        def issue(job: tuple[int, list[str]]) -> dict[str, str]:
            which, originals = job
            center = Center.__new__(Center)
            center.__dict__ = {**pair.center.__dict__, "url": urls[which]}
            reply = center.ask("north", "POST", "/v1/domains/north/pseudonyms", {"originals": originals})
            assert reply.status == 200, reply.body
            return dict(zip(originals, reply.json["pseudonyms"], strict=True))

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(issue, work))
        known: dict[str, str] = {}
        for answer in answers:
            for original, pseudonym in answer.items():
                assert known.setdefault(original, pseudonym) == pseudonym
        assert len(set(known.values())) == len(known)

        pair.processes[-1].kill()
        pair.processes[-1].wait(60)
        assert _strings(pair, 0, "north", ["p-0"]) == [known["p-0"]]
        pair.start_second()
        assert _strings(pair, 1, "north", ["p-0", "new"])[0] == known["p-0"]
        clean = run_cli("fsck", pair.center.dir)
        assert clean.returncode == 0, clean.stdout


def test_a_restore_or_reopen_needs_every_process_stopped(tmp_path: Path, server: PostgresServer) -> None:
    with _pair(tmp_path, server) as pair:
        assert pair.center.stop() == 0
        refused = run_cli("reopen", pair.center.dir, "--propose")
        assert refused.returncode != 0
        assert "another process" in refused.stderr
        pair.processes[-1].terminate()
        pair.processes[-1].wait(60)
        assert run_cli("reopen", pair.center.dir, "--propose").returncode == 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_server_restarted_under_load_loses_nothing_acknowledged(tmp_path: Path, mode: str) -> None:
    directory = programs()
    if directory is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(directory)
    try:
        with _pair(tmp_path, server) as pair:
            _hammer(pair, server, mode)
            clean = run_cli("fsck", pair.center.dir)
            assert clean.returncode == 0, clean.stdout
    finally:
        server.remove()


def more(acknowledged: dict[str, str]) -> None:
    """Wait until some more originals have their pseudonyms."""
    before = len(acknowledged)
    wait_until(lambda: len(acknowledged) >= before + 100, "it serves nobody")


def _hammer(pair: Pair, server: PostgresServer, mode: str) -> None:
    acknowledged: dict[str, str] = {}
    refused: list[int] = []
    done, lock = threading.Event(), threading.Lock()
    urls = pair.urls

    def load(number: int) -> None:
        center = Center.__new__(Center)
        center.__dict__ = {**pair.center.__dict__, "url": urls[number % 2]}
        for step in itertools.count():
            if done.is_set():
                return
            originals = [f"{number}-{step}-{n}" for n in range(20)]
            reply = center.ask("north", "POST", "/v1/domains/north/pseudonyms", {"originals": originals})
            with lock:
                if reply.status == 200:
                    acknowledged.update(zip(originals, reply.json["pseudonyms"], strict=True))
                else:
                    refused.append(reply.status)

    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        more(acknowledged)
        server.stop(mode)
        done.wait(0.5)
        server.start()
    more(acknowledged)
    done.set()
    for thread in threads:
        thread.join()
    assert set(refused) <= {503}
    assert len(set(acknowledged.values())) == len(acknowledged)
    originals = list(acknowledged)
    for which in (0, 1):
        assert _strings(pair, which, "north", originals) == list(acknowledged.values())


def test_an_older_database_behind_a_running_service_is_refused(tmp_path: Path) -> None:
    directory = programs()
    if directory is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(directory)
    try:
        with _pair(tmp_path, server) as pair:
            early = _strings(pair, 0, "north", ["early"])
            server.stop()
            old = server.base / "old"
            shutil.copytree(server.data, old)
            server.start()
            late = _strings(pair, 1, "north", [f"late-{n}" for n in range(50)])
            server.stop()
            shutil.rmtree(server.data)
            old.rename(server.data)
            if os.geteuid() == 0:
                subprocess.run(["chown", "-R", "postgres:postgres", server.data], check=True)
            server.start()
            for which in (0, 1):
                for originals in (["early"], ["new"], ["late-1"]):
                    reply = pair.ask(which, "north", "POST", "/v1/domains/north/pseudonyms", {"originals": originals})
                    if which == 0 and reply.status == 200:
                        # The first process saw nothing that the old database lacks: it may go on where it was.
                        assert reply.json["pseudonyms"] != late[1:2]
                    else:
                        assert reply.json["code"] == "stale_database", reply.body
            # Nothing in the old database tells of what came later, but the outside head does: serials go on above.
            pair.stop()
            pair.center.start()
            pair.start_second()
            assert _strings(pair, 1, "north", ["early"]) == early
            again = _strings(pair, 0, "north", [f"other-{n}" for n in range(50)])
            assert not set(again) & set(late)
    finally:
        server.remove()
