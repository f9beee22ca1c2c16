"""Who may call what: every route against every role, made from the same table that dispatches."""

from __future__ import annotations

import re

import pytest
from tests_support import stored

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
