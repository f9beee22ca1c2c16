"""`trustcenter migrate`: the same pseudonyms from PostgreSQL, and files that never open again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from access_support import Center
from postgres_support import PostgresServer
from tests_support import run_cli

DRAWN = {"suite": "drawn", "format": {"prefix": "HD-", "alphabet": "symbol31", "length": 10, "check": "damm"}}


def _strings(center: Center, domain: str, originals: list[str]) -> list[str]:
    reply = center.ask("north", "POST", f"/v1/domains/{domain}/pseudonyms", {"originals": originals})
    assert reply.status == 200, reply.body
    answer: list[str] = reply.json["pseudonyms"]
    return answer


@pytest.fixture
def center(tmp_path: Path) -> Any:
    """An instance on files with a computed, a drawn and a deletable domain, all in use."""
    center = Center(tmp_path, "")
    center.add_site("north")
    for name, policy in (("plain", {}), ("drawn", DRAWN), ("gone", {"deletable": True})):
        made = center.ask("operator", "POST", "/v1/domains", {"name": name, "site": "north", **policy})
        assert made.status == 201, made.body
    yield center
    center.kill()


def _options(server: PostgresServer) -> tuple[list[str], tuple[str, str]]:
    names = server.create(), server.create()
    return ["--postgres-registrar", names[0], "--postgres-comparator", names[1], "--yes", "--json"], names


def test_every_pseudonym_is_the_same_and_the_files_are_fenced(center: Center, server: PostgresServer) -> None:
    originals = [f"patient-{n}" for n in range(3000)]
    before = {name: _strings(center, name, originals) for name in ("plain", "drawn")}
    lost = _strings(center, "gone", ["a", "b"])
    deleted = center.ask("north", "POST", "/v1/domains/gone/delete", {"originals": ["a"]})
    assert deleted.status == 200, deleted.body
    options, _ = _options(server)

    running = run_cli("migrate", center.dir, *options)
    assert running.returncode != 0
    assert "another process" in running.stderr
    center.stop()
    rooms = ("registrar", "comparator")
    for room in rooms:
        shutil.copy(center.dir / room / f"{room}.db", center.dir.parent)

    done = run_cli("migrate", center.dir, *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["pseudonyms"] >= 3001
    assert report["epoch"] == 1
    center.start()
    assert {name: _strings(center, name, originals) for name in before} == before
    assert _strings(center, "gone", ["b"]) == lost[1:]
    fresh = _strings(center, "gone", ["a"])
    assert fresh != lost[:1]
    answer = center.ask("north", "POST", "/v1/domains/gone/validate", {"pseudonyms": [lost[0], lost[1], fresh[0]]})
    assert answer.json["results"] == ["unknown_pseudonym", "ok", "ok"]
    center.stop()
    assert run_cli("fsck", center.dir).returncode == 0

    # The files: fenced, and known to be old even if the fence is taken down with a copy from before.
    config = center.dir / "config.toml"
    text = config.read_text()
    config.write_text(text[: text.index("[postgres]")])
    refused = run_cli("serve", center.dir)
    assert refused.returncode == 1, refused.stderr
    assert "instance_moved" in refused.stderr
    for room in rooms:
        shutil.copy(center.dir.parent / f"{room}.db", center.dir / room)
    refused = run_cli("serve", center.dir)
    assert refused.returncode == 3, refused.stderr


@pytest.mark.faults
def test_a_move_that_was_killed_is_taken_up(center: Center, server: PostgresServer) -> None:
    originals = [f"patient-{n}" for n in range(2000)]
    before = _strings(center, "plain", originals)
    center.stop()
    options, names = _options(server)
    command = [sys.executable, "-m", "trustcenter", "migrate", str(center.dir), *options]
    finished = False
    for wait in (1.2, 1.6, 2.0, 2.4):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        finished = child.wait() == 0 or "[postgres]" in (center.dir / "config.toml").read_text()
        if finished:
            break
    if not finished:
        done = run_cli("migrate", center.dir, *options)
        assert done.returncode == 0, done.stderr
    center.start()
    assert _strings(center, "plain", originals) == before
    assert names[0] in (center.dir / "config.toml").read_text()


def test_databases_of_somebody_else_are_refused(center: Center, server: PostgresServer, tmp_path: Path) -> None:
    center.stop()
    options, (registrar, comparator) = _options(server)
    other = tmp_path / "other"
    made = run_cli(
        "init", other, "--development", "--port", "0", "--postgres-registrar", registrar,
        "--postgres-comparator", comparator,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    refused = run_cli("migrate", center.dir, *options)
    assert refused.returncode == 1, refused.stderr
    assert "target_in_use" in refused.stderr
    center.start()
    assert len(_strings(center, "plain", ["still here"])) == 1


@pytest.mark.parametrize(
    ("conninfo", "word"),
    [
        ("host=/run/x dbname=a password=secret-canary", "password"),
        ("host=db.example.org dbname=a", "certificate"),
        ("host=db.example.org dbname=a sslmode=require", "certificate"),
        ("this is not = a string = at all", "connection string"),
    ],
)
def test_unsafe_connection_strings_are_refused(tmp_path: Path, conninfo: str, word: str) -> None:
    done = run_cli(
        "init", tmp_path / "i", "--development", "--postgres-registrar", conninfo, "--postgres-comparator", "dbname=b"
    )
    assert done.returncode == 1
    assert word in done.stderr
    assert "canary" not in done.stderr
