"""Batches as lines: NDJSON in, NDJSON out, in order, a result or an error per item."""

from __future__ import annotations

import json
from typing import Any

import pytest

KIND = {"Content-Type": "application/x-ndjson"}


def send(world: Any, path: str, items: list[Any], who: str = "north") -> Any:
    raw = b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in items)
    return world[who]("POST", path, raw=raw, headers=KIND)


def test_lines_give_what_a_list_gives(world: Any) -> None:
    path = "/v1/domains/north/pseudonyms"
    items = [f"line-{n}" for n in range(25_000)]
    items[12_345] = ""
    answer = send(world, path, items)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    *lines, end = answer.lines
    assert end == {"done": True, "count": 25_000}
    assert lines[12_345]["error"] == "invalid_original"
    listed = world["north"]("POST", path, {"originals": items[:2000], "mode": "get"}).json["pseudonyms"]
    assert [line["pseudonym"] for line in lines[:2000]] == listed

    got = send(world, path + "?mode=get", ["line-1", "never seen"]).lines
    assert got == [
        {"pseudonym": listed[1]},
        {"error": "unknown_original", "hint": got[1]["hint"]},
        {"done": True, "count": 2},
    ]
    valid = send(world, "/v1/domains/north/validate", [listed[0], "nonsense"]).lines
    assert [line.get("result") for line in valid] == ["ok", "unknown_pseudonym", None]
    same = send(world, "/v1/domains/north/translate", listed[:2]).lines
    assert [line["pseudonym"] for line in same[:2]] == listed[:2]
    assert send(world, path, []).lines == [{"done": True, "count": 0}]


@pytest.mark.parametrize(
    ("path", "raw", "status", "code"),
    [
        ("pseudonyms", b'"a"\n{"original": "b"}\n', 400, "malformed_line"),
        ("pseudonyms", b'"CANARY-broken\n', 400, "malformed_line"),
        ("pseudonyms", b'"\xff"\n', 400, "malformed_line"),
        ("pseudonyms?mode=maybe", b'"a"\n', 400, "invalid_parameter"),
        ("pseudonyms?colour=red", b'"a"\n', 400, "invalid_parameter"),
        ("pseudonyms?mode=get&mode=create", b'"a"\n', 400, "invalid_parameter"),
        ("pseudonyms?originals=a", b'"a"\n', 400, "invalid_parameter"),
        ("pseudonyms", b'"a"\n' * 100_001, 413, "batch_too_large"),
        ("close", b'"a"\n', 415, "wrong_content_type"),
    ],
)
def test_bad_lines(world: Any, path: str, raw: bytes, status: int, code: str) -> None:
    who = "operator" if path == "close" else "north"
    answer = world[who]("POST", f"/v1/domains/north/{path}", raw=raw, headers=KIND)
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert b"CANARY" not in answer.body


def test_a_foreign_domain_is_a_status_and_not_a_line(world: Any) -> None:
    answer = send(world, "/v1/domains/south/pseudonyms", ["a"])
    assert (answer.status, answer.json["code"]) == (404, "unknown_domain")
