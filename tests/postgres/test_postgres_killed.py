"""Two processes of one instance, killed by turns and together while clients ask both: nothing that was told is lost."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from crash_center import Crashing, wait_until
from crash_support import compare
from log_support import failures
from ports_support import own_port
from postgres_support import PostgresServer
from tests_support import launch

pytestmark = pytest.mark.faults


class Twins(Crashing):
    """Two processes on one PostgreSQL, and one outside head and one key store that both of them write."""

    def __init__(self, base: Path, server: PostgresServer) -> None:
        options = ("--postgres-registrar", server.create(), "--postgres-comparator", server.create())
        super().__init__(base, options)
        self.ports = (self.operator.url.rpartition(":")[2], str(own_port()))
        self.processes: list[subprocess.Popen[str]] = [self.process, self.process]
        url = self.start(1)
        self.ends.append(tuple(msgspec.structs.replace(end, url=url) for end in self.ends[0]))  # type: ignore[arg-type]

    def start(self, which: int) -> str:
        """Start one of them, whatever the other is doing; its address."""
        self.processes[which], url = launch(self.dir, self.base / f"log-{which}", "--port", self.ports[which])
        return url

    def kill_one(self, which: int) -> None:
        """End it with SIGKILL."""
        self.processes[which].kill()
        self.processes[which].wait(60)

    def more(self) -> None:
        """Wait until a few more requests were answered."""
        before = self.ledger.statuses[200]
        wait_until(lambda: self.ledger.statuses[200] >= before + 12, "nothing is answered any more")

    def verify_both(self) -> None:
        """What clients were told, as each of the two has it now, and as the files and the log have it."""
        self.verify(0, 0)
        compare(self.ledger, self.ends[1][0])


def killed(base: Path, server: PostgresServer, rounds: int) -> str:
    """Kill one, let the other go on, start it again beside that; now and then both. The figures, in words."""
    twins, dice = Twins(base, server), random.Random(rounds)
    try:
        for number in range(rounds):
            with twins.load(number):
                for which in (0, 1):
                    twins.more()
                    time.sleep(dice.uniform(0, 0.4))
                    twins.kill_one(which)
                    twins.more()  # the other one serves, and has what the killed one was told to keep
                    twins.start(which)
                twins.more()
                for which in (0, 1):
                    twins.kill_one(which)
            for which in (0, 1):
                twins.start(which)
            twins.verify_both()
        for which in (0, 1):
            twins.processes[which].terminate()
            assert twins.processes[which].wait(60) == 0
            assert "Traceback" not in failures(base / f"log-{which}")
        twins.check()
    finally:
        for process in twins.processes:
            process.kill()
            process.wait(60)
    acknowledged = sum(map(len, twins.ledger.names.values()))
    return f"{4 * rounds} kills of two processes: {acknowledged:,} pseudonyms acknowledged, lost: 0"


def test_two_processes_that_are_killed_by_turns_lose_nothing(tmp_path: Path, server: PostgresServer) -> None:
    killed(tmp_path, server, 1)


@pytest.mark.soak
def test_two_processes_that_are_killed_again_and_again_lose_nothing(tmp_path: Path, server: PostgresServer) -> None:
    print(killed(tmp_path, server, int(os.environ.get("TWIN_ROUNDS", "25"))))
