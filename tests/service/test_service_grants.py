"""Grants on domains, tokens that serve for a part, and translation from one domain into another."""

from __future__ import annotations

from typing import Any

import pytest

from trustcenter.client.connection import Connection


def make(world: Any, name: str, site: str = "north", **policy: Any) -> None:
    made = world["operator"]("POST", "/v1/domains", {"name": name, "site": site, **policy})
    assert made.status == 201, made.body


def issue(world: Any, who: Any, domain: str, originals: list[str], mode: str = "create") -> Any:
    return who("POST", f"/v1/domains/{domain}/pseudonyms", {"originals": originals, "mode": mode})


def grant(world: Any, domain: str, site: str, *operations: str) -> Any:
    body = {"site": site, "operations": list(operations)}
    return world["operator"]("PUT", f"/v1/domains/{domain}/grants", body)


def token(world: Any, site: str, **part: Any) -> Any:
    made = world["operator"]("POST", f"/v1/sites/{site}/tokens", part)
    assert made.status == 201, made.body
    return type(world["north"])(Connection.load(world.live.operator), made.json["token"])


def test_a_grant_opens_exactly_what_was_granted(world: Any) -> None:
    make(world, "shared")
    mine = issue(world, world["north"], "shared", ["a", "b"]).json["pseudonyms"]
    south = world["south"]
    invisible = issue(world, south, "shared", ["a"])
    assert (invisible.status, invisible.json["code"]) == (404, "unknown_domain")

    assert grant(world, "shared", "south", "get", "validate").status == 200
    assert issue(world, south, "shared", ["a"], "get").json["pseudonyms"] == mine[:1]
    refused = issue(world, south, "shared", ["a"])
    assert (refused.status, refused.json["code"]) == (403, "not_granted")
    for path, body in (
        ("translate", {"pseudonyms": mine}),
        ("anonymise", {"pseudonyms": mine}),
        ("delete", {"pseudonyms": mine}),
        ("reidentifications", {"pseudonyms": mine, "reason": "because", "valid_hours": 1}),
    ):
        denied = south("POST", f"/v1/domains/shared/{path}", body)
        assert denied.status in (403, 404), (path, denied.body)
    assert south("POST", "/v1/domains/shared/validate", {"pseudonyms": mine}).json["results"] == ["ok", "ok"]
    assert "shared" in [d["name"] for d in south("GET", "/v1/domains").json["domains"]]
    assert issue(world, world["east"], "shared", ["a"]).status == 404

    shown = world["north"]("GET", "/v1/domains/shared/grants").json["grants"]
    assert shown == [{"site": "south", "operations": ["get", "validate"]}]
    assert south("GET", "/v1/domains/shared/grants").status == 404
    assert grant(world, "shared", "south", "issue").status == 200
    assert issue(world, south, "shared", ["a"]).json["pseudonyms"] == mine[:1]
    assert grant(world, "shared", "south").json == {"grants": []}
    assert issue(world, south, "shared", ["a"], "get").status == 404


def test_what_cannot_be_granted(world: Any) -> None:
    make(world, "kept")
    for body, code in (
        ({"site": "north", "operations": ["get"]}, "not_grantable"),
        ({"site": "south", "operations": ["consent"]}, "not_grantable"),
        ({"site": "south", "operations": ["study"]}, "not_grantable"),
        ({"site": "south", "operations": ["everything"]}, "invalid_body"),
    ):
        refused = world["operator"]("PUT", "/v1/domains/kept/grants", body)
        assert refused.json["code"] == code
    assert world["operator"]("PUT", "/v1/domains/kept/grants", {"site": "nowhere", "operations": []}).status == 404
    assert world["north"]("PUT", "/v1/domains/kept/grants", {"site": "south", "operations": ["get"]}).status == 403


def test_a_token_serves_for_its_part_only(world: Any) -> None:
    make(world, "one")
    make(world, "two")
    part = token(world, "north", domains=["one"], operations=["issue", "get"])
    assert issue(world, part, "one", ["x"]).status == 200
    assert issue(world, part, "two", ["x"]).status == 404
    assert [d["name"] for d in part("GET", "/v1/domains").json["domains"]] == ["one"]
    denied = part("POST", "/v1/domains/one/validate", {"pseudonyms": ["x"]})
    assert (denied.status, denied.json["code"]) == (403, "not_granted")
    assert part("GET", "/v1/studies/none").json["code"] == "not_granted"
    whole = world["north"]
    both = [issue(world, who, "one", ["x"]).json["pseudonyms"] for who in (whole, part)]
    assert both[0] == both[1]
    nothing = token(world, "north", operations=[])
    assert issue(world, nothing, "one", ["x"]).status == 403
    refused = world["operator"]("POST", "/v1/staff/clara/tokens", {"operations": ["get"]})
    assert refused.json["code"] == "scope_of_staff"


