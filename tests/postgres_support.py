"""A real PostgreSQL server for tests: started in a directory of its own, on a socket only, and stopped again.

TRUSTCENTER_POSTGRES_BIN names the directory of the server's programs where they are not in a usual place.
"""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NEEDS = "PostgreSQL 15 or newer is not installed (Debian: apt-get install postgresql): its tests are skipped"


def programs() -> Path | None:
    """The directory with initdb, pg_ctl and postgres of version 15 or newer, or None."""
    named = os.environ.get("TRUSTCENTER_POSTGRES_BIN")
    candidates = [Path(named)] if named else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: -int(p.parent.name.split(".")[0]))
    if found := shutil.which("initdb"):
        candidates.append(Path(found).resolve().parent)
    for directory in candidates:
        server = directory / "postgres"
        if server.exists():
            text = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
            if int(text.split()[2].split(".")[0]) >= 15:
                return directory
    return None


@dataclass
class PostgresServer:
    """One server. `conninfo` of a new database comes from `create`."""

    bin: Path
    base: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="tc-pg-", dir="/tmp")))
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data, self.socket = self.base / "data", self.base / "run"
        self.socket.mkdir()
        # The server refuses to run as root: under root it runs as the user that Debian's package brings.
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self._as:
            for path in (self.base, self.socket):
                shutil.chown(path, "postgres", "postgres")
        self._run("initdb", "-D", self.data, "-U", self.user, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.start()

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [*self._as, self.bin / program, *map(str, arguments)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/tmp",
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket),
            "max_connections": "60",
            "shared_buffers": "128MB",
            **self.settings,
        }
        text = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.base / "log", "-o", text, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; "immediate" is a crash."""
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def remove(self) -> None:
        """Stop it and delete everything."""
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.base, ignore_errors=True)

    def create(self) -> str:
        """A new, empty database; returns its connection string."""
        name = f"t{uuid.uuid4().hex[:16]}"
        self._run("createdb", "-h", self.socket, "-U", self.user, name)
        return f"host={self.socket} dbname={name} user={self.user}"


@functools.cache
def shared_server() -> PostgresServer:
    """The server of this test process, removed at its end."""
    directory = programs()
    if directory is None:
        pytest.skip(NEEDS)
    server = PostgresServer(directory)
    atexit.register(server.remove)
    return server
