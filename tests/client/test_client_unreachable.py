"""A service that does not answer is reported, whatever the reason, and soon: by default within five seconds."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import trustme

from trustcenter.client import Connection, TrustCenter, UnreachableError
from trustcenter.client.settings import DEFAULT, Settings
from trustcenter.errors import exit_code

# As patient as by default, in a tenth of the time. Where it waited for what never comes, a test would have no end.
QUICK = Settings(connect_timeout=0.4, first_contact=0.45, first_retries=0.15)
CA = trustme.CA().cert_pem.bytes().decode()


def ask(url: str) -> None:
    """Ask in vain; ends once the event loop is closed as well."""
    connection = Connection(url=url, ca=CA, token="tc1_x", site="north")

    async def job() -> None:
        async with TrustCenter(connection, QUICK) as center:
            await center.domain("north")

    with pytest.raises(UnreachableError) as caught:
        asyncio.run(job())
    assert (caught.value.code, exit_code(caught.value)) == ("unreachable", 2)
    assert caught.value.hint


def test_five_seconds_by_default() -> None:
    assert max(DEFAULT.connect_timeout, DEFAULT.first_contact, DEFAULT.first_retries) <= 4.5


def test_nothing_listens() -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        ask(f"https://127.0.0.1:{port}")


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


def test_the_handshake_never_ends(silent: int) -> None:
    ask(f"https://127.0.0.1:{silent}")


def test_the_name_server_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    real, ended = socket.getaddrinfo, threading.Event()

    def stuck(host: str, *rest: object, **more: object) -> object:
        if host == "trust.example":
            ended.wait()
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    ask("https://trust.example:8443")
    ended.set()


def test_the_name_does_not_exist() -> None:
    ask("https://no-such-host.invalid")
