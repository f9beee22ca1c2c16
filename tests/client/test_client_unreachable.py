"""A service that does not answer is reported within five seconds, whatever the reason."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import trustme

from trustcenter.client import Connection, TrustCenter, UnreachableError
from trustcenter.errors import exit_code

CA = trustme.CA().cert_pem.bytes().decode()


def ask(url: str) -> float:
    """Seconds until the error, closing of the event loop included."""
    connection = Connection(url=url, ca=CA, token="tc1_x", site="north")

    async def job() -> None:
        async with TrustCenter(connection) as center:
            await center.domain("north")

    started = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        asyncio.run(job())
    assert (caught.value.code, exit_code(caught.value)) == ("unreachable", 2)
    assert caught.value.hint
    return time.monotonic() - started


def test_nothing_listens() -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert ask(f"https://127.0.0.1:{port}") < 5.0


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


def test_the_handshake_never_ends(silent: int) -> None:
    assert ask(f"https://127.0.0.1:{silent}") < 5.5


def test_the_name_server_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def stuck(host: str, *rest: object, **more: object) -> object:
        if host == "trust.example":
            time.sleep(20)
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    assert ask("https://trust.example:8443") < 5.5


def test_the_name_does_not_exist() -> None:
    assert ask("https://no-such-host.invalid") < 5.5
