"""Bad input at the running service: refused before memory is spent, nothing echoed, nobody else kept waiting."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from access_support import Center, answer, head, raw, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trustcenter.http.routes.table import ROUTES

SETTINGS = """
[limits]
body_bytes = 2000000
requests_per_second = 100000
request_burst = 100000
reverse_per_second = 100000
reverse_burst = 100000
failures_per_minute = 100000
connections_per_address = 300
"""
CANARY = "Canary-4711-Müller"
SHAPES: tuple[Any, ...] = (
    CANARY, [CANARY], {CANARY: CANARY}, -(2**70), 1e308, None, True, [[[CANARY]]], CANARY * 3000, "\0" + CANARY,
)  # fmt: skip


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with serving(tmp_path_factory.mktemp("bad"), SETTINGS) as running:
        running.add_site("north")
        running.add_staff("clara", "auditor")
        yield running


def memory(center: Center) -> int:
    """Resident memory of the service, bytes."""
    pages = int(Path(f"/proc/{center.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- no echo, no 500 --------------------------------------------------------------------------------------


def fields_of(route: Any) -> list[str]:
    return [] if isinstance(route.takes, str) or route.takes is None else list(route.takes.__struct_fields__)


def test_a_value_in_any_field_of_any_operation_is_never_echoed(center: Center) -> None:
    """Every field of every body, and the path, the query and headers, filled with what cannot be valid."""
    conn = center.connect()
    asked = 0
    for route in ROUTES:
        if not route.path.startswith("/v1/"):
            continue
        who = "north" if "site" in route.roles else "clara" if "auditor" in route.roles else "operator"
        path = route.path.replace("{domain}", "north").replace("{site}", "north")
        path = path.replace("{", "").replace("}", "")
        strange = route.path.split("{")[0] + CANARY.encode().hex() + "/%C3%BC%00" if "{" in route.path else None
        bodies: list[Any] = [{name: shape} for name in fields_of(route) for shape in SHAPES]
        bodies += [dict.fromkeys(fields_of(route), shape) for shape in SHAPES] if fields_of(route) else []
        bodies += [CANARY, {CANARY: 1}, [CANARY]]
        asks: list[tuple[str, Any]] = [(path, body) for body in bodies]
        asks.append((path + f"?{CANARY.encode().hex()}=1", None))
        for there, body in asks:
            reply = center.ask(who, route.method, there, body, conn=conn)
            asked += 1
            assert reply.status < 500, (route.name, body if len(str(body)) < 200 else "long", reply.body)
            if reply.status >= 400:
                assert CANARY.encode() not in reply.body, route.name
                assert b"-4711" not in reply.body, route.name
        if strange is not None:
            reply = center.ask(who, route.method, strange, None, conn=conn)
            assert reply.status < 500
            assert CANARY.encode().hex().encode() not in reply.body
    conn.close()
    assert asked > 500
    text = center.log.read_text()
    assert "-4711" not in text  # with its hyphen: identifiers and times may hold the digits
    assert CANARY.encode().hex() not in text
    assert '"unexpected"' not in text


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Content-Type", "Accept", "Cookie", "Host",
                                  "X-Forwarded-For", "Content-Encoding", "Expect", "Range", "Upgrade"])  # fmt: skip
def test_a_value_in_any_header_is_never_echoed(center: Center, name: str) -> None:
    value = "Canary-4711-Mueller"
    with raw(center) as sock:
        lines = {"Host": "x", "Authorization": f"Bearer {center.tokens['north']}", "Content-Type": "application/json",
                 "Content-Length": "2", name: value}  # fmt: skip
        text = "".join(f"{key}: {line}\r\n" for key, line in lines.items())
        sock.sendall(f"POST /v1/domains/north/additional HTTP/1.1\r\n{text}\r\n{{}}".encode())
        status, body = answer(sock)
    assert status < 500
    assert value.encode() not in body
    assert value not in center.log.read_text()


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(center: Center) -> None:
    with raw(center) as sock:
        sock.sendall(head(center, "Content-Length: 19", "Expect: 100-continue"))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b'{"originals":["a"]}')
        status, body = answer(sock)
    assert status == 200
    assert json.loads(body)["created"] == 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=400)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
)
def test_any_body_is_refused_in_order(center: Center, body: bytes) -> None:
    with raw(center) as sock:
        sock.sendall(head(center, f"Content-Length: {len(body)}", "Connection: close") + body)
        status, text = answer(sock)
    assert status == 400
    problem = json.loads(text)
    assert problem["code"] in ("malformed_json", "invalid_body", "batch_too_large")
    assert problem.keys() == {"type", "title", "status", "code", "detail", "hint", "request_id", "where"}


def test_bytes_that_are_no_http_are_answered_or_closed(center: Center) -> None:
    for junk in (
        b"\0" * 5000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/sites HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"GET /Canary-4711 HTTP/1.1\r\nHost: x\r\nX: a\r\n\x00b: c\r\n\r\n",
        b"GET /" + b"Canary-4711" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ):  # fmt: skip
        with raw(center) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(junk)
            status, body = answer(sock)
        assert status < 500, junk[:40]
        assert b"Canary-4711" not in body
    assert "Canary-4711" not in center.log.read_text()
    assert center.ask(None, "GET", "/healthz").status == 200


# --- limits before memory ---------------------------------------------------------------------------------


def test_a_body_without_a_length_is_cut_at_the_limit(center: Center) -> None:
    """Chunks without end: refused at 2 MB; what comes after that is read and thrown away, or not read at all."""
    before = memory(center)
    with raw(center) as sock:
        sock.sendall(head(center, "Transfer-Encoding: chunked"))
        part = b'{"originals": ["' + b"x" * 65_000
        with contextlib.suppress(OSError):
            for _ in range(2000):  # 130 MB
                sock.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                part = b"x" * 65_000
        status, body = answer(sock)
    assert status in (0, 413), body
    assert memory(center) - before < 60_000_000


def test_many_large_bodies_at_once_stay_within_bounds(center: Center) -> None:
    before = memory(center)
    body = b'{"originals": [' + b",".join(b'"%040d"' % n for n in range(40_000)) + b"]}"
    statuses: list[int] = []

    def send() -> None:
        with raw(center) as sock:
            sock.sendall(head(center, f"Content-Length: {len(body)}", path="/v1/domains/north/validate") + body)
            statuses.append(answer(sock)[0])

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 12
    assert set(statuses) <= {400, 413, 429, 503}
    assert memory(center) - before < 250_000_000


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Large: " + "a" * 1_000_000],
        [f"X-{number}: a" for number in range(50_000)],
        ["Authorization: Bearer " + "a" * 100_000],
        ["Cookie: " + "; ".join(f"k{n}=v" for n in range(20_000))],
    ],
    ids=["one large", "many", "a large credential", "cookies"],
)
def test_headers_have_limits(center: Center, lines: list[str]) -> None:
    before = memory(center)
    with raw(center) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(head(center, *lines, "Content-Length: 2") + b"{}")
        status, _ = answer(sock)
    assert status in (0, 400, 413, 431)
    assert memory(center) - before < 30_000_000
    assert center.ask(None, "GET", "/healthz").status == 200


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"originals":', b'{"originals":[['])
def test_nesting_has_a_limit(center: Center, opening: bytes) -> None:
    body = opening * (900_000 // len(opening))
    with raw(center) as sock:
        sock.sendall(head(center, f"Content-Length: {len(body)}") + body)
        status, text = answer(sock)
    assert status == 400
    assert json.loads(text)["code"] in ("malformed_json", "invalid_body")
