"""The real program and the real service in real processes, for every test that asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import postgres_support
from click.testing import CliRunner
from ports_support import own_port

from keys.kdf import CHEAP_FOR_TESTS
from keys.store import KeyStore
from trustcenter import config
from trustcenter.cli import main
from trustcenter.instance import setup


@dataclass
class Live:
    """A running service. `operator` is the connection file of its first operator."""

    url: str
    dir: Path
    operator: Path
    fingerprints: dict[str, str]
    process: subprocess.Popen[str]
    log: Path
    extra: dict[str, str] = field(default_factory=dict)

    def kill(self) -> None:
        """End it the hard way (SIGKILL)."""
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> int:
        """End it the polite way; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def start(self) -> None:
        """Start it again on the same files."""
        self.process, self.url = launch(self.dir, self.log)


def run_cli(
    *arguments: str | Path, input_text: str | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the real program."""
    environment = {**os.environ, "NO_COLOR": "1"}
    environment.pop("TRUSTCENTER_CONNECT", None)
    return subprocess.run(
        [sys.executable, "-m", "trustcenter", *map(str, arguments)],
        capture_output=True,
        text=True,
        input=input_text,
        timeout=timeout,
        env=environment,
    )


@dataclass
class Outcome:
    """Exit code, data and messages of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_here(*arguments: str | Path, stdin: str | bytes | None = None) -> Outcome:
    """Run a command in this process, for what is not about processes; checks what no outcome may show."""
    found = CliRunner().invoke(main, [str(a) for a in arguments], input=stdin, prog_name="trustcenter")
    outcome = Outcome(found.exit_code, found.stdout, found.stderr)
    assert "Traceback" not in outcome.err + outcome.out
    assert "\x1b" not in outcome.err + outcome.out, "control characters without a terminal"
    assert "[internal]" not in outcome.err, outcome.err
    if outcome.code:
        assert any(line.startswith("error: ") for line in outcome.err.splitlines()) or outcome.out
    return outcome


def ok(*arguments: str | Path) -> str:
    """Run a command that has to succeed, in this process; its data."""
    done = run_here(*arguments)
    assert done.code == 0, done.err
    return done.out


def launch(directory: Path, log: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """Start `trustcenter serve` and wait until it says where it listens.

    Where the kernel still holds the port for what was killed a moment ago, that is waited for.
    """
    deadline = time.monotonic() + 60
    while True:
        before = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "trustcenter", "serve", str(directory), *options],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if url.startswith("https://"):
            return process, url
        process.wait()
        said = log.read_text()[before:]
        assert "[port_taken]" in said, f"the service did not start: {said[-2000:]}"
        assert time.monotonic() < deadline, "the port is taken"
        time.sleep(0.5)


# Of the consents that tests send: past, and five years of force not over, whenever a test runs. One for the whole run.
YEAR = datetime.now(UTC).year - 2


def seconds_to_midnight() -> float:
    """Until the next day begins in UTC."""
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()


def stay_within_a_day(seconds: float = 90) -> None:
    """Wait for midnight where it is nearer than that: a test of what is counted by the day must not see two of them."""
    if (left := seconds_to_midnight()) < seconds:
        time.sleep(left + 0.1)


@contextlib.contextmanager
def cheap_key_stores() -> Iterator[None]:
    """New key stores get the profile for tests: a test opens two of them, again and again."""
    defaults = KeyStore.create.__func__.__kwdefaults__  # type: ignore[attr-defined]
    before = dict(defaults)
    defaults["kdf"] = CHEAP_FOR_TESTS
    try:
        yield
    finally:
        defaults.update(before)


def make_instance(directory: Path, options: Sequence[str] = ()) -> dict[str, str]:
    """An instance on a port of its own, as `trustcenter init --development` makes it; the fingerprints of its logs.

    It is made in this process, in a tenth of the time. With TRUSTCENTER_TEST_STORE=postgres its stores are databases of
    a PostgreSQL server.
    """
    options = options or postgres_options()
    told = {name.removeprefix("--"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    postgres = config.Postgres(told.pop("postgres-registrar", None), told.pop("postgres-comparator", None))
    making = setup.create(directory, None, port=own_port(), postgres=postgres, **told)
    with cheap_key_stores(), ThreadPoolExecutor(1) as apart:  # the test itself may run in an event loop
        return apart.submit(asyncio.run, making).result().fingerprints


ON_POSTGRES = os.environ.get("TRUSTCENTER_TEST_STORE") == "postgres"


def postgres_options(rooms: Sequence[str] = ("registrar", "comparator")) -> list[str]:
    """Options of `init` that name a fresh database for each room, where the tests run on PostgreSQL."""
    if not ON_POSTGRES:
        return []
    server = postgres_support.shared_server()
    return [word for room in rooms for word in (f"--postgres-{room}", server.create())]


@contextlib.contextmanager
def stored(directory: Path, room: str) -> Iterator[Any]:
    """One state of what a room of an instance has stored, whatever its store is."""
    from trustcenter import store
    from trustcenter.instance import places

    with store.snapshot(places.database(config.load(directory), room)) as conn:
        yield conn


def everything(conn: Any) -> str:
    """Every value of every table of a store, as text."""
    if isinstance(conn, sqlite3.Connection):
        return "\n".join(conn.iterdump())
    names = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
    rows = [row for (name,) in names for row in conn.execute(f"SELECT * FROM {name}").fetchall()]
    return "\n".join(value.decode("latin-1") if isinstance(value, bytes) else str(value) for r in rows for value in r)
