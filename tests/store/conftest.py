"""Helpers for the store's tests: small schemas and subprocesses."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import postgres_support
import pytest

from trustcenter.store import Location, Migration, Postgres

ITEMS = (
    Migration(
        1,
        "items",
        "CREATE TABLE item (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE) STRICT;\n"
        "CREATE TABLE note (item INTEGER NOT NULL REFERENCES item(id), body BLOB) STRICT;",
    ),
)


@pytest.fixture
def items() -> tuple[Migration, ...]:
    return ITEMS


@pytest.fixture
def python() -> Callable[..., subprocess.Popen[bytes]]:
    """Start a child interpreter on a piece of source, with arguments."""
    started: list[subprocess.Popen[bytes]] = []

    def start(source: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(child)
        return child

    yield start  # type: ignore[misc]
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """An empty store of each kind."""
    if request.param == "sqlite":
        return tmp_path / "a.db"
    return Postgres(postgres_support.shared_server().create())
