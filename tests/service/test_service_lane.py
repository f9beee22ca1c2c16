"""The short way of small requests: it answers what aiohttp answers, and keeps its limits."""

from __future__ import annotations

import http.client
import json
import random
import socket
import sqlite3
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from access_support import Center, serving
from tests_support import ON_POSTGRES

from trustcenter.http.lane import Plain, read

SETTINGS = """
[limits]
requests_per_second = 100000
request_burst = 100000
credential_cache = 300.0
idle_timeout = 1.5
read_timeout = 1.0
"""
PATH = "/v1/domains/north/pseudonyms"
VARYING = {"x-request-id", "date", "trust-log-head", "trust-log-entry", "content-length"}


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with serving(tmp_path_factory.mktemp("lane"), SETTINGS) as running:
        running.add_site("north")
        running.add_site("south")
        yield running


class Wire:
    """One connection, byte by byte."""

    def __init__(self, center: Center) -> None:
        raw = socket.create_connection(center.address)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = center.tls().wrap_socket(raw, server_hostname="127.0.0.1")
        self._socket.settimeout(60)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], Any]:
        response = http.client.HTTPResponse(self._socket)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, json.loads(response.read())

    def ended(self) -> bool:
        try:
            return self._socket.recv(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(center: Center) -> Iterator[Wire]:
    made = Wire(center)
    yield made
    made.close()


def request(center: Center, body: Any, *more: str, path: str = PATH, token: str = "north") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = (f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {center.tokens[token]}",
             "Content-Type: application/json", f"Content-Length: {len(data)}", *more)  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def other(center: Center, body: Any, **options: str) -> bytes:
    """The same with a header that the short way does not know: aiohttp answers it."""
    return request(center, body, "X-Anything: 1", **options)


# --- it answers what the other way answers ----------------------------------------------------------------------

BODIES = (
    {"originals": ["a"]},
    {"originals": ["a", "b", "a"]},
    {"originals": []},
    {"originals": ["x" * 300, "a", "", "a\nb"]},
    {"originals": ["Müller-Lüdenscheidt", "💉"]},
    {"originals": ["a"], "mode": "create"},
    {"originals": ["a", "never"], "mode": "get"},
    {"originals": ["a"], "mode": "other"},
    {"originals": ["a"], "unknown": 1},
    {"originals": [str(n) for n in range(20)]},
    {"originals": "a"},
    {"originals": ["\ud800"]},
    b"{",
    b'{"originals":["\xff"]}',
    b"[" * 2000,
    b" ",
)


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_both_ways_give_one_answer(center: Center, wire: Wire, body: Any) -> None:
    plain = request(center, body)
    assert isinstance(read(plain), Plain)
    found = []
    for data in (other(center, body), plain, other(center, body), plain):
        wire.send(data)
        found.append(wire.answer())
        if found[-1][1].get("connection") == "close":
            wire = Wire(center)
    for status, headers, answer in found:
        for name in ("request_id", "created"):
            if isinstance(answer, dict):
                answer.pop(name, None)
        assert (status, answer) == (found[0][0], found[0][2])
        assert {k: v for k, v in headers.items() if k not in VARYING} == {
            k: v for k, v in found[0][1].items() if k not in VARYING
        }
        assert VARYING - {"trust-log-entry"} <= headers.keys()


@pytest.mark.parametrize(("path", "token"), [(PATH, "south"), ("/v1/domains/nowhere/pseudonyms", "north")])
def test_a_foreign_or_missing_domain_is_as_invisible_as_before(
    center: Center, wire: Wire, path: str, token: str
) -> None:
    found = []
    for make in (request, request, other):
        wire.send(make(center, {"originals": ["a"]}, path=path, token=token))
        status, _, answer = wire.answer()
        answer.pop("request_id")
        found.append((status, answer))
    assert found[0] == found[1] == found[2]
    assert found[0][0] == 404


def test_a_new_original_has_its_entry_in_the_log_and_its_line(center: Center, wire: Wire) -> None:
    wire.send(request(center, {"originals": ["warm"]}))
    wire.answer()
    before = center.ask("operator", "GET", "/metrics").body.decode()
    wire.send(request(center, {"originals": ["new-one"]}))
    status, headers, answer = wire.answer()
    assert (status, answer["created"]) == (200, 1)
    assert int(headers["trust-log-entry"]) > 0
    name = 'trustcenter_requests_total{route="/v1/domains/{domain}/pseudonyms",site="north",outcome="200"}'
    assert _count(center.ask("operator", "GET", "/metrics").body.decode(), name) == _count(before, name) + 1
    line = next(line for line in center.log.read_text().splitlines() if headers["x-request-id"] in line)
    assert json.loads(line).items() >= {"route": "/v1/domains/{domain}/pseudonyms", "status": 200}.items()


def _count(page: str, name: str) -> float:
    return next((float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name)), 0.0)


def test_a_revoked_token_is_refused_at_once(center: Center) -> None:
    center.add_site("west")
    wire = Wire(center)
    plain = request(center, {"originals": ["a"]}, path="/v1/domains/west/pseudonyms", token="west")
    for _ in range(3):
        wire.send(plain)
        assert wire.answer()[0] == 200
    tokens = center.ask("operator", "GET", "/v1/sites/west/tokens").json["tokens"]
    for token in tokens:
        center.ask("operator", "DELETE", f"/v1/sites/west/tokens/{token['token_id']}")
    wire.send(plain)
    assert wire.answer()[0] == 401
    wire.close()


