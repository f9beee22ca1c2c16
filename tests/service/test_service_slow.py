"""Slow clients: given up in time, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator

import pytest
from access_support import Center, head, raw, serving

SETTINGS = """
[limits]
requests_per_second = 100000
request_burst = 100000
new_per_day = 1000000
connections_per_address = 300
handshake_timeout = 1.5
idle_timeout = 2.0
read_timeout = 1.5
write_timeout = 1.5
"""
PATIENCE = 40.0  # seconds: above all of these by far, and below the time that what drips here takes to its end


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with serving(tmp_path_factory.mktemp("slow"), SETTINGS) as running:
        for site in ("north", "south"):
            running.add_site(site)
        yield running


def until_closed(sock: socket.socket, feed: bytes = b"", *, word: bytes | None = None) -> bytes:
    """What the other side says until it closes or has said a word, while one byte of `feed` is sent every 0.2 s."""
    started, position, said = time.monotonic(), 0, b""
    sock.settimeout(0.2)
    while time.monotonic() - started < PATIENCE:
        try:
            if position < len(feed):
                sock.sendall(feed[position : position + 1])
                position += 1
            if (part := sock.recv(4096)) == b"":
                return said
            said += part
            if word is not None and word in said:
                return said
        except TimeoutError:
            continue
        except OSError:
            return said
    pytest.fail(f"still open after {PATIENCE} s")


def test_a_handshake_that_never_comes_is_given_up(center: Center) -> None:
    began = time.monotonic()
    with socket.create_connection(center.address) as sock:
        until_closed(sock)
    assert time.monotonic() - began > 1.0


@pytest.mark.parametrize(
    "feed", [b"", b"GET /v1/domains HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 250], ids=["silent", "dripping"]
)
def test_a_header_that_does_not_arrive_is_given_up(center: Center, feed: bytes) -> None:
    began = time.monotonic()
    with raw(center) as sock:
        until_closed(sock, feed)
    assert time.monotonic() - began > 1.0


@pytest.mark.parametrize("feed", [b"", b"x" * 500], ids=["silent", "dripping"])
def test_a_body_that_does_not_arrive_is_given_up(center: Center, feed: bytes) -> None:
    began = time.monotonic()
    with raw(center) as sock:
        sock.sendall(head(center, "Content-Length: 550") + b'{"originals": ["')
        assert b"body_too_slow" in until_closed(sock, feed, word=b"body_too_slow")
    assert time.monotonic() - began > 1.0


def test_slow_clients_by_the_hundred_keep_nobody_waiting(center: Center) -> None:
    """Some in the middle of a header, some of a body; others go on being served, before those are given up in turn."""
    held: list[ssl.SSLSocket] = []
    starts = (b"GET /v1/domains HTTP/1.1\r\nHost: x\r\nX-Slow: a", head(center, "Content-Length: 5000") + b"{")
    try:
        for number in range(120):
            sock = raw(center)
            sock.sendall(starts[number % 2])
            held.append(sock)
        conn = center.connect()
        for number in range(20):
            assert center.issue("north", 10_000 + number, 1, conn=conn).status == 200
        conn.close()
        for sock in held:  # every one of them is given up: told so, or closed
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert sock.recv(4096)[:12] in (b"HTTP/1.1 413", b"")
    finally:
        for sock in held:
            sock.close()


def test_clients_that_do_not_read_do_not_keep_the_long_reads(center: Center) -> None:
    assert center.issue("south", 0, 100_000).json["created"] == 100_000
    assert center.ask("operator", "POST", "/v1/domains/south/keys/rotate", {}).status == 200
    path = "/v1/domains/south/translations?from_version=1"
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {center.tokens['south']}\r\n\r\n".encode()
    held = []
    try:
        for _ in range(10):
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect(center.address)
            sock = center.tls().wrap_socket(plain, server_hostname="127.0.0.1")
            sock.sendall(request)
            held.append(sock)
        deadline = time.monotonic() + 120
        while (reply := center.ask("south", "GET", path)).status != 200:
            assert reply.status in (429, 503)
            assert time.monotonic() < deadline, "long reads stay blocked"
            time.sleep(0.5)
        assert json.loads(reply.body.splitlines()[-1]) == {"done": True, "count": 100_000}
    finally:
        for sock in held:
            sock.close()
