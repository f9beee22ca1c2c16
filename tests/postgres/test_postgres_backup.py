"""Backups of an instance whose databases are PostgreSQL's: key stores and head are files, and are copied as such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from access_support import Center
from postgres_support import PostgresServer
from tests_support import run_cli

ROOMS = ("registrar", "comparator")


@pytest.fixture
def center(tmp_path: Path, server: PostgresServer) -> Any:
    """A running instance on PostgreSQL."""
    options = ("--postgres-registrar", server.create(), "--postgres-comparator", server.create())
    center = Center(tmp_path, "", options=options)
    center.add_site("north")
    made = center.ask("operator", "POST", "/v1/domains", {"name": "plain", "site": "north"})
    assert made.status == 201, made.body
    yield center
    center.kill()


def _backup(center: Center, room: str, part: str = "keys") -> Any:
    target = center.dir.parent / f"{room}-{part}" / "one.tc"
    target.parent.mkdir(exist_ok=True)
    return run_cli("backup", center.dir, "--room", room, "--part", part, "-o", target, "--json"), target


def _issue(center: Center) -> list[str]:
    answer = center.ask("north", "POST", "/v1/domains/plain/pseudonyms", {"originals": ["a", "b"]})
    found: list[str] = answer.json["pseudonyms"]
    return found


def test_key_stores_and_head_are_backed_up_while_it_runs_and_restored(center: Center) -> None:
    before = _issue(center)
    files = []
    for room in ROOMS:
        done, target = _backup(center, room)
        assert done.returncode == 0, done.stderr
        (manifest,) = json.loads(done.stdout)
        assert (manifest["room"], manifest["part"]) == (room, "keys")
        files.append(target)
    passphrase = ("--passphrase-file", center.dir / "passphrase")
    tested = run_cli("restore", "--test", *files, *passphrase)
    assert tested.returncode == 0, tested.stderr

    running = run_cli("restore", *files, center.dir, *passphrase)
    assert (running.returncode, "already_running" in running.stderr) == (1, True), running.stderr
    center.stop()
    lost = [center.dir / f"{room}-keys" / f"{room}.keys" for room in ROOMS] + [center.dir / "registrar-keys/head.json"]
    for path in lost:
        path.rename(path.with_suffix(".lost"))
    done = run_cli("restore", *files, center.dir, *passphrase)
    assert done.returncode == 0, done.stderr
    assert all(path.exists() for path in lost)
    center.start()
    assert _issue(center) == before
    center.stop()
    assert run_cli("fsck", center.dir).returncode == 0


def test_the_databases_are_left_to_the_server(center: Center, tmp_path: Path) -> None:
    for room in ROOMS:
        done, target = _backup(center, room, "database")
        assert (done.returncode, "not_a_file" in done.stderr) == (1, True)
        assert not target.exists()


def test_doctor_asks_for_backups_of_what_it_can_see(center: Center) -> None:
    path = center.dir / "config.toml"
    path.write_text(path.read_text() + '\n[backups]\nmanifests = "manifests"\n')

    def finding() -> dict[str, str]:
        done = run_cli("doctor", center.dir, "--json")
        return next(one for one in json.loads(done.stdout)["checks"] if one["name"] == "backups")

    assert finding()["state"] == "warn"
    for room in ROOMS:
        assert _backup(center, room)[0].returncode == 0
    assert finding()["state"] == "ok"
