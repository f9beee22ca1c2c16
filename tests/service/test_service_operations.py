"""Domains that promise more than the ordinary one, and what can be done with their pseudonyms, over HTTPS."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import run_cli, stored

from keys import computed
from keys.passphrase import read_passphrase
from keys.personal import PersonalKey
from keys.store import KeyStore
from trustcenter.client import Connection, TrustCenter
from trustcenter.client.errors import RemoteError
from trustcenter.config import load
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api

_names = itertools.count()
FORMAT = {"prefix": "PSN-", "alphabet": "numbers", "length": 8, "check": "damm"}


def make(world, **options: Any) -> str:
    name = f"ops-{next(_names)}"
    made = world["operator"]("POST", "/v1/domains", {"name": name, "site": "north", **options})
    assert made.status == 201, made.body
    for option, value in options.items():
        assert made.json[option] == value
    return name


def post(world, domain: str, verb: str, body: Any, status: int = 200, **headers: str) -> Any:
    answer = world["north"]("POST", f"/v1/domains/{domain}/{verb}", body, headers=headers)
    assert answer.status == status, answer.body
    return answer.json


def ask(world, domain: str, originals: list[str], **more: Any) -> Any:
    return post(world, domain, "pseudonyms", {"originals": originals, **more})


def codes(answer: Any) -> list[tuple[int, str]]:
    return [(error["index"], error["code"]) for error in answer["errors"]]


def events(world) -> list[Any]:
    return [json.loads(line) for line in world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()]


def entries(world, event: str, domain: str) -> list[dict[str, Any]]:
    found = [entry for line in events(world) if (entry := _entry(line)).get("event") == event]
    return [entry["data"] for entry in found if entry["data"].get("domain") == domain]


def _entry(line: Any) -> dict[str, Any]:
    if isinstance(line, dict) and "event" in line:
        return line
    inner = line.get("entry", line.get("leaf", {})) if isinstance(line, dict) else {}
    return inner if isinstance(inner, dict) else json.loads(inner)


# --- policy -----------------------------------------------------------------------------------------------


def test_an_ordinary_domain_has_the_ordinary_policy(world) -> None:
    shown = world["north"]("GET", "/v1/domains/north").json
    assert (shown["suite"], shown["format"], shown["state"]) == ("computed", None, "open")
    assert (shown["multi"], shown["deletable"], shown["reversible"], shown["expiry_days"]) == (False, False, True, None)


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"suite": "drawn"}, 400, "format_and_suite"),
        ({"format": FORMAT}, 400, "format_and_suite"),
        ({"suite": "drawn", "format": {**FORMAT, "alphabet": "00"}}, 400, "invalid_pseudonym_format"),
        ({"suite": "drawn", "format": {**FORMAT, "check": "luhn"}}, 400, "invalid_body"),
        ({"expiry_days": 0}, 400, "invalid_body"),
        ({"parent": "no-such-domain"}, 404, "unknown_parent"),
        ({"parent": "south"}, 404, "unknown_parent"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(world, options: dict[str, Any], status: int, code: str) -> None:
    answer = world["operator"]("POST", "/v1/domains", {"name": "never", "site": "north", **options})
    assert (answer.status, answer.json["code"]) == (status, code)
    assert world["operator"]("GET", "/v1/domains/never").status == 404


# --- get, validate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"suite": "drawn", "format": FORMAT}, {"expiry_days": 9}, {"reversible": False}]
)
def test_get_makes_nothing(world, options: dict[str, Any]) -> None:
    domain = make(world, **options)
    made = ask(world, domain, ["b", "a", "b"])
    assert made["created"] == 2
    assert made["pseudonyms"][0] == made["pseudonyms"][2] != made["pseudonyms"][1]
    got = ask(world, domain, ["x", "a", "", "b"], mode="get")
    assert got["pseudonyms"] == [None, made["pseudonyms"][1], None, made["pseudonyms"][0]]
    assert codes(got) == [(0, "unknown_original"), (2, "invalid_original")]
    assert got["created"] == 0
    assert ask(world, domain, ["b", "a"])["created"] == 0
    assert world["north"]("GET", f"/v1/domains/{domain}").json["pseudonyms"] == 2


def test_validate_tells_live_mistyped_and_unknown_apart(world) -> None:
    domain = make(world)
    good = ask(world, domain, ["a"])["pseudonyms"][0]
    foreign = ask(world, "north", ["a"])["pseudonyms"][0]
    wrong = good[:-1] + ("0" if good[-1] != "0" else "1")
    answer = post(world, domain, "validate", {"pseudonyms": [wrong, good, foreign, "", "\u00e9" * 28]})
    assert answer["results"] == ["wrong_check_characters", "ok", *["unknown_pseudonym"] * 3]
    logged = entries(world, "site:pseudonym:validate", domain)
    assert [(entry["count"], entry["unresolved"]) for entry in logged] == [(5, 4)]


# --- drawn ------------------------------------------------------------------------------------------------


def test_drawn_pseudonyms_have_their_format_and_are_stored_sealed(world) -> None:
    domain = make(world, suite="drawn", format=FORMAT)
    originals = [f"d-{number}" for number in range(400)]
    made = ask(world, domain, originals)["pseudonyms"]
    assert len(set(made)) == 400
    assert all(len(text) == 13 and text.startswith("PSN-") and text[4:].isdigit() for text in made)
    assert ask(world, domain, originals[::-1])["pseudonyms"] == made[::-1]
    wrong = made[0][:-1] + str((int(made[0][-1]) + 1) % 10)
    checked = post(world, domain, "validate", {"pseudonyms": [made[7], wrong, made[0][:-1]]})["results"]
    assert checked == ["ok", "wrong_check_characters", "unknown_pseudonym"]
    assert post(world, domain, "translate", {"pseudonyms": made})["pseudonyms"] == made
    for path in (world.live.dir / "registrar").iterdir():
        content = path.read_bytes()
        assert not any(text.encode() in content for text in made), path.name


def test_a_drawn_domain_is_not_rotated(world) -> None:
    domain = make(world, suite="drawn", format=FORMAT)
    answer = world["operator"]("POST", f"/v1/domains/{domain}/keys/rotate", {"dry_run": True})
    assert (answer.status, answer.json["code"]) == (403, "not_keyed")


def test_a_format_is_used_up_to_the_half(world) -> None:
    domain = make(world, suite="drawn", format={"prefix": "", "alphabet": "numbers", "length": 2, "check": "none"})
    first = ask(world, domain, [str(number) for number in range(50)])["pseudonyms"]
    assert len(set(first)) == 50
    refused = post(world, domain, "pseudonyms", {"originals": ["one more"]}, status=413)
    assert refused["code"] == "format_exhausted"
    assert ask(world, domain, ["7"])["pseudonyms"] == [first[7]]


# --- several per original ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}])
def test_additional_pseudonyms(world, options: dict[str, Any]) -> None:
    domain = make(world, multi=True, **options)
    (first,) = ask(world, domain, ["a"])["pseudonyms"]
    body = {"originals": ["a", "", "b", "a"], "count": 2}
    made = post(world, domain, "additional", body, **{"Idempotency-Key": "k1"})
    assert codes(made) == [(1, "invalid_original")]
    assert [None if part is None else len(part) for part in made["pseudonyms"]] == [2, None, 2, 2]
    texts = [text for part in made["pseudonyms"] if part for text in part]
    assert len({first, *texts}) == 7
    assert ask(world, domain, ["a", "b"])["pseudonyms"] == [first, made["pseudonyms"][2][0]]
    assert post(world, domain, "translate", {"pseudonyms": texts})["pseudonyms"] == texts


def test_the_same_key_is_answered_the_same_even_after_a_rotation(world) -> None:
    domain = make(world, multi=True)
    body = {"originals": ["a", "b"], "count": 3}
    first = post(world, domain, "additional", body, **{"Idempotency-Key": "once"})
    again = post(world, domain, "additional", body, **{"Idempotency-Key": "once"})
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert world["operator"]("POST", f"/v1/domains/{domain}/keys/rotate", {}).status == 200
    later = post(world, domain, "additional", body, **{"Idempotency-Key": "once"})
    assert first["pseudonyms"] == again["pseudonyms"] == later["pseudonyms"]
    assert later["key_version"] == 1
    assert world["north"]("GET", f"/v1/domains/{domain}").json["pseudonyms"] == 6
    other = {**body, "count": 2}
    assert post(world, domain, "additional", other, status=409, **{"Idempotency-Key": "once"})["code"] == (
        "idempotency_key_reused"
    )
    fresh = post(world, domain, "additional", body, **{"Idempotency-Key": "twice"})
    assert fresh["key_version"] == 2
    assert world["north"]("GET", f"/v1/domains/{domain}").json["pseudonyms"] == 12


@pytest.mark.parametrize("key", ["", "with space", "x" * 201])
def test_additional_pseudonyms_need_a_key(world, key: str) -> None:
    domain = make(world, multi=True)
    answer = post(world, domain, "additional", {"originals": ["a"]}, status=400, **{"Idempotency-Key": key})
    assert answer["code"] == "idempotency_key_needed"


def test_an_ordinary_domain_has_one_pseudonym_per_original(world) -> None:
    answer = post(world, "north", "additional", {"originals": ["a"]}, status=403, **{"Idempotency-Key": "k"})
    assert answer["code"] == "single_domain"


# --- forgetting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["pseudonyms", "originals"])
@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}])
def test_anonymise_keeps_the_pseudonym_and_loses_the_original(world, by: str, options: dict[str, Any]) -> None:
    domain = make(world, **options)
    first, second = ask(world, domain, ["a", "b"])["pseudonyms"]
    named = [first, "unknown"] if by == "pseudonyms" else ["a", "unknown"]
    done = post(world, domain, "anonymise", {by: named})
    assert done["results"] == ["anonymised", None]
    assert codes(done) == [(1, f"unknown_{by[:-1]}")]
    assert done["rows"] == 1
    assert post(world, domain, "validate", {"pseudonyms": [first, second]})["results"] == ["ok", "ok"]
    assert codes(ask(world, domain, ["a"], mode="get")) == [(0, "unknown_original")]
    again, same = ask(world, domain, ["a", "b"])["pseudonyms"]
    assert again != first
    assert same == second
    (entry,) = entries(world, "site:pseudonym:anonymise", domain)
    assert entry["count"] == len(entry["serials"]) == 1


@pytest.mark.parametrize("by", ["pseudonyms", "originals"])
@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}])
def test_delete_makes_unknown(world, by: str, options: dict[str, Any]) -> None:
    domain = make(world, deletable=True, **options)
    first, second = ask(world, domain, ["a", "b"])["pseudonyms"]
    done = post(world, domain, "delete", {by: [first, first] if by == "pseudonyms" else ["a", "a"]})
    assert done["results"] == ["deleted", "deleted"]
    assert done["rows"] == 1
    translated = post(world, domain, "translate", {"pseudonyms": [first, second]})
    assert translated["pseudonyms"] == [None, second]
    assert codes(translated) == [(0, "unknown_pseudonym")]
    assert post(world, domain, "validate", {"pseudonyms": [first, second]})["results"] == ["unknown_pseudonym", "ok"]
    assert codes(post(world, domain, "delete", {by: [first if by == "pseudonyms" else "a"]})) == [
        (0, f"unknown_{by[:-1]}")
    ]
    assert ask(world, domain, ["a"])["pseudonyms"] != [first]
    assert world["north"]("GET", f"/v1/domains/{domain}").json["pseudonyms"] == 2


def test_delete_by_original_takes_all_of_its_pseudonyms_and_by_pseudonym_one(world) -> None:
    domain = make(world, multi=True, deletable=True)
    made = post(world, domain, "additional", {"originals": ["a", "b"], "count": 3}, **{"Idempotency-Key": "k"})
    of_a, of_b = made["pseudonyms"]
    assert post(world, domain, "delete", {"originals": ["a"]})["rows"] == 3
    assert post(world, domain, "delete", {"pseudonyms": [of_b[1]]})["rows"] == 1
    verdicts = post(world, domain, "validate", {"pseudonyms": of_a + of_b})["results"]
    assert verdicts == [*["unknown_pseudonym"] * 3, "ok", "unknown_pseudonym", "ok"]
    repeated = post(world, domain, "additional", {"originals": ["a", "b"], "count": 3}, **{"Idempotency-Key": "k"})
    assert repeated["pseudonyms"] == [None, None]
    assert {code for _, code in codes(repeated)} == {"unknown_pseudonym"}


def test_what_may_not_be_deleted_or_is_not_selected(world) -> None:
    assert post(world, "north", "delete", {"originals": ["a"]}, status=403)["code"] == "not_deletable"
    assert post(world, "north", "anonymise", {}, status=400)["code"] == "one_selection"
    both = {"originals": ["a"], "pseudonyms": ["b"]}
    assert post(world, "north", "anonymise", both, status=400)["code"] == "one_selection"


def found_in(content: bytes, secrets: Iterable[bytes]) -> set[bytes]:
    """The secrets whose first 8 bytes occur in `content`; thousands of them in one pass over it."""
    words = np.lib.stride_tricks.sliding_window_view(np.frombuffer(content, np.uint8), 8)
    starts = np.concatenate([words[at::8].copy().view("<u8")[:, 0] for at in range(8)])
    by_start: dict[int, set[bytes]] = {}
    for secret in secrets:
        by_start.setdefault(int.from_bytes(secret[:8], "little"), set()).add(secret)
    wanted = np.array(sorted(by_start), "<u8")
    there = wanted[np.isin(wanted, starts, kind="sort")]
    return {secret for start in there.tolist() for secret in by_start[start]}


@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}, {"multi": True}])
@pytest.mark.files
def test_deletion_leaves_nothing_in_the_file(world, options: dict[str, Any]) -> None:
    """The bytes of tag, sealed original, nonce and salt are gone from database and write-ahead log."""
    domain = make(world, deletable=True, **options)
    other = make(world)
    originals = [f"secret-{number}" for number in range(3000)]
    made = []
    for start in range(0, 3000, 500):  # two domains in turn, so that pages are split in the middle
        made += ask(world, domain, originals[start : start + 500])["pseudonyms"]
        ask(world, other, originals[start : start + 500])
    database = world.live.dir / "registrar" / "registrar.db"
    conn = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    (row_id,) = conn.execute("SELECT id FROM domain WHERE name = ?", (domain,)).fetchone()
    rows = conn.execute("SELECT nonce, salt, tag, sealed FROM entry WHERE domain = ?", (row_id,)).fetchall()
    boxes = [box for (box,) in conn.execute("SELECT sealed FROM stored_string WHERE domain = ?", (row_id,))]
    conn.close()
    assert len(rows) == 3000
    content = database.read_bytes() + database.with_name("registrar.db-wal").read_bytes()
    secrets = {salt for _, salt, _, _ in rows} | {sealed for _, _, _, sealed in rows}
    assert found_in(content, secrets) == secrets

    assert post(world, domain, "delete", {"pseudonyms": made[:2000]})["rows"] == 2000
    assert post(world, domain, "delete", {"originals": originals[2000:]})["rows"] == 1000
    assert world.live.stop() == 0  # copies the write-ahead log back
    content = b"".join(path.read_bytes() for path in database.parent.iterdir())
    left = found_in(content, {secret for row in rows for secret in (row[0] + row[1], *row[1:])} | set(boxes))
    world.live.start()
    assert not left, f"{len(left)} are still there"
    shown = world["north"]("GET", f"/v1/domains/{domain}").json
    assert shown["pseudonyms"] == 0
    assert sum(entry["count"] for entry in entries(world, "site:pseudonym:delete", domain)) == 3000


# --- import -----------------------------------------------------------------------------------------------


def pairs(*items: tuple[str, str]) -> dict[str, Any]:
    return {"pairs": [{"original": original, "pseudonym": pseudonym} for original, pseudonym in items]}


def test_import_into_a_computed_domain_stands_beside_the_new_pseudonym(world) -> None:
    domain = make(world)
    (new,) = ask(world, domain, ["a"])["pseudonyms"]
    body = pairs(("a", "OLD-1"), ("b", "OLD-2"), ("c", "OLD-2"), ("b", "OLD-3"), ("b", "OLD-2"), ("", "x"), ("d", ""))
    first = post(world, domain, "import", body)
    assert first["results"] == ["imported", "imported", None, None, "present", None, None]
    assert codes(first) == [
        (2, "pseudonym_taken"),
        (3, "original_has_another"),
        (5, "invalid_original"),
        (6, "invalid_pseudonym"),
    ]
    again = post(world, domain, "import", body)
    assert again["results"] == ["present", "present", None, None, "present", None, None]
    assert (first["imported"], again["imported"]) == (2, 0)
    assert ask(world, domain, ["a", "b"])["created"] == 0
    now = ask(world, domain, ["a", "b"])["pseudonyms"]
    assert now[0] == new
    assert post(world, domain, "translate", {"pseudonyms": ["OLD-1", "OLD-2", new]})["pseudonyms"] == [*now, new]
    assert post(world, domain, "validate", {"pseudonyms": ["OLD-1", "OLD-9"]})["results"] == ["ok", "unknown_pseudonym"]
    world["operator"]("POST", f"/v1/domains/{domain}/keys/rotate", {})
    rotated = ask(world, domain, ["a", "b"])["pseudonyms"]
    assert post(world, domain, "translate", {"pseudonyms": ["OLD-1", "OLD-2"]})["pseudonyms"] == rotated
    counts = [(e["count"], e["present"], e["unresolved"]) for e in entries(world, "site:pseudonym:import", domain)]
    assert counts == [(2, 1, 4), (0, 3, 4)]


def test_import_into_a_drawn_domain_is_the_pseudonym(world) -> None:
    domain = make(world, suite="drawn", format={"prefix": "", "alphabet": "numbers", "length": 2, "check": "none"})
    old = [f"{number:02d}" for number in range(25)]
    body = pairs(*((f"p-{text}", text) for text in old))
    assert post(world, domain, "import", body)["imported"] == 25
    assert ask(world, domain, [f"p-{text}" for text in old])["pseudonyms"] == old
    fresh = ask(world, domain, [f"q-{number}" for number in range(25)])["pseudonyms"]
    assert not set(fresh) & set(old)
    conflict = post(world, domain, "import", pairs(("q-0", "99x"), ("r", fresh[0]), ("q-1", fresh[1])))
    assert conflict["results"] == [None, None, "present"]
    assert codes(conflict) == [(0, "original_has_another"), (1, "pseudonym_taken")]


def test_a_live_computed_pseudonym_is_not_imported(world) -> None:
    domain = make(world)
    (own,) = ask(world, domain, ["a"])["pseudonyms"]
    (foreign,) = ask(world, "north", ["a"])["pseudonyms"]
    answer = post(world, domain, "import", pairs(("b", own), ("c", foreign)))
    assert answer["results"] == [None, "imported"]
    assert codes(answer) == [(0, "computed_pseudonym")]
    computed.check(foreign)
    assert (
        post(world, domain, "translate", {"pseudonyms": [foreign]})["pseudonyms"]
        == ask(world, domain, ["c"])["pseudonyms"]
    )


def test_a_deleted_imported_pseudonym_never_comes_back(world) -> None:
    domain = make(world, deletable=True)
    post(world, domain, "import", pairs(("a", "OLD-1")))
    assert post(world, domain, "delete", {"pseudonyms": ["OLD-1"]})["results"] == ["deleted"]
    assert post(world, domain, "validate", {"pseudonyms": ["OLD-1"]})["results"] == ["unknown_pseudonym"]
    assert codes(post(world, domain, "import", pairs(("a", "OLD-1"), ("b", "OLD-1")))) == [
        (0, "pseudonym_taken"),
        (1, "pseudonym_taken"),
    ]


def test_several_imported_pseudonyms_of_one_original(world) -> None:
    domain = make(world, multi=True)
    assert post(world, domain, "import", pairs(("a", "OLD-1"), ("a", "OLD-2")))["imported"] == 2
    new = post(world, domain, "translate", {"pseudonyms": ["OLD-1", "OLD-2"]})["pseudonyms"]
    assert len(set(new)) == 2
    assert ask(world, domain, ["a"])["pseudonyms"] == [new[0]]


# --- parent -----------------------------------------------------------------------------------------------


def test_originals_of_a_child_are_pseudonyms_of_its_parent(world) -> None:
    parent = make(world)
    child = make(world, parent=parent)
    first, second = ask(world, parent, ["a", "b"])["pseudonyms"]
    made = ask(world, child, [first, "a", second])
    assert codes(made) == [(1, "unknown_parent_pseudonym")]
    assert made["created"] == 2
    world["operator"]("POST", f"/v1/domains/{parent}/keys/rotate", {})
    rotated = ask(world, parent, ["a", "b"])["pseudonyms"]
    again = ask(world, child, [rotated[0], rotated[1], first])
    assert again["created"] == 0
    assert again["pseudonyms"] == [made["pseudonyms"][0], made["pseudonyms"][2], made["pseudonyms"][0]]


# --- closing and expiry -----------------------------------------------------------------------------------


def close(world, domain: str, days: int = 30) -> dict[str, Any]:
    """Two people close a domain."""
    proposed = world["operator"]("POST", f"/v1/domains/{domain}/close", {"days": days})
    assert proposed.status == 200, proposed.body
    return approve(world, "anna", domain, proposed.json["statement"])


def approve(world, name: str, domain: str, statement: str, status: int = 200, key: str = "") -> dict[str, Any]:
    signature = PersonalKey.load(world.keys[key or name]).sign("trustcenter/domain-close/1", statement.encode())
    answer = world[name]("POST", f"/v1/domains/{domain}/close/approvals", {"signature": signature})
    assert answer.status == status, answer.body
    body: dict[str, Any] = answer.json
    return body


def connection_of(world, name: str, folder: Path) -> Path:
    from trustcenter.client.connection import Connection

    own = Connection.load(world.live.operator)
    target = folder / f"{name}.toml"
    Connection(url=own.url, ca=own.ca, token=world[name]._token, staff=name).save(target)
    return target


def test_a_proposal_stops_nothing_and_only_its_own_signature_closes(world) -> None:
    domain = make(world)
    path = f"/v1/domains/{domain}/close"
    assert world["anna"]("GET", path).json["code"] == "no_proposal"
    first = world["operator"]("POST", path, {"days": 5}).json
    second = world["operator"]("POST", path, {"days": 6}).json
    assert first["statement"] != second["statement"]
    ask(world, domain, ["a"])
    assert approve(world, "anna", domain, first["statement"], 422)["code"] == "bad_signature"
    assert approve(world, "anna", domain, second["statement"], 422, key="bernd")["code"] == "bad_signature"
    assert world["operator"]("GET", f"/v1/domains/{domain}").json["state"] == "open"
    shown = world["bernd"]("GET", path).json
    assert (shown["statement"], shown["approved_by"]) == (second["statement"], None)
    assert approve(world, "bernd", domain, second["statement"])["state"] == "closing"
    assert world["operator"]("GET", path).json["approved_by"] == "bernd"
    assert approve(world, "anna", domain, second["statement"], 409)["code"] == "domain_closed"
    for name in ("north", "clara", "operator"):
        assert world[name]("POST", path + "/approvals", {"signature": "x"}).status in (403, 404), name
    entries = [
        json.loads(line)["leaf"]
        for line in world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()
        if domain.encode() in line and b":domain:" in line and b'"leaf"' in line
    ]
    done = [(e["event"], e["who"]) for e in entries]
    assert done[-3:] == [
        ("operator:domain:propose", "operator"),
        ("approver:domain:approve", "bernd"),
        ("operator:domain:close", "operator"),
    ]
    assert entries[-1]["data"]["approved_by"] == "bernd"


def test_close_on_the_command_line(world, tmp_path: Path) -> None:
    connect = ("--connect", world.live.operator)
    created = run_cli(
        "domain", "create", "ops-cli", "--site", "north", "--multi", "--deletable", "--alphabet", "symbol32",
        "--length", "8", "--check", "reed-solomon", "--json", *connect,
    )  # fmt: skip
    assert created.returncode == 0, created.stderr
    shown = json.loads(created.stdout)
    assert (shown["suite"], shown["multi"], shown["deletable"]) == ("drawn", True, True)
    assert shown["format"] == {"prefix": "", "alphabet": "symbol32", "length": 8, "check": "reed-solomon"}
    (text,) = ask(world, "ops-cli", ["a"])["pseudonyms"]
    assert run_cli("domain", "close", "ops-cli", *connect).returncode == 1  # nobody to ask
    proposed = run_cli("domain", "close", "ops-cli", "--days", "7", "--yes", *connect)
    assert proposed.returncode == 0, proposed.stderr
    assert json.loads(run_cli("domain", "show", "ops-cli", "--json", *connect).stdout)["state"] == "open"
    approver = connection_of(world, "anna", tmp_path)
    sign = ("domain", "approve-close", "ops-cli", "--key", world.keys["anna"], "--connect", approver)
    assert run_cli(*sign).returncode == 1  # nobody to ask
    closed = run_cli(*sign, "--yes")
    assert closed.returncode == 0, closed.stderr
    assert "keys destroyed after days: 7" in closed.stderr
    assert "closing" in closed.stdout
    assert "closing" in run_cli("domain", "list", *connect).stdout
    assert run_cli("domain", "destroy", "ops-cli", "--yes", *connect).returncode == 1
    assert post(world, "ops-cli", "pseudonyms", {"originals": ["b"]}, status=409)["code"] == "domain_closed"
    assert ask(world, "ops-cli", ["a"], mode="get")["pseudonyms"] == [text]
    assert run_cli("domain", "create", "x", "--site", "north", "--length", "8", *connect).returncode == 1


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("pseudonyms", {"originals": ["a"]}),
        ("additional", {"originals": ["a"]}),
        ("import", pairs(("z", "OLD-1"))),
    ],
)
def test_a_closed_domain_issues_nothing(world, verb: str, body: dict[str, Any]) -> None:
    domain = make(world, multi=True)
    (text,) = ask(world, domain, ["a"])["pseudonyms"]
    assert close(world, domain, 5)["state"] == "closing"
    refused = post(world, domain, verb, body, status=409, **{"Idempotency-Key": "k"})
    assert refused["code"] == "domain_closed"
    assert post(world, domain, "translate", {"pseudonyms": [text]})["pseudonyms"] == [text]
    again = world["operator"]("POST", f"/v1/domains/{domain}/close", {})
    assert (again.status, again.json["code"]) == (409, "domain_closed")
    rotate = world["operator"]("POST", f"/v1/domains/{domain}/keys/rotate", {})
    assert rotate.json["code"] == "domain_closed"
    early = world["operator"]("POST", f"/v1/domains/{domain}/destroy")
    assert (early.status, early.json["code"]) == (409, "not_due")


def test_a_parent_is_closed_after_its_children(world) -> None:
    parent = make(world)
    child = make(world, parent=parent)
    refused = world["operator"]("POST", f"/v1/domains/{parent}/close", {})
    assert (refused.status, refused.json["code"]) == (403, "has_children")
    close(world, child)
    close(world, parent)


def store(directory: Path) -> KeyStore:
    config = load(directory)
    assert config.files.passphrase is not None
    return KeyStore.open(
        config.path(config.files.registrar_keys), read_passphrase(config.path(config.files.passphrase), prompt=False)
    )


async def later(directory: Path, days: int, job: Any = None) -> None:
    """Start the instance with a clock that is ahead, and stop it again."""
    config = load(directory)
    assert config.files.passphrase is not None
    passphrase = read_passphrase(config.path(config.files.passphrase), prompt=False)
    async with open_instance(config, passphrase, lambda: datetime.now(UTC) + timedelta(days=days)) as instance:
        if job is not None:
            await job(instance.registrar)


def keys_of(directory: Path, uuid: str) -> list[str | None]:
    return [entry.destroyed for entry in store(directory).entries() if entry.id.scope == f"domain:{uuid}"]


async def test_the_keys_of_a_closed_domain_are_destroyed_when_due(world) -> None:
    domain = make(world)
    ask(world, domain, ["a"])
    world["operator"]("POST", f"/v1/domains/{domain}/keys/rotate", {})
    (text,) = ask(world, domain, ["a"])["pseudonyms"]
    uuid = close(world, domain, 5)["uuid"]
    assert world.live.stop() == 0
    await later(world.live.dir, 4)
    assert keys_of(world.live.dir, uuid) == [None] * 4
    await later(world.live.dir, 6)
    assert None not in keys_of(world.live.dir, uuid)
    world.live.start()
    shown = world["operator"]("GET", f"/v1/domains/{domain}").json
    assert (shown["state"], shown["key_version"]) == ("closed", 0)
    states = {key["state"] for key in world["operator"]("GET", "/v1/keys").json["keys"] if key["domain"] == domain}
    assert states == {"destroyed"}
    for verb, body in (("translate", {"pseudonyms": [text]}), ("pseudonyms", {"originals": ["a"], "mode": "get"})):
        assert post(world, domain, verb, body, status=409)["code"] == "domain_destroyed"
    assert len(entries(world, "operator:key:destroy", domain)) == 4
    assert len(entries(world, "registrar:domain:destroy", domain)) == 1
    with stored(world.live.dir, "registrar") as conn:
        assert conn.execute("SELECT h FROM domain WHERE name = ?", (domain,)).fetchone() == (b"",)


async def test_a_crash_between_database_and_key_store_is_made_good_at_start(world) -> None:
    from trustcenter.registrar import closing, domains

    domain = make(world)
    ask(world, domain, ["a"])
    uuid = close(world, domain, 300)["uuid"]
    assert world.live.stop() == 0

    async def half(context: Any) -> None:
        await context.db.write(lambda conn: closing.shred(context, conn, domains.find(conn, domain), "service", ""))

    await later(world.live.dir, 0, half)
    assert keys_of(world.live.dir, uuid) == [None] * 3
    world.live.start()
    assert world.live.stop() == 0
    assert None not in keys_of(world.live.dir, uuid)
    world.live.start()
    assert world["operator"]("POST", f"/v1/domains/{domain}/destroy").json["state"] == "closed"


async def test_a_database_from_before_the_destruction_does_not_bring_the_domain_back(world) -> None:
    domain = make(world)
    (text,) = ask(world, domain, ["a"])["pseudonyms"]
    uuid = world["operator"]("GET", f"/v1/domains/{domain}").json["uuid"]
    assert world.live.stop() == 0
    keys = store(world.live.dir)
    keys.destroy([entry.id for entry in keys.entries() if entry.id.scope == f"domain:{uuid}"])
    world.live.start()
    shown = world["operator"]("GET", f"/v1/domains/{domain}").json
    assert (shown["state"], shown["key_version"]) == ("closed", 0)
    assert post(world, domain, "translate", {"pseudonyms": [text]}, status=409)["code"] == "domain_destroyed"
    assert ask(world, "north", ["a"])["errors"] == []


@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}])
async def test_expired_pseudonyms_are_unknown_and_their_originals_get_new_ones(world, options: dict[str, Any]) -> None:
    from trustcenter.auth import Principal
    from trustcenter.registrar.pseudonyms import operations, removal, translate

    domain = make(world, expiry_days=3, **options)
    first, second = ask(world, domain, ["a", "b"])["pseudonyms"]
    assert post(world, domain, "translate", {"pseudonyms": [first]})["pseudonyms"] == [first]
    assert world.live.stop() == 0

    async def job(context: Any) -> None:
        # Put back what the start erased only by its clock: here nothing has expired yet.
        now = context.clock()
        context.clock = lambda: now + timedelta(days=2)
        site = Principal("north", "site", "")
        found = await translate.translate(context, site, "r", domain, [first])
        assert found.pseudonyms == [None]
        checked = await operations.validate(context, site, "r", domain, [first])
        assert checked.results == ["unknown_pseudonym"]
        got = await operations.pseudonymize(
            context, site, "r", domain, api.PseudonymRequest(originals=["a"], mode="get")
        )
        assert got.pseudonyms == [None]
        gone = await removal.anonymise(context, site, "r", domain, api.Selection(originals=["a"]))
        assert gone.results == [None]
        made = await operations.pseudonymize(context, site, "r", domain, api.PseudonymRequest(originals=["a"]))
        assert made.created == 1
        assert made.pseudonyms != [first]
        assert await removal.expire_due(context) == 1  # b; a made room already
        assert await removal.expire_due(context) == 0

    await later(world.live.dir, 2, job)
    world.live.start()
    assert sum(entry["count"] for entry in entries(world, "registrar:pseudonym:expire", domain)) == 2
    assert post(world, domain, "validate", {"pseudonyms": [first, second]})["results"] == ["unknown_pseudonym"] * 2


async def test_the_client_has_every_operation_and_large_batches_are_logged_in_parts(world) -> None:
    operator = Connection.load(world.live.operator)
    site = Connection(url=operator.url, ca=operator.ca, token=world["north"]._token, site="north")
    name = f"ops-{next(_names)}"
    async with TrustCenter(operator) as center:
        made = await center.create_domain(api.DomainCreate(name=name, site="north", multi=True, deletable=True))
        assert (made.multi, made.deletable) == (True, True)
    originals = [f"o-{number}" for number in range(7000)]
    async with TrustCenter(site) as center:
        first = (await center.pseudonymize(name, originals)).pseudonyms
        assert (await center.get_pseudonyms(name, originals[::-1])).pseudonyms == first[::-1]
        more = await center.additional(name, ["o-1"], 2, key="mine")
        assert (await center.additional(name, ["o-1"], 2, key="mine")).pseudonyms == more.pseudonyms
        assert (await center.additional(name, ["o-1"], 2)).repeated is False
        assert (await center.import_pairs(name, [("o-2", "OLD"), ("o-3", "OLD")])).results == ["imported", None]
        assert set((await center.validate(name, [*first, "OLD"])).results) == {"ok"}
        assert (await center.anonymise(name, pseudonyms=["OLD"])).results == ["anonymised"]
        assert (await center.translate(name, ["OLD"])).pseudonyms == [first[2]]
        gone = await center.delete(name, originals=originals)
        assert gone.results == ["deleted", "deleted", None, *["deleted"] * 6997]
        assert gone.rows == 6999 + 4
        assert (await center.validate(name, first)).results.count("ok") == 1
    logged = entries(world, "site:pseudonym:delete", name)
    assert [entry["count"] for entry in logged] == [3000, 3000, 1003]
    assert len({serial for entry in logged for serial in entry["serials"]}) == 7003
    async with TrustCenter(operator) as center:
        proposed = await center.propose_closing(name, days=3)
        assert await center.closing(name) == proposed
        approve(world, "anna", name, proposed.statement)
        closed = await center.domain(name)
        assert closed.state == "closing"
        with pytest.raises(RemoteError) as early:
            await center.destroy_domain(name)
        assert early.value.code == "not_due"


def test_a_batch_has_a_limit(world) -> None:
    domain = make(world, multi=True, deletable=True)
    for verb, body in (
        ("validate", {"pseudonyms": ["x"] * 100_001}),
        ("delete", {"pseudonyms": ["x"] * 100_001}),
        ("anonymise", {"originals": ["x"] * 100_001}),
        ("additional", {"originals": ["x"] * 101, "count": 1000}),
        ("import", {"pairs": [{"original": "x", "pseudonym": "y"}] * 100_001}),
    ):
        answer = post(world, domain, verb, body, status=413, **{"Idempotency-Key": "k"})
        assert answer["code"] == "batch_too_large", verb
    assert (
        post(world, domain, "validate", {"pseudonyms": ["x"] * 100_000})["results"] == ["unknown_pseudonym"] * 100_000
    )


def test_a_foreign_domain_is_invisible_to_every_operation(world) -> None:
    domain = make(world, multi=True, deletable=True)
    for verb, body in (
        ("validate", {"pseudonyms": ["x"]}),
        ("delete", {"pseudonyms": ["x"]}),
        ("anonymise", {"originals": ["x"]}),
        ("additional", {"originals": ["x"]}),
        ("import", pairs(("x", "y"))),
    ):
        answer = world["south"]("POST", f"/v1/domains/{domain}/{verb}", body, headers={"Idempotency-Key": "k"})
        assert (answer.status, answer.json["code"]) == (404, "unknown_domain"), verb
