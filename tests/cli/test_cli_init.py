"""`trustcenter init`: what it refuses, what comes next, and the address that it writes down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trustcenter.client import Connection
from trustcenter.config import Server

Cli = Callable[..., Any]


@pytest.mark.parametrize(("room", "says"), [("both", "trustcenter serve"), ("comparator", "trustcenter rooms card")])
def test_init_says_what_comes_next(cli: Cli, tmp_path: Path, room: str, says: str) -> None:
    done = cli("init", tmp_path / "center", "--development", "--room", room)
    assert done.code == 0
    assert [line for line in done.err.splitlines() if line.startswith("Next")] == [
        line for line in done.err.splitlines() if says in line
    ]
    assert says in done.err


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_init_asks_for_a_name_where_the_address_is_nobodys(cli: Cli, tmp_path: Path, host: str) -> None:
    done = cli("init", tmp_path / "center", "--development", "--host", host)
    assert done.code == 1
    assert "[name_needed]" in done.err
    assert not (tmp_path / "center").exists()


@pytest.mark.parametrize(
    ("host", "name", "url"),
    [
        ("127.0.0.1", "", "https://127.0.0.1:8443"),
        ("::1", "", "https://[::1]:8443"),
        ("::", "tc.example.org", "https://tc.example.org:8443"),
        ("0.0.0.0", "fe80::1", "https://[fe80::1]:8443"),
    ],
)
def test_the_address_in_a_connection_file_is_one_that_can_be_called(host: str, name: str, url: str) -> None:
    server = Server(host=host)
    assert server.url(name) == url
    assert server.anywhere == bool(name)
    Connection(url=server.url(name), token="a", ca="-", site="north").check()
