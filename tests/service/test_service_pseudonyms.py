"""Pseudonyms over HTTPS: order, idempotence, durability, rotation, and how bad input is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from keys import computed

CANARY = "CANARY-4711-PATIENT"


def ask(world, site: str, originals: list[str]):
    answer = world[site]("POST", f"/v1/domains/{site}/pseudonyms", {"originals": originals})
    assert answer.status == 200, answer.body
    return answer.json


def test_the_same_original_gives_the_same_pseudonym_in_order(world) -> None:
    first = ask(world, "north", ["a-1", "a-2", "a-1", "a-3"])
    again = ask(world, "north", ["a-3", "a-2", "a-1"])
    assert first["created"] == 3
    assert again["created"] == 0
    assert first["pseudonyms"][0] == first["pseudonyms"][2]
    assert again["pseudonyms"] == [first["pseudonyms"][3], first["pseudonyms"][1], first["pseudonyms"][0]]
    for pseudonym in first["pseudonyms"]:
        computed.check(pseudonym)


def test_two_domains_share_nothing(world) -> None:
    originals = [f"b-{number}" for number in range(500)]
    north, south = ask(world, "north", originals), ask(world, "south", originals)
    assert not set(north["pseudonyms"]) & set(south["pseudonyms"])
    assert len(set(north["pseudonyms"])) == 500


def test_concurrent_requests_for_one_original_agree(world) -> None:
    originals = [f"c-{number % 40}" for number in range(400)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda part: ask(world, "north", part), [originals] * 24))
    assert len({json.dumps(answer["pseudonyms"]) for answer in answers}) == 1
    assert sum(answer["created"] for answer in answers) == 40


def test_acknowledged_pseudonyms_survive_kill_9(world) -> None:
    originals = [f"d-{number}" for number in range(2000)]
    before = ask(world, "south", originals)["pseudonyms"]
    world.live.kill()
    world.live.start()
    after = ask(world, "south", [*originals, "d-new"])
    assert after["pseudonyms"][:-1] == before
    assert after["created"] == 1
    assert after["pseudonyms"][-1] not in before


def test_rotation_translates_and_old_pseudonyms_go_on_resolving(world) -> None:
    operator, north = world["operator"], world["north"]
    originals = [f"e-{number}" for number in range(300)]
    old = ask(world, "north", originals)
    planned = operator("POST", "/v1/domains/north/keys/rotate", {"dry_run": True})
    assert planned.status == 200, planned.body
    plan = planned.json
    assert (plan["state"], plan["from_version"], plan["to_version"]) == ("planned", 1, 2)
    assert ask(world, "north", originals)["pseudonyms"] == old["pseudonyms"]

    done = operator("POST", "/v1/domains/north/keys/rotate", {"expected_version": 1}).json
    assert (done["state"], done["pseudonyms"]) == ("done", plan["pseudonyms"])
    stale = operator("POST", "/v1/domains/north/keys/rotate", {"expected_version": 1})
    assert (stale.status, stale.json["code"]) == (409, "rotation_plan_stale")

    new = ask(world, "north", originals)
    assert new["key_version"] == 2
    assert not set(new["pseudonyms"]) & set(old["pseudonyms"])
    translated = north("POST", "/v1/domains/north/translate", {"pseudonyms": old["pseudonyms"]}).json
    assert translated["pseudonyms"] == new["pseudonyms"]
    assert (
        north("POST", "/v1/domains/north/translate", {"pseudonyms": new["pseudonyms"]}).json["pseudonyms"]
        == (new["pseudonyms"])
    )

    lines = north("GET", "/v1/domains/north/translations?from_version=1").lines
    assert lines[-1] == {"done": True, "count": plan["pseudonyms"]}
    whole = {line["old"]: line["new"] for line in lines[:-1]}
    assert len(whole) == len(set(whole.values())) == plan["pseudonyms"]
    assert [whole[value] for value in old["pseudonyms"]] == new["pseudonyms"]
    again = north("GET", "/v1/domains/north/translations?from_version=1")
    assert again.lines == lines
    assert north("GET", "/v1/domains/north/translations?from_version=2").json["code"] == "unknown_key_version"

    keys = operator("GET", "/v1/keys").json["keys"]
    states = {
        key["version"]: key["state"] for key in keys if key["domain"] == "north" and key["purpose"] == "pseudonym"
    }
    assert states == {1: "suspended", 2: "active"}


def test_forged_foreign_and_mistyped_pseudonyms(world) -> None:
    good = ask(world, "south", ["f-1"])["pseudonyms"][0]
    foreign = ask(world, "north", ["f-1"])["pseudonyms"][0]
    wrong = good[:-1] + ("0" if good[-1] != "0" else "1")
    answer = world["south"](
        "POST", "/v1/domains/south/translate", {"pseudonyms": [good, foreign, wrong, "", "no pseudonym", good.lower()]}
    ).json
    assert answer["pseudonyms"] == [good, None, None, None, None, None]
    assert [error["code"] for error in answer["errors"]] == [
        "unknown_pseudonym",
        "wrong_check_characters",
        "unknown_pseudonym",
        "unknown_pseudonym",
        "unknown_pseudonym",
    ]
    assert not any(value and value in json.dumps(answer["errors"]) for value in (foreign, wrong))


def test_bad_items_are_named_and_the_others_served(world) -> None:
    answer = ask(world, "north", ["g-1", "", "x" * 257, "tab\there", "g-2"])
    assert [error["index"] for error in answer["errors"]] == [1, 2, 3]
    assert {error["code"] for error in answer["errors"]} == {"invalid_original"}
    assert [value is None for value in answer["pseudonyms"]] == [False, True, True, True, False]


def test_a_byte_order_mark_is_no_part_of_a_body(world) -> None:
    """Shells and editors of Windows write one."""
    path, plain = "/v1/domains/north/pseudonyms", {"originals": ["marked"]}
    expected = world["north"]("POST", path, plain).json["pseudonyms"]
    for kind, body in (("application/json", json.dumps(plain)), ("application/x-ndjson", '"marked"\n')):
        answer = world["north"]("POST", path, raw=b"\xef\xbb\xbf" + body.encode(), headers={"Content-Type": kind})
        assert answer.status == 200, answer.body
        found = answer.json["pseudonyms"] if kind == "application/json" else [answer.lines[0]["pseudonym"]]
        assert found == expected


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b'{"originals": ["%s"], "name": "x"}' % CANARY.encode(), {}, 400, "invalid_body"),
        (b'{"originals": [%s]}' % CANARY.encode(), {}, 400, "malformed_json"),
        (b'{"originals": "%s"}' % CANARY.encode(), {}, 400, "invalid_body"),
        (b'{"%s": 1}' % CANARY.encode(), {}, 400, "invalid_body"),
        (b'{"originals": [1]}', {}, 400, "invalid_body"),
        (b"\xff\xfe", {}, 400, "malformed_json"),
        (b"", {}, 400, "malformed_json"),
        (b'{"originals": ' + b"[" * 100_000, {}, 400, "invalid_body"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "wrong_content_type"),
        (b"{}", {"Content-Encoding": "gzip"}, 415, "compressed_body"),
        (b"2\r\n{}\r\n0\r\n\r\n", {"Transfer-Encoding": "gzip, chunked"}, 415, "compressed_body"),
        (b'{"originals": [' + b'"x",' * 100_000 + b'"x"]}', {}, 413, "batch_too_large"),
    ],
    ids=[
        "unknown field", "not JSON", "wrong type", "unknown key only", "number as original", "not UTF-8", "empty",
        "nested", "content type", "compressed", "compressed on its way", "too many items",
    ],
)  # fmt: skip
def test_bad_bodies_are_refused_without_echo(world, body: bytes, headers, status: int, code: str) -> None:
    answer = world["north"](
        "POST", "/v1/domains/north/pseudonyms", raw=body, headers={"Content-Type": "application/json", **headers}
    )
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert CANARY.encode() not in answer.body


def test_a_body_over_the_limit_is_refused_before_it_is_read(world) -> None:
    answer = world["north"](
        "POST",
        "/v1/domains/north/pseudonyms",
        raw=b"",
        headers={"Content-Type": "application/json", "Content-Length": str(10**12)},
    )
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")


def test_unknown_paths_and_methods(world) -> None:
    assert world["north"]("GET", "/v2/anything").json["code"] == "unknown_path"
    wrong = world["north"]("DELETE", "/v1/domains")
    assert (wrong.status, wrong.json["code"]) == (405, "method_not_allowed")
    assert (wrong.json["status"], wrong.json["title"]) == (405, "Method not allowed")
    assert "GET" in wrong.headers["allow"]


def test_no_original_and_no_token_reaches_log_or_database(world) -> None:
    ask(world, "north", [CANARY])
    refused = world["north"]("POST", f"/v1/domains/{CANARY.lower()}/pseudonyms", {"originals": [CANARY]})
    assert refused.status == 404
    text = world.live.log.read_text()
    assert CANARY not in text
    assert CANARY.lower() not in text
    assert "tc1_" not in text
    for path in world.live.dir.rglob("*"):
        if path.is_file() and path.suffix != ".toml":
            assert CANARY.encode() not in path.read_bytes(), path.name
