"""What a withdrawal leaves behind: a tombstone that survives, a log that tells of it, no original, a clean instance."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from access_support import Center, Reply
from tests_support import YEAR, run_cli, stored

from trustcenter.registrar.consents.consent import COMMITMENT

ORIGINAL = "KANARIENVOGEL-4711"


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory):
    center = Center(tmp_path_factory.mktemp("consent"), "")
    center.add_site("north")
    center.add_staff("clara", "auditor")
    options = {"multi": True, "consent": ["3"]}
    assert center.ask("operator", "POST", "/v1/domains", {"name": "research", "site": "north", **options}).status == 201
    yield center
    if center.process.poll() is None:
        assert center.stop() == 0


def send(center: Center, *items: dict[str, Any]) -> Any:
    reply = center.ask("north", "POST", "/v1/domains/research/consents", {"items": list(items)})
    assert reply.status == 200, reply.body
    return reply.json


def permit(original: str, date: str = f"{YEAR}-05-01") -> dict[str, Any]:
    return {"original": original, "date": date, "policies": [{"code": "3"}]}


def withdraw(original: str, date: str = f"{YEAR}-06-01") -> dict[str, Any]:
    return {"original": original, "date": date, "withdraw": True}


def issue(center: Center, *originals: str) -> Any:
    return center.ask("north", "POST", "/v1/domains/research/pseudonyms", {"originals": list(originals)}).json


def refused(answer: Any) -> list[str]:
    return [error["code"] for error in answer["errors"]]


def further(center: Center, key: str, originals: list[str]) -> Reply:
    """Additional pseudonyms under an idempotency key."""
    conn = center.connect()
    try:
        headers = {
            "Authorization": f"Bearer {center.tokens['north']}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        body = json.dumps({"originals": originals, "count": 2})
        conn.request("POST", "/v1/domains/research/additional", body, headers)
        response = conn.getresponse()
        return Reply(response.status, {}, response.read())
    finally:
        conn.close()


def test_the_tombstone_survives_restarts_and_kills(center: Center) -> None:
    send(center, permit(ORIGINAL), permit("2"))
    first = issue(center, ORIGINAL, "2")["pseudonyms"]
    assert None not in first
    assert send(center, withdraw(ORIGINAL))["removed"] == 1
    for end in (center.kill, center.stop):
        end()
        center.start()
        assert refused(issue(center, ORIGINAL)) == ["consent_withdrawn"]
        assert issue(center, "2")["pseudonyms"] == first[1:]
        assert send(center, permit(ORIGINAL))["results"] == ["withdrawn"]


def test_further_pseudonyms_and_imports_are_refused_too(center: Center) -> None:
    send(center, permit("m1"), permit("m2"), permit("m3"), withdraw(ORIGINAL))
    answer = further(center, "key-1", ["m1", ORIGINAL, "m2", "nobody"]).json
    assert refused(answer) == ["consent_withdrawn", "consent_missing"]
    one, none, two, nobody = answer["pseudonyms"]
    assert (none, nobody) == (None, None)
    assert len({*one, *two}) == 4

    # Withdrawn and permitted in the meantime: a repetition never gives one person's pseudonyms to another.
    assert send(center, withdraw("m1"), permit("nobody"))["removed"] == 2
    again = further(center, "key-1", ["m1", ORIGINAL, "m2", "nobody"]).json
    assert again["repeated"] is True
    assert again["pseudonyms"] == [None, None, two, None]
    assert refused(again) == ["consent_withdrawn", "consent_withdrawn", "unknown_pseudonym"]

    pairs = [{"original": original, "pseudonym": f"OLD-{original}"} for original in ("m1", "m3", "stranger")]
    imported = center.ask("north", "POST", "/v1/domains/research/import", {"pairs": pairs}).json
    assert imported["results"] == [None, "imported", None]
    assert refused(imported) == ["consent_withdrawn", "consent_missing"]
    assert send(center, withdraw("m3"))["removed"] == 1
    path = "/v1/domains/research/validate"
    assert center.ask("north", "POST", path, {"pseudonyms": ["OLD-m3", one[0], two[0]]}).json["results"] == [
        "unknown_pseudonym",
        "unknown_pseudonym",
        "ok",
    ]


def test_the_log_tells_of_each_withdrawal_and_of_no_person(center: Center, tmp_path: Path) -> None:
    before = len(center.log_entries("clara"))
    send(center, permit("log-1"), permit("log-2"))
    issue(center, "log-1")
    assert send(center, withdraw("log-1"), withdraw("log-2"), permit("log-3"))["withdrawn"] == 2
    issue(center, "log-1", "log-3", "log-4")
    center.ask("north", "POST", "/v1/domains/research/consents/query", {"originals": ["log-1"]})
    entries = center.log_entries("clara")[before:]
    events = [entry["event"] for entry in entries if entry["event"] != "auditor:log:export"]
    assert events == [
        "site:consent:record",
        "site:pseudonym:issue",
        "site:pseudonym:delete",
        "site:consent:withdraw",
        "site:consent:withdraw",
        "site:consent:record",
        "site:pseudonym:refused",
        "site:pseudonym:issue",
        "site:consent:query",
    ]
    by_event = {entry["event"]: entry for entry in entries}
    taken = by_event["site:consent:record"]["data"]
    assert (taken["count"], taken["changed"], taken["withdrawn"], taken["permitted"], taken["removed"]) == (
        3,
        3,
        2,
        1,
        1,
    )
    assert by_event["site:pseudonym:refused"]["data"]["consent"] == {"withdrawn": 1, "missing": 1}
    assert center.verify_log("clara", tmp_path / "log").returncode == 0

    # The commitments open with the salts that the database keeps, and only with them.
    said = {entry["data"]["commitment"] for entry in entries if entry["event"] == "site:consent:withdraw"}
    with stored(center.dir, "registrar") as conn:
        (uuid,) = conn.execute("SELECT uuid FROM domain WHERE name = 'research'").fetchone()
        found = conn.execute("SELECT tag, salt FROM consent_salt").fetchall()
    opened = {hmac.new(salt, COMMITMENT + bytes.fromhex(uuid) + tag, "sha256").hexdigest() for tag, salt in found}
    assert len(said) == 2
    assert said <= opened


def test_nothing_of_it_is_an_original_and_the_instance_is_sound(center: Center) -> None:
    send(center, permit(ORIGINAL))
    issue(center, ORIGINAL)
    send(center, withdraw(ORIGINAL))
    assert center.stop() == 0
    for path in center.dir.rglob("*"):
        if path.is_file():
            assert ORIGINAL.encode() not in path.read_bytes(), path.name
    assert ORIGINAL not in center.log.read_text()
    done = run_cli("fsck", center.dir, "--passphrase-file", center.dir / "passphrase")
    assert done.returncode == 0, done.stdout + done.stderr
    center.start()
    assert refused(issue(center, ORIGINAL)) == ["consent_withdrawn"]
