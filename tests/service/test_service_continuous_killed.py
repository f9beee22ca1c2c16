"""A service with a continuous backup is killed under load, and its disk is lost: the backup is served again."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest_operate import Center
from tests_support import run_cli

from trustcenter import config
from trustcenter.instance.backups import chain_notes
from trustcenter.instance.checking import checks

pytestmark = [pytest.mark.faults, pytest.mark.files]


def test_after_a_kill_under_load_what_was_said_to_be_in_the_backup_is_restored(tmp_path: Path) -> None:
    center = Center(tmp_path)
    live = tmp_path / "live"
    with (center.dir / "config.toml").open("a") as file:
        parts = ("registrar", "comparator", "registrar_keys", "comparator_keys")
        file.write("\n[backups.continuous]\n" + "".join(f'{part} = "{live / part}"\n' for part in parts))
        file.write("\n[metrics]\nloopback = true\n")
    acknowledged: list[dict[str, str]] = []
    with center.running() as process:
        center.found()
        stop = threading.Event()

        def work(worker: int) -> None:
            number = 0
            while not stop.is_set():
                with suppress(Exception):
                    made = center.pseudonyms([f"w{worker}-{number}-{i}" for i in range(20)])
                    acknowledged.append(made)
                    number += 1

        workers = [threading.Thread(target=work, args=(n,)) for n in range(2)]
        for worker in workers:
            worker.start()
        while len(acknowledged) <= 20:
            time.sleep(0.1)
        early = {original: made for answer in list(acknowledged) for original, made in answer.items()}
        wait_for_backup(center)
        process.kill()
        process.wait(60)
        stop.set()
        for worker in workers:
            worker.join(30)
    newest = chain_notes.alive(live / "registrar")
    assert newest is not None

    # The disk with the databases is gone; key store and head are on another and survived.
    for room in ("registrar", "comparator"):
        shutil.rmtree(center.dir / room)
    done = center.cli("restore", live / "registrar", live / "comparator", center.dir)
    assert "older than the head" not in done.stderr
    assert center.fsck()[0] == 0
    with center.running():
        answer = center.pseudonyms(list(early))
        assert answer == early
        fresh = center.pseudonyms([f"after-{n}" for n in range(200)])
        everything = {p for made in acknowledged for p in made.values()}
        assert not everything & set(fresh.values())
        wait_for_backup(center)

    # Everything is gone: the copies of the keys serve on another machine.
    other = tmp_path / "other"
    keys = [live / f"{room}_keys" / "newest.tc" for room in ("registrar", "comparator")]
    done = center.cli("restore", live / "registrar", live / "comparator", *keys, other, *center.secret)
    assert "new epoch" in done.stderr
    assert run_fsck(other, center).returncode == 0
    findings = {finding.name: finding for finding in checks.run(config.load(center.dir), lambda: b"")}
    assert findings["continuous backup"].state == "ok", findings["continuous backup"]


def wait_for_backup(center: Center) -> None:
    """Until the service says that whatever was committed before this call can be restored."""
    began = time.monotonic()
    while (asked := time.monotonic()) < began + 90:
        _, text = center.get("/metrics", {})
        (lag,) = [line for line in text.splitlines() if line.startswith("trustcenter_backup_lag_seconds ")]
        if float(lag.split()[1]) < asked - began:
            assert "trustcenter_backup_failures_total 0" in text
            return
        time.sleep(0.1)
    raise AssertionError(f"the backup stays behind: {lag}")


def run_fsck(directory: Path, center: Center) -> subprocess.CompletedProcess[str]:
    return run_cli("fsck", directory, *center.secret)
