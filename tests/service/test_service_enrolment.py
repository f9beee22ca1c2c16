"""Enrolment of a practice through a site that sponsors it: codes, rights, and what is kept."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import pytest
from studies_support import make_study
from tests_support import stored

from keys.cards import make_card
from keys.hybrid import RecipientKey
from keys.secretfiles import StudySecret
from keys.shares import make_share, open_share, parse_share
from trustcenter.instance import tls

SECRET = StudySecret.generate("enrolling", 1)


@pytest.fixture(scope="module")
def study(world: Any) -> str:
    body = {
        "name": "enrolling",
        "purpose": "p",
        "permit": "q",
        "schema": "de-person/1",
        "participants": [{"site": "north"}, {"site": "south"}],
        "recipients": [{"name": "dms", "public_key": RecipientKey.generate().public}],
    }
    made = world["operator"]("POST", "/v1/studies", body)
    assert made.status == 201, made.body
    allowed = world["operator"]("POST", "/v1/studies/enrolling/sponsors", {"site": "north", "practices": 4})
    assert allowed.status == 200, allowed.body
    return "/v1/studies/enrolling"


@pytest.fixture(scope="module")
def key() -> RecipientKey:
    return RecipientKey.generate()


@pytest.fixture(scope="module")
def sponsor(world: Any, study: str) -> RecipientKey:
    made = RecipientKey.generate()
    published = world["north"]("PUT", study + "/card", {"card": make_card("north", made).text})
    assert published.status == 200, published.body
    return made


def invite(world: Any, study: str, site: str, **more: Any) -> dict[str, Any]:
    made = world["north"]("POST", study + "/enrolments", {"site": site, "title": "Practice", **more})
    assert made.status == 201, made.body
    found: dict[str, Any] = made.json
    return found


def redeem(world: Any, invited: dict[str, Any], key: RecipientKey) -> Any:
    card = make_card(invited["site"], key).text
    return world["nobody"]("POST", "/v1/enrolments", {"code": invited["code"], "card": card})


def share(world: Any, study: str, sponsor: RecipientKey, site: str, key: RecipientKey, issue: int) -> Any:
    """What a sponsor seals to a practice whose card it compared."""
    to = [make_card(site, key)]
    made = make_share(SECRET, schema="00" * 32, issue=issue, sender="north", key=sponsor, cards=to)
    sent = [{"member": m, "sealed": base64.b64encode(e).decode()} for m, e in made.envelopes.items()]
    body = {"statement": made.statement.decode(), "signature": made.signature, "envelopes": sent}
    return world["north"]("PUT", study + "/secret-share", body)


def caller(world: Any, token: str) -> Any:
    made = type(world["east"]).__new__(type(world["east"]))
    made.__dict__ = {**world["east"].__dict__, "_token": token}
    return made


def test_a_practice_comes_in_and_gets_the_secret_that_only_it_can_open(
    world: Any, study: str, key: Any, sponsor: RecipientKey
) -> None:
    invited = invite(world, study, "praxis-a")
    came = redeem(world, invited, key)
    assert came.status == 201, came.body
    practice = caller(world, came.json["token"])
    participants = practice("GET", study).json["participants"][-2:]
    assert [(one["site"], one["kind"]) for one in participants] == [("praxis-a", "practice"), ("south", "diz")]
    assert practice("GET", study + "/secret-shares").json["shares"] == []

    def own() -> Any:
        listed = world["north"]("GET", study + "/enrolments").json
        assert listed["allowed"] == 4
        (found,) = [e for e in listed["enrolments"] if e["site"] == "praxis-a"]
        return found

    assert (own()["state"], own()["card"], own()["sealed"]) == ("used", make_card("praxis-a", key).fingerprint, False)
    cards = {card["site"]: card["sponsor"] for card in world["south"]("GET", study + "/cards").json["cards"]}
    assert cards == {"north": None, "praxis-a": "north", "south": None}
    put = share(world, study, sponsor, "praxis-a", key, 1)
    assert put.status == 200, put.body
    assert own()["sealed"] is True
    (got,) = practice("GET", study + "/secret-shares").json["shares"]
    opened = open_share(parse_share(got["statement"].encode()), "praxis-a", key, base64.b64decode(got["sealed"]))
    assert opened.material == SECRET.material
    # The comparator takes rows of the new source.
    fingerprint = practice("GET", study).json["fingerprint"]
    opened_upload = practice(
        "POST", study + "/uploads", {"version": 1, "fingerprint": fingerprint, "rows": 22_000, "chunks": 1}
    )
    assert opened_upload.status == 201, opened_upload.body


def test_a_code_is_for_the_practice_that_was_invited(world: Any, study: str, key: Any) -> None:
    invited = invite(world, study, "praxis-a")
    assert redeem(world, {**invited, "site": "south"}, key).json["code"] == "bad_card"
    assert redeem(world, {**invited, "site": "praxis-b"}, key).json["code"] == "bad_card"
    assert redeem(world, invited, key).status == 201, "a wrong card does not use the code up"


def test_the_token_of_a_practice_is_for_studies_only(world: Any, study: str, key: Any) -> None:
    practice = caller(world, redeem(world, invite(world, study, "praxis-a"), key).json["token"])
    refused = practice("POST", "/v1/domains/enrolling.praxis-a/pseudonyms", {"originals": ["1"]})
    assert refused.status in (403, 404)
    assert practice("POST", study + "/enrolments", {"site": "x", "title": "x"}).json["code"] == "not_a_sponsor"


def test_a_code_works_once_even_for_two_at_the_same_time(world: Any, study: str, key: Any) -> None:
    invited = invite(world, study, "praxis-b")
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(redeem(world, invited, key))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status for a in answers) == [201, 403, 403, 403]
    assert redeem(world, invited, key).json["code"] == "invalid_enrolment_code"


def test_a_second_code_replaces_the_first_and_a_used_one_the_credentials(world: Any, study: str, key: Any) -> None:
    first, second = invite(world, study, "praxis-c"), invite(world, study, "praxis-c")
    assert redeem(world, first, key).status == 403
    old = caller(world, redeem(world, second, key).json["token"])
    assert old("GET", study).status == 200
    new = caller(world, redeem(world, invite(world, study, "praxis-c"), key).json["token"])
    assert (old("GET", study).status, new("GET", study).status) == (401, 200)


def test_a_revoked_practice_is_out_at_once(world: Any, study: str, key: Any, sponsor: RecipientKey) -> None:
    invited = invite(world, study, "praxis-c")
    practice = caller(world, redeem(world, invited, key).json["token"])
    path = f"{study}/enrolments/{invited['enrolment']}"
    assert world["south"]("DELETE", path).json["code"] == "unknown_enrolment"
    assert practice("GET", study).status == 200
    assert world["operator"]("DELETE", path).status == 204
    assert practice("GET", study).status == 401
    assert share(world, study, sponsor, "praxis-c", key, 2).json["code"] == "unknown_member"


def test_a_revoked_practice_keeps_no_certificate(world: Any, study: str, key: Any, tmp_path: Path) -> None:
    invited = invite(world, study, "praxis-c")
    assert redeem(world, invited, key).status == 201
    tls.create_peer(tmp_path)
    path = "/v1/sites/praxis-c/certificates"
    bound = world["operator"]("POST", path, {"certificate": (tmp_path / "peer.pem").read_text()})
    assert bound.status == 201, bound.body
    assert world["north"]("DELETE", f"{study}/enrolments/{invited['enrolment']}").status == 204
    assert all(found["revoked"] for found in world["operator"]("GET", path).json["certificates"])


def test_a_code_for_a_name_that_became_another_site_is_worth_nothing(world: Any, study: str, key: Any) -> None:
    invited = invite(world, study, "klinik-neu")
    with stored(world.live.dir, "registrar") as conn:
        known = conn.execute("SELECT 1 FROM site WHERE name = 'klinik-neu'").fetchone()
    assert known is None, "the name is free when the code is made"
    assert world["operator"]("POST", "/v1/sites", {"name": "klinik-neu", "kind": "diz", "title": "A"}).status == 201
    token = world["operator"]("POST", "/v1/sites/klinik-neu/tokens", {}).json["token"]
    answer = redeem(world, invited, key)
    assert (answer.status, answer.json["code"]) == (403, "invalid_enrolment_code")
    assert caller(world, token)("GET", study).json["code"] == "unknown_study", "the site's own token still counts"


def test_codes_of_a_sponsor_that_was_removed_are_worth_nothing(world: Any, key: Any) -> None:
    assert make_study(world, key, "unsponsored", ("north", "south", "east")).status == 201
    path = "/v1/studies/unsponsored"
    assert world["operator"]("POST", path + "/sponsors", {"site": "north", "practices": 1}).status == 200
    invited = invite(world, path, "praxis-late")
    assert world["operator"]("PUT", path + "/lead", {"site": "south"}).status == 200
    body = {"version": 2, "reason": "member_removed", "remove": ["north"]}
    assert world["operator"]("POST", path + "/versions", body).json["version"] == 2
    answer = redeem(world, invited, key)
    assert (answer.status, answer.json["code"]) == (403, "invalid_enrolment_code")


@pytest.mark.parametrize("code", ["tce1-" + "a" * 26, "tce1-" + "7" * 26])
def test_a_wrong_code_says_nothing(world: Any, study: str, key: Any, code: str) -> None:
    answer = redeem(world, {"code": code, "site": "praxis-a"}, key)
    assert (answer.status, answer.json["code"]) == (403, "invalid_enrolment_code")
    assert code.encode() not in answer.body


def test_what_a_sponsor_may_not(world: Any, study: str, key: Any) -> None:
    def create(who: str, site: str) -> str:
        answer = world[who]("POST", study + "/enrolments", {"site": site, "title": "x"})
        return str(answer.json.get("code")) if answer.status >= 400 else "made"

    assert create("south", "praxis-x") == "not_a_sponsor"
    assert create("east", "praxis-x") == "unknown_study"
    assert create("north", "south") == "site_name_taken"
    enrolled = {e["site"] for e in world["north"]("GET", study + "/enrolments").json["enrolments"]}
    while len(enrolled) < 6 and create("north", f"praxis-{len(enrolled)}") == "made":
        enrolled.add(f"praxis-{len(enrolled)}")
    assert create("north", "praxis-beyond") == "not_a_sponsor"
    assert world["south"]("GET", study + "/enrolments").json["enrolments"] == []
    assert len(world["operator"]("GET", study + "/enrolments").json["enrolments"]) >= 4


def test_the_code_is_kept_as_a_hash_and_the_log_has_every_step(world: Any, study: str, key: Any) -> None:
    invited = invite(world, study, "praxis-a")
    token = redeem(world, invited, key).json["token"]
    with stored(world.live.dir, "registrar") as conn:
        kept = [value for table in ("enrolment", "token", "site") for row in conn.execute(f"SELECT * FROM {table}")
                for value in row]  # fmt: skip
    for secret in (invited["code"], token):
        assert not any(secret in str(value) or secret.encode() in (value if isinstance(value, bytes) else b"")
                       for value in kept)  # fmt: skip
    exported = world["clara"]("GET", "/v1/audit/registrar/export")
    text = exported.body.decode()
    for event in ("operator:enrolment:allow", "site:enrolment:create", "practice:enrolment:redeem",
                  "site:secret:share", "site:enrolment:revoke"):  # fmt: skip
        assert event in text, event
    assert invited["code"] not in text
    assert token not in text
    assert SECRET.material.hex() not in text


def test_guessing_is_slowed_down(world: Any, study: str, key: Any) -> None:
    guess = {"code": "tce1-" + "b" * 26, "site": "praxis-a"}
    statuses = [403]
    while statuses[-1] == 403 and len(statuses) < 400:
        statuses.append(redeem(world, guess, key).status)
    assert (statuses[1], statuses[-1]) == (403, 429)
