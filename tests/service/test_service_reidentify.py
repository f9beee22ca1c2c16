"""Originals only under dual control: every refusal over HTTPS, and what the log says of a release."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from tests_support import everything, stored

from keys.personal import PersonalKey
from trustcenter.messages import reidentification as wire

REASON = "incidental finding, vote 7/26"


def pseudonyms(world: Any, site: str, originals: list[str]) -> list[str]:
    answer = world[site]("POST", f"/v1/domains/{site}/pseudonyms", {"originals": originals})
    assert answer.status == 200, answer.body
    return list(answer.json["pseudonyms"])


def ask(world: Any, site: str, values: list[str], **more: Any) -> dict[str, Any]:
    body = {"pseudonyms": values, "reason": REASON, **more}
    answer = world[site]("POST", f"/v1/domains/{site}/reidentifications", body)
    assert answer.status == 201, answer.body
    return dict(answer.json)


def sign(world: Any, who: str, statement: str, context: str = wire.CONTEXT) -> str:
    return PersonalKey.load(world.keys[who]).sign(context, statement.encode())


def approve(world: Any, who: str, made: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/reidentifications/{made['reidentification']}/approvals"
    answer = world[who]("POST", path, {"signature": sign(world, who, made["statement"])})
    assert answer.status == 200, answer.body
    return dict(answer.json)


def fetch(world: Any, site: str, ident: str, values: list[str], domain: str | None = None) -> Any:
    return world[site](
        "POST", f"/v1/domains/{domain or site}/reidentifications/{ident}/originals", {"pseudonyms": values}
    )


def refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code), answer.body


def entries(world: Any, event: str) -> list[dict[str, Any]]:
    lines = world["clara"]("GET", "/v1/audit/registrar/export").lines
    return [line["leaf"] for line in lines if line.get("leaf", {}).get("event") == event]


def test_a_request_an_approval_and_the_originals_in_order(world) -> None:
    originals = [f"a-{number}" for number in range(5)]
    values = pseudonyms(world, "north", originals)
    made = ask(world, "north", values)
    assert (made["state"], made["pseudonyms"], made["approvals"], made["required"]) == ("requested", 5, [], 1)
    ticket = approve(world, "anna", made)
    assert (ticket["state"], ticket["approvals"], ticket["salt"]) == ("approved", ["anna"], None)
    asked = [values[3], values[0], values[3], values[4]]
    answer = fetch(world, "north", made["reidentification"], asked)
    assert answer.status == 200, answer.body
    assert answer.json["originals"] == ["a-3", "a-0", "a-3", "a-4"]
    assert answer.json["errors"] == []
    assert answer.json["fetches_left"] == made["fetches_left"] - 1


def test_the_statement_says_what_is_signed_and_hides_the_pseudonyms(world) -> None:
    values = pseudonyms(world, "north", ["b-1", "b-2"])
    made = ask(world, "north", [*values, values[0]], valid_hours=3)
    salt = bytes.fromhex(made["salt"])
    domain = world["north"]("GET", "/v1/domains/north").json
    version = world["operator"]("GET", "/version").json
    assert made["statement"] == (
        f"trustcenter/reidentify/1\ninstance: {version['instance']}\nreidentification: {made['reidentification']}\n"
        f"domain: north {domain['uuid']}\nsite: north\nreason: {REASON}\npseudonyms: 2\n"
        f"digest: {wire.digest(salt, reversed(values))}\nsignatures: 1\nfetches: 5\n"
        f"open until: {made['expires']}\nvalid: 3 hours from the last signature\n"
    )
    assert ask(world, "north", values)["statement"] != made["statement"]
    path = f"/v1/reidentifications/{made['reidentification']}"
    for caller in ("anna", "operator", "north"):
        seen = world[caller]("GET", path).json
        assert seen["salt"] is None
        assert not any(value in json.dumps(seen) for value in values)


def test_without_a_signature_there_is_no_ticket(world) -> None:
    values = pseudonyms(world, "north", ["c-1"])
    made = ask(world, "north", values)
    refused(fetch(world, "north", made["reidentification"], values), 403, "ticket_needed")
    refused(fetch(world, "north", "0" * 32, values), 403, "ticket_needed")
    assert values[0] not in json.dumps(entries(world, "site:reidentification:refused"))


def test_nobody_but_an_approver_approves(world) -> None:
    made = ask(world, "north", pseudonyms(world, "north", ["d-1"]))
    path = f"/v1/reidentifications/{made['reidentification']}/approvals"
    body = {"signature": sign(world, "anna", made["statement"])}
    for caller in ("north", "operator", "clara", "dora"):
        refused(world[caller]("POST", path, body), 403, "forbidden")
    assert world["north"]("GET", path.removesuffix("/approvals")).json["state"] == "requested"


def test_signatures_that_are_not_the_approvers_own_over_this_statement(world) -> None:
    values = pseudonyms(world, "north", ["e-1"])
    made, other = ask(world, "north", values), ask(world, "north", values)
    path = f"/v1/reidentifications/{made['reidentification']}/approvals"
    for signature in (
        sign(world, "bernd", made["statement"]),  # another approver's
        sign(world, "anna", other["statement"]),  # of another request
        sign(world, "anna", made["statement"], "trustcenter/release/1"),  # of another kind
        sign(world, "anna", made["statement"].replace(REASON, "another reason")),
        PersonalKey.generate().sign(wire.CONTEXT, made["statement"].encode()),
        "A" * 86,
        "no signature",
    ):
        refused(world["anna"]("POST", path, {"signature": signature}), 422, "bad_signature")
    refused(fetch(world, "north", made["reidentification"], values), 403, "ticket_needed")
    logged = [
        entry
        for entry in entries(world, "approver:reidentification:refused")
        if entry["data"]["reidentification"] == made["reidentification"]
    ]
    assert len(logged) == 7


def test_a_denial_is_final_and_a_ticket_can_be_taken_back(world) -> None:
    values = pseudonyms(world, "north", ["f-1"])
    denied, taken = ask(world, "north", values), ask(world, "north", values)
    approve(world, "anna", taken)
    for made in (denied, taken):
        path = f"/v1/reidentifications/{made['reidentification']}"
        answer = world["bernd"]("POST", f"{path}/denials", {"reason": "no vote"})
        assert (answer.json["state"], answer.json["denied_by"], answer.json["denial"]) == ("denied", "bernd", "no vote")
        refused(fetch(world, "north", made["reidentification"], values), 403, "ticket_needed")
        late = world["anna"]("POST", f"{path}/approvals", {"signature": sign(world, "anna", made["statement"])})
        refused(late, 409, "reidentification_closed")
        refused(world["anna"]("POST", f"{path}/denials", {"reason": "again"}), 409, "reidentification_closed")
        refused(world["north"]("POST", f"{path}/denials", {"reason": "mine"}), 403, "forbidden")


def test_only_pseudonyms_of_the_ticket(world) -> None:
    inside, outside = pseudonyms(world, "north", ["g-1", "g-2"])
    foreign = pseudonyms(world, "south", ["g-1"])[0]
    wrong = inside[:-1] + ("0" if inside[-1] != "0" else "1")
    made = ask(world, "north", [inside])
    approve(world, "anna", made)
    answer = fetch(world, "north", made["reidentification"], [outside, inside, foreign, wrong, "nonsense"])
    assert answer.json["originals"] == [None, "g-1", None, None, None]
    assert [(error["index"], error["code"]) for error in answer.json["errors"]] == [
        (0, "not_in_ticket"),
        (2, "not_in_ticket"),
        (3, "wrong_check_characters"),
        (4, "not_in_ticket"),
    ]


def test_a_request_with_an_unknown_pseudonym_is_refused_as_a_whole(world) -> None:
    mine = pseudonyms(world, "north", ["h-1"])[0]
    foreign = pseudonyms(world, "south", ["h-1"])[0]
    body = {"pseudonyms": [mine, foreign, "nonsense"], "reason": REASON}
    answer = world["north"]("POST", "/v1/domains/north/reidentifications", body)
    refused(answer, 404, "unknown_pseudonym")
    assert answer.json["where"] == "pseudonyms[1], pseudonyms[2]"
    assert foreign.encode() not in answer.body


def test_a_foreign_domain_and_a_foreign_request_are_invisible(world) -> None:
    values = pseudonyms(world, "north", ["i-1"])
    made = ask(world, "north", values)
    approve(world, "anna", made)
    ident = made["reidentification"]
    body = {"pseudonyms": values, "reason": REASON}
    refused(world["south"]("POST", "/v1/domains/north/reidentifications", body), 404, "unknown_domain")
    refused(world["south"]("POST", "/v1/domains/missing/reidentifications", body), 404, "unknown_domain")
    refused(fetch(world, "south", ident, values, "north"), 404, "unknown_domain")
    refused(fetch(world, "south", ident, values), 403, "ticket_needed")
    refused(world["south"]("GET", f"/v1/reidentifications/{ident}"), 404, "unknown_reidentification")
    listed = world["south"]("GET", "/v1/reidentifications").json["reidentifications"]
    assert ident not in {one["reidentification"] for one in listed}
    for caller in ("north", "operator", "anna"):
        seen = world[caller]("GET", "/v1/reidentifications").json["reidentifications"]
        assert ident in {one["reidentification"] for one in seen}
    assert fetch(world, "north", ident, values).json["originals"] == ["i-1"]


def test_a_ticket_is_for_its_own_domain(world) -> None:
    assert world["operator"]("POST", "/v1/domains", {"name": "north-two", "site": "north"}).status == 201
    values = pseudonyms(world, "north", ["j-1"])
    made = ask(world, "north", values)
    approve(world, "anna", made)
    refused(fetch(world, "north", made["reidentification"], values, "north-two"), 403, "ticket_needed")


def test_a_study_is_not_reversible_here(world) -> None:
    from keys.hybrid import RecipientKey

    body = {
        "name": "sepsis", "purpose": "Test", "permit": "EC 1",
        "participants": [{"site": "north"}, {"site": "south"}],
        "recipients": [{"name": "dms", "public_key": RecipientKey.generate().public}],
    }  # fmt: skip
    study = world["operator"]("POST", "/v1/studies", body)
    assert study.status == 201, study.body
    domain = world["north"]("GET", "/v1/studies/sepsis").json["domains"]["north"]
    value = world["north"]("POST", "/v1/studies/sepsis/records", {"record_numbers": ["ab" * 16]}).json["pseudonyms"][0]
    wanted = {"pseudonyms": [value], "reason": REASON}
    refused(world["north"]("POST", f"/v1/domains/{domain}/reidentifications", wanted), 403, "not_reversible")
    refused(fetch(world, "north", "0" * 32, [value], domain), 403, "not_reversible")


def test_after_a_rotation_old_and_new_pseudonyms_lead_to_the_original(world) -> None:
    old = pseudonyms(world, "north", ["k-1", "k-2"])
    before = ask(world, "north", old)
    approve(world, "anna", before)
    assert world["operator"]("POST", "/v1/domains/north/keys/rotate", {}).status == 200
    new = pseudonyms(world, "north", ["k-1", "k-2"])
    assert not set(old) & set(new)
    after = ask(world, "north", old)
    approve(world, "bernd", after)
    for made in (before, after):
        answer = fetch(world, "north", made["reidentification"], [*old, *new])
        assert answer.json["originals"] == ["k-1", "k-2", "k-1", "k-2"]


def domain_with(world: Any, name: str, originals: list[str], **options: Any) -> list[str]:
    assert world["operator"]("POST", "/v1/domains", {"name": name, "site": "north", **options}).status == 201
    answer = world["north"]("POST", f"/v1/domains/{name}/pseudonyms", {"originals": originals})
    assert answer.status == 200, answer.body
    return list(answer.json["pseudonyms"])


def ask_in(world: Any, domain: str, values: list[str]) -> Any:
    return world["north"]("POST", f"/v1/domains/{domain}/reidentifications", {"pseudonyms": values, "reason": REASON})


def test_a_domain_that_keeps_no_originals(world) -> None:
    values = domain_with(world, "no-way-back", ["p-1"], reversible=False)
    refused(ask_in(world, "no-way-back", values), 403, "not_reversible")


def test_drawn_imported_and_further_pseudonyms_lead_to_their_originals(world) -> None:
    format_ = {"prefix": "PSN-", "alphabet": "numbers", "length": 8, "check": "damm"}
    drawn = domain_with(world, "drawn", ["q-1", "q-2"], suite="drawn", format=format_)
    further = domain_with(world, "further", ["q-1"], multi=True)
    more, key = {"originals": ["q-1"], "count": 2}, {"Idempotency-Key": "further-1"}
    further += world["north"]("POST", "/v1/domains/further/additional", more, headers=key).json["pseudonyms"][0]
    assert len(set(further)) == 3
    mixed = domain_with(world, "mixed", ["q-1"])
    pairs = {"pairs": [{"original": "q-9", "pseudonym": "OLD-0009"}]}
    assert world["north"]("POST", "/v1/domains/mixed/import", pairs).json["imported"] == 1
    mixed.append("OLD-0009")
    for domain, values, originals in (
        ("drawn", drawn, ["q-1", "q-2"]),
        ("further", further, ["q-1"] * 3),
        ("mixed", mixed, ["q-1", "q-9"]),
    ):
        made = ask_in(world, domain, values)
        assert made.status == 201, made.body
        approve(world, "anna", made.json)
        answer = fetch(world, "north", made.json["reidentification"], values, domain)
        assert (answer.json["originals"], answer.json["errors"]) == (originals, []), answer.body


def test_what_was_anonymised_or_deleted_since_the_request(world) -> None:
    values = domain_with(world, "forgetting", ["r-1", "r-2", "r-3"], deletable=True)
    made = ask_in(world, "forgetting", values).json
    approve(world, "anna", made)
    ident = made["reidentification"]
    assert fetch(world, "north", ident, values, "forgetting").json["originals"] == ["r-1", "r-2", "r-3"]
    for verb, value in (("anonymise", values[0]), ("delete", values[1])):
        done = world["north"]("POST", f"/v1/domains/forgetting/{verb}", {"pseudonyms": [value]})
        assert done.status == 200, done.body
    answer = fetch(world, "north", ident, values, "forgetting")
    assert answer.json["originals"] == [None, None, "r-3"]
    assert {error["code"] for error in answer.json["errors"]} == {"not_in_ticket"}
    query = (
        "SELECT count(*) FROM reidentification_salt WHERE domain = (SELECT id FROM domain WHERE name = 'forgetting')"
    )
    with stored(world.live.dir, "registrar") as conn:
        (left,) = conn.execute(query).fetchone()
    assert left == 3  # r-1 once, r-3 twice; those of the deleted row are erased


def test_one_entry_per_subject_that_opens_only_with_its_salt(world) -> None:
    originals = ["CANARY-l-1", "CANARY-l-2", "CANARY-l-3"]
    values = pseudonyms(world, "south", originals)
    made = ask(world, "south", values)
    approve(world, "anna", made)
    ident = made["reidentification"]
    assert fetch(world, "south", ident, [values[1], values[0], values[1]]).status == 200
    logged = [e for e in entries(world, "site:pseudonym:reidentify") if e["data"]["reidentification"] == ident]
    assert len(logged) == 2
    assert {entry["who"] for entry in logged} == {"south"}
    whole = world["clara"]("GET", "/v1/audit/registrar/export").body.decode()
    assert not any(text in whole for text in (*values, *originals, made["salt"], REASON))
    # The stores together open a commitment; the log alone does not.
    with stored(world.live.dir, "registrar") as conn:
        (uuid,) = conn.execute("SELECT uuid FROM domain WHERE name = 'south'").fetchone()
        for entry, value in zip(logged, (values[1], values[0]), strict=True):
            serial, nonce, salt = conn.execute(
                "SELECT e.serial, e.nonce, s.salt FROM reidentification_salt s JOIN entry e"
                " ON e.domain = s.domain AND e.serial = s.serial WHERE s.seq = ?",
                (entry["seq"],),
            ).fetchone()
            message = b"reidentify\0" + bytes.fromhex(uuid) + bytes.fromhex(ident) + serial.to_bytes(6, "big") + nonce
            assert entry["data"]["commitment"] == hmac.digest(salt, message + value.encode(), "sha256").hex()
        text = everything(conn)
    assert not any(value in text for value in (*values, *originals))
    text = world.live.log.read_text()
    assert not any(value in text for value in (*values, *originals))


def test_the_signature_in_the_log_is_over_the_statement(world) -> None:
    made = ask(world, "south", pseudonyms(world, "south", ["m-1"]))
    approve(world, "bernd", made)
    logged = [
        entry
        for entry in entries(world, "approver:reidentification:approve")
        if entry["data"]["reidentification"] == made["reidentification"]
    ]
    assert [entry["who"] for entry in logged] == ["bernd"]
    assert logged[0]["data"]["signature"] == sign(world, "bernd", made["statement"])
    assert logged[0]["data"]["statement"] == hashlib.sha256(made["statement"].encode()).hexdigest()


def test_signing_again_changes_nothing(world) -> None:
    made = ask(world, "south", pseudonyms(world, "south", ["n-1"]))
    assert approve(world, "anna", made) == approve(world, "anna", made)


def test_a_ticket_survives_kill_9(world) -> None:
    values = pseudonyms(world, "south", ["o-1"])
    made = ask(world, "south", values)
    approve(world, "anna", made)
    assert fetch(world, "south", made["reidentification"], values).json["fetches_left"] == 4
    world.live.kill()
    world.live.start()
    assert fetch(world, "south", made["reidentification"], values).json["fetches_left"] == 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"pseudonyms": [], "reason": "x"}, "invalid_body"),
        ({"pseudonyms": ["x"]}, "invalid_body"),
        ({"pseudonyms": ["x"], "reason": ""}, "invalid_body"),
        ({"pseudonyms": ["x"], "reason": "two\nlines"}, "invalid_body"),
        ({"pseudonyms": ["x"], "reason": "x", "valid_hours": 0}, "invalid_body"),
        ({"pseudonyms": ["x"], "reason": "x", "valid_hours": 169}, "invalid_body"),
        ({"pseudonyms": ["x"] * 10_001, "reason": "x"}, "batch_too_large"),
    ],
    ids=["no pseudonym", "no reason", "empty reason", "a reason of two lines", "no time", "too long", "too many"],
)
def test_requests_that_do_not_fit(world, body: dict[str, Any], code: str) -> None:
    assert world["east"]("POST", "/v1/domains/east/reidentifications", body).json["code"] == code
