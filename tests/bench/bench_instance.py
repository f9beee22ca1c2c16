"""An instance with a site and a domain, served by a process of its own, for measuring."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import postgres_support
from bench_load import cpu_ticks

from trustcenter.client.connection import Connection

_SWITCHED = Path(__file__).with_name("unlogged.py")
# One client stands for a whole house here, so its own bounds must not be what is measured.
LIMITS = """
[limits]
requests_per_second = 1000000.0
request_burst = 1000000
new_per_day = 1000000000
"""


@dataclass
class Service:
    """A running service."""

    connection: Connection
    pid: int
    database: Path | None  # None: at a PostgreSQL server
    server: int | None = None  # the server's first process

    @property
    def pids(self) -> list[int]:
        """The processes that work for it."""
        return [self.pid] if self.server is None else [self.pid, self.server]

    def peak(self) -> float:
        """MB of memory at most, since its start."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return cpu_ticks(self.pid) / os.sysconf("SC_CLK_TCK")

    def server_cpu(self) -> float:
        """Seconds of processor time of the PostgreSQL server so far; 0 if there is none."""
        return cpu_ticks(self.server) / os.sysconf("SC_CLK_TCK") if self.server is not None else 0.0

    def sizes(self) -> str:
        """The database and its write-ahead log."""
        if self.database is None:
            return "in PostgreSQL"
        wal = self.database.with_name(self.database.name + "-wal")
        return f"database {_mb(self.database):,.0f} MB, WAL {_mb(wal):,.0f} MB"


def _mb(path: Path) -> float:
    return path.stat().st_size / 1e6 if path.exists() else 0.0


def program(*arguments: str | Path) -> str:
    """Run a command and return what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "trustcenter", *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout


@dataclass
class Databases:
    """Connection strings of two databases, and the first process of their server."""

    registrar: str
    comparator: str
    server: int


@contextmanager
def postgres() -> Iterator[Databases]:
    """A PostgreSQL server with two empty databases; every commit is on the disk, as is usual."""
    directory = postgres_support.programs()
    if directory is None:
        raise SystemExit(postgres_support.NEEDS)
    server = postgres_support.PostgresServer(directory, settings={"shared_buffers": "1GB", "max_wal_size": "4GB"})
    try:
        first = int((server.data / "postmaster.pid").read_text().split()[0])
        yield Databases(server.create(), server.create(), first)
    finally:
        server.remove()


@contextmanager
def service(base: Path, databases: Databases | None = None, *, switch: bool = False) -> Iterator[Service]:
    """Start the instance in `base`, which is made if it is not there. Site and domain are both called north.

    Args:
        base: an empty directory, or one that was used before.
        databases: for a new instance on PostgreSQL.
        switch: whether SIGUSR1 switches its audit log off and on, to see what that costs.
    """
    center, connection = base / "center", base / "north.toml"
    new = not center.exists()
    if new:
        stores = (
            ("--postgres-registrar", databases.registrar, "--postgres-comparator", databases.comparator)
            if databases
            else ()
        )
        program("init", center, "--development", "--port", "0", "--json", *stores)
        with (center / "config.toml").open("a", encoding="utf-8") as file:
            file.write(LIMITS)
    process = subprocess.Popen(
        [sys.executable, *((_SWITCHED,) if switch else ("-m", "trustcenter")), "serve", center],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "the service did not start"
        if new:
            operator = ("--connect", center / "operator.toml")
            program("site", "add", "north", *operator)
            program("domain", "create", "north", "--site", "north", *operator)
            program("site", "token", "north", "-o", connection, *operator)
        database = None if databases else center / "registrar" / "registrar.db"
        yield Service(Connection.load(connection), process.pid, database, databases.server if databases else None)
    finally:
        process.terminate()
        process.wait(600)  # a large database is cleared of deleted rows before the end
