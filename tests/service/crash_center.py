"""An instance under load that something happens to, compared afterwards with what its clients were told."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from crash_support import DOMAINS, Caller, Ledger, Worker, compare, require_distinct
from log_support import failures
from tests_support import launch, make_instance, run_cli

from trustcenter import config
from trustcenter.client.connection import Connection
from trustcenter.instance.checking import fsck
from trustcenter.instance.parts import recompute_log, room_snapshot

Fault = Callable[["Crashing"], AbstractContextManager[None]]
WORKERS = 4
WIDE = "\n[limits]\nrequests_per_second = 100000\nrequest_burst = 100000\n"


def wait_until(there: Callable[[], bool], otherwise: str) -> None:
    """Wait until something is there, for two minutes at most."""
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


class Crashing:
    """An instance that is killed under load and compared with what its clients were told."""

    def __init__(self, base: Path, options: Sequence[str] = ()) -> None:
        """`options`: of `init`."""
        self.dir, self.base, self.log = base / "center", base, base / "log"
        make_instance(self.dir, options)
        with (self.dir / "config.toml").open("a") as stream:
            stream.write(WIDE)
        self.process, _ = launch(self.dir, self.log)
        operator = ("--connect", self.dir / "operator.toml")
        self.cli("site", "add", "north", *operator)
        self.cli("site", "token", "north", "-o", base / "north.toml", *operator)
        self.connection = Connection.load(base / "north.toml")
        self.operator = Connection.load(self.dir / "operator.toml")
        self.ends = [(self.connection, self.operator)]  # where a site and an operator reach the service
        call = Caller(self.operator)
        for name, options in DOMAINS.items():
            made = call("/v1/domains", {"name": name, "site": "north", **options})
            assert made is not None
            assert made[0] == 201, made
        call.close()
        self.ledger = Ledger()
        self.requests: dict[tuple[str, str], int] = {}  # (request, event) → rows, from the log
        self.logged = 0
        self.rotated = 0
        self.heads: dict[int, str] = {}

    def cli(self, *arguments: str | Path) -> None:
        done = run_cli(*arguments)
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def load(self, number: int) -> Iterator[None]:
        """Clients of every operation, until the block ends."""
        stop = threading.Event()
        workers = [
            Worker(self.ledger, *self.ends[n % len(self.ends)], number * WORKERS + n, stop) for n in range(WORKERS)
        ]
        threads = [threading.Thread(target=worker.run) for worker in workers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)

    def round(self, number: int, fault: Fault | None = None, *, seen: bool = False) -> None:
        """Load with a fault, kill, restart, compare what came new. The kill alone is a fault, too.

        Args:
            number: of the round; it decides what is asked, and when the kill comes.
            fault: lasts for a second, or until a client was refused.
            seen: whether a client has to be refused.
        """
        since, effects, refused = len(self.ledger.names), len(self.ledger.effects), self.ledger.statuses[503]
        with self.load(number):
            wait_until(lambda: len(self.ledger.names) >= since + 40, "nothing is acknowledged")
            if fault is None:
                time.sleep(random.Random(number).uniform(0, 1.1))
            else:
                with fault(self):
                    if seen:
                        wait_until(lambda: self.ledger.statuses[503] > refused, "a fault was not noticed")
                    else:
                        time.sleep(1.0)
            self.kill()
        self.process, _ = launch(self.dir, self.log)
        self.verify(since, effects)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def verify(self, since: int, effects: int) -> None:
        """What clients were told since then against the running service, its log and its files."""
        assert not self.ledger.wrong, self.ledger.wrong[:3]
        assert not set(self.ledger.statuses) - {200, 409, 503}, self.ledger.statuses
        compare(self.ledger, self.connection, max(since - 500, 0))
        self.read_log()
        for request, event, rows in self.ledger.effects[effects:]:
            assert self.requests.get((request, event)) == rows, f"acknowledged and not in the log: {event}"
        self.check()

    def read_log(self) -> None:
        """The reverse of what the clients know: entries tell of rows, and `fsck` compares those with the store."""
        with room_snapshot(config.load(self.dir), "registrar") as conn:
            query = "SELECT seq, leaf FROM audit_entry WHERE seq >= ? ORDER BY seq"
            for seq, leaf in conn.execute(query, (self.logged,)):
                self.logged = seq + 1
                entry = json.loads(leaf)
                data = entry["data"]
                if entry["event"] in ("site:pseudonym:issue", "site:pseudonym:delete"):
                    place = (data["request"], entry["event"])
                    self.requests[place] = self.requests.get(place, 0) + data["count"]
                elif entry["event"] == "operator:key:rotate" and data.get("purpose") == "pseudonym":
                    self.requests[data["request"], entry["event"]] = 1
                    self.rotated += 1
            (version,) = conn.execute(
                "SELECT v.version FROM key_version v JOIN domain d ON v.scope = 'domain:' || d.uuid"
                " WHERE d.name = 'turned' AND v.purpose = 'pseudonym' AND v.state = 'active'"
            ).fetchone()
            assert version - 1 == self.rotated, "a rotation without its entry, or the reverse"
            log = recompute_log(conn, "registrar", tuple(self.heads))
            assert log.roots == self.heads, "the log does not extend what it was"
            self.heads[log.size] = log.root

    def check(self) -> None:
        findings = fsck.run(config.load(self.dir), (self.dir / "passphrase").read_bytes().strip())
        assert [f.text for f in findings if f.state == "fail"] == []

    def end(self, *, commands: bool = True) -> tuple[int, Counter[int]]:
        """Compare everything, stop in order, check again; how many pseudonyms were acknowledged, and statuses."""
        compare(self.ledger, self.connection)
        acknowledged = require_distinct(self.ledger)
        self.process.terminate()
        assert self.process.wait(60) == 0
        assert "Traceback" not in failures(self.log)
        if not commands:
            self.check()
            return acknowledged, self.ledger.statuses
        checked = run_cli("doctor", self.dir)
        assert checked.returncode == 0, checked.stdout
        fitting = run_cli("fsck", self.dir, timeout=600)
        assert fitting.returncode == 0, fitting.stdout + fitting.stderr
        return acknowledged, self.ledger.statuses