@pytest.mark.parametrize("policy", [{}, {"suite": "drawn", "format": {"alphabet": "symbol31", "length": 12}}])
def test_from_one_domain_into_another(world: Any, policy: dict[str, Any]) -> None:
    kind = "drawn" if policy else "computed"
    make(world, f"from-{kind}", deletable=True)
    make(world, f"into-{kind}", **policy)
    north, source, target = world["north"], f"from-{kind}", f"into-{kind}"
    originals = [f"person-{n}" for n in range(40)]
    ours = issue(world, north, source, originals).json["pseudonyms"]
    theirs = issue(world, north, target, originals[:30]).json["pseudonyms"]
    body: dict[str, Any] = {"pseudonyms": [*ours, "nonsense", ours[0]], "into": target}
    answer = north("POST", f"/v1/domains/{source}/translate", body).json
    assert answer["pseudonyms"] == [*theirs, *[None] * 11, theirs[0]]
    codes = {error["index"]: error["code"] for error in answer["errors"]}
    assert codes == {**dict.fromkeys(range(30, 40), "unknown_original"), 40: "unknown_pseudonym"}

    created = north("POST", f"/v1/domains/{source}/translate", {**body, "mode": "create"}).json
    assert created["pseudonyms"][:40] == issue(world, north, target, originals, "get").json["pseudonyms"]
    north("POST", f"/v1/domains/{source}/anonymise", {"pseudonyms": [ours[1]]})
    north("POST", f"/v1/domains/{source}/delete", {"pseudonyms": [ours[2]]})
    gone = north("POST", f"/v1/domains/{source}/translate", {"pseudonyms": ours[:3], "into": target}).json
    assert [error["code"] for error in gone["errors"]] == ["no_original", "unknown_pseudonym"]
    assert gone["pseudonyms"] == [theirs[0], None, None]


def test_translation_into_a_domain_needs_both(world: Any) -> None:
    make(world, "left")
    make(world, "right", site="south")
    make(world, "closed-way", reversible=False)
    ours = issue(world, world["north"], "left", ["a"]).json["pseudonyms"]

    def cross(who: str, source: str, into: str) -> tuple[int, str]:
        answer = world[who]("POST", f"/v1/domains/{source}/translate", {"pseudonyms": ours, "into": into})
        return answer.status, answer.json.get("code", "")

    assert cross("north", "left", "right") == (404, "unknown_domain")
    assert cross("south", "left", "right") == (404, "unknown_domain")
    assert cross("north", "left", "left") == (403, "same_domain")
    assert cross("north", "closed-way", "left") == (403, "not_reversible")
    assert grant(world, "right", "north", "get").status == 200
    assert cross("north", "left", "right") == (200, "")


def test_translation_is_no_way_around_the_grants(world: Any) -> None:
    """Whoever may translate only would learn foreign originals by trying all of them in a domain of its own."""
    make(world, "guarded")
    make(world, "trying", site="south")
    south = world["south"]
    theirs = issue(world, world["north"], "guarded", ["person-7"]).json["pseudonyms"]
    tried = issue(world, south, "trying", [f"person-{n}" for n in range(10)])
    assert tried.status == 200
    body = {"pseudonyms": theirs, "into": "trying"}

    assert grant(world, "guarded", "south", "translate").status == 200
    refused = south("POST", "/v1/domains/guarded/translate", body)
    assert (refused.status, refused.json["code"]) == (403, "not_granted")
    assert south("POST", "/v1/domains/guarded/translate", {"pseudonyms": theirs}).json["pseudonyms"] == theirs
    assert grant(world, "guarded", "south", "get").status == 200
    refused = south("POST", "/v1/domains/guarded/translate", body)
    assert (refused.status, refused.json["code"]) == (403, "not_granted")
    # Who may look up, too, can try originals without any translation.
    assert grant(world, "guarded", "south", "translate", "get").status == 200
    assert south("POST", "/v1/domains/guarded/translate", body).json["pseudonyms"] == [tried.json["pseudonyms"][7]]


def test_no_original_is_carried_into_another_house(world: Any) -> None:
    make(world, "house-north")
    make(world, "house-north-2")
    make(world, "house-south", site="south")
    ours = issue(world, world["north"], "house-north", ["only-north-knows"]).json["pseudonyms"]

    def create(who: str, into: str) -> Any:
        body = {"pseudonyms": ours, "into": into, "mode": "create"}
        return world[who]("POST", "/v1/domains/house-north/translate", body)

    assert grant(world, "house-south", "north", "issue", "get").status == 200
    assert grant(world, "house-north", "south", "translate", "get").status == 200
    for who in ("north", "south"):
        refused = create(who, "house-south")
        assert (refused.status, refused.json["code"]) == (403, "foreign_target")
    known = issue(world, world["south"], "house-south", ["only-north-knows"], "get").json
    assert known["errors"][0]["code"] == "unknown_original"
    # Within one house it can be granted to another one.
    assert create("south", "house-north-2").json["code"] == "unknown_domain"
    assert grant(world, "house-north-2", "south", "issue").status == 200
    made = create("south", "house-north-2")
    assert (made.status, made.json["created"]) == (200, 1)
    assert (
        issue(world, world["north"], "house-north-2", ["only-north-knows"]).json["pseudonyms"]
        == made.json["pseudonyms"]
    )


def test_the_list_of_tokens_says_their_part(world: Any) -> None:
    token(world, "east", domains=["b", "a"], operations=["issue"])
    listed = world["operator"]("GET", "/v1/sites/east/tokens").json["tokens"]
    parts = sorted([(t["domains"], t["operations"]) for t in listed], key=str)
    assert parts == [(None, None), (["a", "b"], ["issue"])]