def test_a_request_that_goes_both_ways_counts_once_against_the_rate(center: Center) -> None:
    """In a domain with a policy the short way begins each request, and leaves it to the other."""
    center.add_site("east")
    made = {"name": "kept", "site": "east", "expiry_days": 10}
    assert center.ask("operator", "POST", "/v1/domains", made).status == 201
    assert center.ask("operator", "PUT", "/v1/sites/east/limits", {"requests_per_second": 20}).status == 200
    wire = Wire(center)
    plain = request(center, {"originals": ["a"]}, path="/v1/domains/kept/pseudonyms", token="east")
    found = []
    for _ in range(20):
        wire.send(plain)
        found.append(wire.answer()[0])
    wire.close()
    assert found == [200] * 20


# --- one connection, many kinds of requests --------------------------------------------------------------------


def test_requests_of_all_kinds_follow_each_other_on_one_connection(center: Center, wire: Wire) -> None:
    """Whole, in pieces, many at once, for other routes, in random order: each gets its own answer, in order."""
    chosen = random.Random(7)
    number = 0
    for _ in range(40):
        together, wanted = b"", []
        for _ in range(chosen.choice((1, 1, 1, 2, 5))):
            number += 1
            make = chosen.choice((request, request, other))
            together += make(center, {"originals": [f"one-{number}", "a"]})
            wanted.append(f"one-{number}")
        for piece in _pieces(together, chosen.choice((1, 1, 2, 3)), chosen):
            wire.send(piece)
            if chosen.random() < 0.3:
                time.sleep(0.02)
        given = []
        for _ in wanted:
            status, _, answer = wire.answer()
            assert status == 200
            given.append(answer["pseudonyms"])
        again = center.ask("north", "POST", PATH, {"originals": [*wanted, "a"], "mode": "get"}).json["pseudonyms"]
        assert [one for one, _ in given] == again[:-1]
        assert {two for _, two in given} == {again[-1]}
    if chosen.random() < 2:
        wire.send(
            b"GET /v1/domains HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % center.tokens["north"].encode()
        )
        assert wire.answer()[2]["domains"][0]["name"] == "north"


def _pieces(data: bytes, count: int, chosen: random.Random) -> list[bytes]:
    cuts = sorted(chosen.sample(range(1, len(data)), count - 1))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def test_a_head_without_its_body_is_waited_for_and_then_refused_as_ever(center: Center, wire: Wire) -> None:
    whole = request(center, {"originals": ["slow"]})
    head, _, body = whole.partition(b"\r\n\r\n")
    wire.send(head + b"\r\n\r\n")
    time.sleep(0.01)
    wire.send(body)
    assert wire.answer()[0] == 200
    wire.send(head + b"\r\n\r\n" + body[:3])
    status, _, answer = wire.answer()
    assert (status, answer["code"]) == (413, "body_too_slow")


def test_a_body_that_comes_byte_by_byte_has_no_more_patience_than_another(center: Center, wire: Wire) -> None:
    """Each byte that comes would begin the short wait anew; the limit on slow bodies holds all the same."""
    head, _, body = request(center, {"originals": ["x" * 40]}).partition(b"\r\n\r\n")
    wire.send(head + b"\r\n\r\n")
    for place in range(len(body)):  # whole in the end, and 0.8 seconds and more after the limit
        wire.send(body[place : place + 1])
        time.sleep(0.03)
    status, _, answer = wire.answer()
    assert (status, answer["code"]) == (413, "body_too_slow")


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(center: Center, wire: Wire) -> None:
    plain = request(center, {"originals": ["a"]})
    until = time.monotonic() + 2.5  # longer than a connection may be idle
    while time.monotonic() < until:
        time.sleep(0.2)
        last = time.monotonic()
        wire.send(plain)
        assert wire.answer()[0] == 200
    assert wire.ended()
    assert time.monotonic() - last > 1.0


@pytest.mark.skipif(ON_POSTGRES, reason="takes the lock of a file")
def test_a_request_that_would_go_the_other_way_when_the_service_stops_is_told_so(center: Center, wire: Wire) -> None:
    policy = {"name": "oneway", "site": "north", "reversible": False}
    assert center.ask("operator", "POST", "/v1/domains", policy).status == 201
    wire.send(request(center, {"originals": ["a"]}))
    assert wire.answer()[0] == 200
    with closing(sqlite3.connect(center.dir / "registrar" / "registrar.db", isolation_level=None)) as conn:
        conn.execute("BEGIN IMMEDIATE")  # its transaction waits
        wire.send(request(center, {"originals": ["b"]}, path="/v1/domains/oneway/pseudonyms"))
        assert center.ask(None, "GET", "/healthz").status == 200  # it came later: the service has read that request
        center.process.terminate()
        while '"draining"' not in center.log.read_text():
            time.sleep(0.05)
        time.sleep(0.2)
        conn.execute("ROLLBACK")
    status, headers, told = wire.answer()
    assert (status, told["code"], headers["connection"]) == (503, "stopping", "close")
    assert wire.ended()
    assert center.process.wait(60) == 0
    center.start()
