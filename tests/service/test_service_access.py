"""Who may call what: every route against every role, made from the same table that dispatches."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from urllib.parse import urlsplit

import pytest
from tests_support import stored

from trustcenter.client.connection import Connection
from trustcenter.http.routes.table import ROUTES

ROLE_OF = {
    "operator": "operator",
    "north": "site",
    "anna": "approver",
    "clara": "auditor",
    "dora": "steward",
}


def concrete(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda m: {"room": "registrar", "chunk": "0"}.get(m.group(1), "missing"), path)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.roles], ids=lambda r: r.name)
def test_every_role_but_the_granted_ones_is_refused(world, route) -> None:
    path = concrete(route.path)
    without = world["nobody"](route.method, path)
    assert (without.status, without.json["code"]) == (401, "unauthorized")
    for caller, role in ROLE_OF.items():
        answer = world[caller](route.method, path)
        if role in route.roles:
            # Granted: the request itself is empty or names nothing that exists, so it fails later, or succeeds.
            assert answer.status not in (401, 403), (caller, answer.body)
        else:
            assert (answer.status, answer.json["code"]) == (403, "forbidden"), (caller, answer.body)


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer tc1_short", "Basic dTpw", "Bearer tc1_" + "A" * 43, "Bearer " + "x" * 4000, "tc1_" + "A" * 43],
)
def test_wrong_credentials_have_one_answer(world, header: str) -> None:
    answer = world["nobody"]("GET", "/v1/domains", headers={"Authorization": header})
    assert answer.status == 401
    assert answer.json["code"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_revoked_token_is_worthless_at_once(world) -> None:
    operator = world["operator"]
    issued = operator("POST", "/v1/sites/east/tokens", {}).json
    caller = type(world["east"]).__new__(type(world["east"]))
    caller.__dict__ = {**world["east"].__dict__, "_token": issued["token"]}
    assert caller("GET", "/v1/domains").status == 200
    assert operator("DELETE", f"/v1/sites/east/tokens/{issued['token_id']}").status == 204
    assert caller("GET", "/v1/domains").status == 401
    listed = {token["token_id"]: token for token in operator("GET", "/v1/sites/east/tokens").json["tokens"]}
    assert listed[issued["token_id"]]["revoked"] is not None
    with stored(world.live.dir, "registrar") as conn:
        kept = [value for row in conn.execute("SELECT * FROM token").fetchall() for value in row]
    assert issued["token_id"] in kept
    assert not any(issued["token"] in str(value) or value == issued["token"].encode() for value in kept)


def test_a_foreign_domain_is_invisible(world) -> None:
    names = [domain["name"] for domain in world["north"]("GET", "/v1/domains").json["domains"]]
    assert names == ["north"]
    foreign = world["north"]("POST", "/v1/domains/south/pseudonyms", {"originals": ["1"]})
    missing = world["north"]("POST", "/v1/domains/no-such-domain/pseudonyms", {"originals": ["1"]})
    for answer in (foreign, missing):
        assert (answer.status, answer.json["code"]) == (404, "unknown_domain")
    assert {k: v for k, v in foreign.json.items() if k != "request_id"} == {
        k: v for k, v in missing.json.items() if k != "request_id"
    }


def test_an_approver_without_a_personal_key_is_not_added(world) -> None:
    answer = world["operator"]("POST", "/v1/staff", {"name": "emil", "role": "approver"})
    assert (answer.status, answer.json["code"]) == (400, "public_key_needed")


def test_one_personal_key_belongs_to_one_person(world) -> None:
    staff = world["operator"]("GET", "/v1/staff").json["staff"]
    public = next(person["public_key"] for person in staff if person["name"] == "anna")
    answer = world["operator"]("POST", "/v1/staff", {"name": "frieda", "role": "approver", "public_key": public})
    assert (answer.status, answer.json["code"]) == (409, "conflict")


@pytest.mark.parametrize("query", ["dry-run=true", "dry_run=true&dry_run=false", "mode=get"])
def test_a_parameter_that_an_operation_does_not_have_is_refused(world, query: str) -> None:
    """Else a misspelt dry run would be carried out, and a look-up would create."""
    for who, path, body in (
        ("operator", f"/v1/rotations/{'0' * 32}/finalize?{query}", None),
        ("north", f"/v1/domains/north/pseudonyms?{query}", {"originals": ["never sent before"]}),
    ):
        answer = world[who]("POST", path, body)
        assert (answer.status, answer.json["code"], answer.json["where"]) == (400, "invalid_parameter", "query"), path
    assert world["nobody"]("GET", "/healthz?verbose").status == 200  # as probes like it


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/version", "/openapi.json"])
def test_a_probe_may_ask_for_the_header_alone(world, path: str) -> None:
    whole, head = world["nobody"]("GET", path), world["nobody"]("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers[name] == whole.headers[name]
    refused = world["nobody"]("DELETE", path)
    assert (refused.status, set(refused.headers["allow"].split(","))) == (405, {"GET", "HEAD"})
    assert world["north"]("HEAD", "/v1/domains").status == 405  # of nothing else


LENGTH = "Content-Length: 5\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET\r\n\r\n", 400),
        ("GET /version\r\n\r\n", 400),
        (f"POST / HTTP/1.1\r\nHost: x\r\n{LENGTH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (f"POST / HTTP/1.1\r\nHost: x\r\n{LENGTH}Content-Length: 6\r\n\r\n", 400),
        (f"POST /v1/domains/north/validate HTTP/1.1\r\nHost: x\r\nExpect: canary\r\n{LENGTH}\r\n", 417),
    ],
    ids=["no request line", "no version", "a length in two ways", "two lengths", "an expectation"],
)
def test_what_is_refused_before_any_handler_learns_nothing_of_the_program(world, sent: str, status: int) -> None:
    connection = Connection.load(world.live.operator)
    address = urlsplit(connection.url)
    context = ssl.create_default_context(cadata=connection.ca)
    with context.wrap_socket(
        socket.create_connection((address.hostname, address.port)), server_hostname="127.0.0.1"
    ) as s:
        s.sendall(sent.encode())
        response = http.client.HTTPResponse(s)
        response.begin()
        problem = json.loads(response.read())
    assert response.status == problem["status"] == status
    assert problem["code"] == ("unreadable_request" if status == 400 else "unknown_expectation")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Server"] == "trustcenter"
    assert response.headers["X-Request-Id"] == problem["request_id"]
