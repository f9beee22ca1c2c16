"""Consent at the live service: gate, withdrawal, tombstone, answers, FHIR."""

from __future__ import annotations

import itertools
import json

import pytest
from tests_support import YEAR

IDAT = "2.16.840.1.113883.3.1937.777.24.5.3.3"
MDAT = "2.16.840.1.113883.3.1937.777.24.5.3.7"
SYSTEM = "urn:oid:2.16.840.1.113883.3.1937.777.24.5.3"
_numbers = itertools.count(1)


@pytest.fixture
def domain(world) -> str:
    """A fresh domain of north that requires two policies."""
    name = f"consent-{next(_numbers)}"
    made = world["operator"]("POST", "/v1/domains", {"name": name, "site": "north", "consent": ["3", MDAT]})
    assert made.status == 201, made.body
    assert made.json["consent"] == [IDAT, MDAT]
    return name


def both(original: str, date: str = f"{YEAR}-05-01", **more):
    return {"original": original, "date": date, "policies": [{"code": IDAT, **more}, {"code": "7", **more}]}


def send(world, domain: str, *items, site: str = "north"):
    answer = world[site]("POST", f"/v1/domains/{domain}/consents", {"items": list(items)})
    assert answer.status == 200, answer.body
    return answer.json


def issue(world, domain: str, *originals: str, mode: str = "create"):
    answer = world["north"]("POST", f"/v1/domains/{domain}/pseudonyms", {"originals": list(originals), "mode": mode})
    assert answer.status == 200, answer.body
    return answer.json


def codes(answer) -> dict[int, str]:
    return {error["index"]: error["code"] for error in answer["errors"]}


def test_issue_is_refused_item_by_item(world, domain: str) -> None:
    sent = send(
        world,
        domain,
        both("a"),
        both("b", "2019-05-01", until="2020-05-01"),
        {"original": "c", "date": f"{YEAR}-05-01", "policies": [{"code": "3"}]},
        {"original": "d", "date": f"{YEAR}-05-01", "policies": [{"code": "3"}, {"code": "7", "permit": False}]},
    )
    assert sent["results"] == ["permitted", "expired", "missing", "withdrawn"]
    assert (sent["changed"], sent["withdrawn"], sent["removed"]) == (4, 1, 0)
    for mode in ("create", "get"):
        answer = issue(world, domain, "a", "b", "c", "d", "e", mode=mode)
        assert codes(answer) == {
            1: "consent_expired",
            2: "consent_missing",
            3: "consent_withdrawn",
            4: "consent_missing",
        }
        assert [text is not None for text in answer["pseudonyms"]] == [True, False, False, False, False]


def test_withdrawal_removes_the_mapping_and_blocks_until_a_newer_consent(world, domain: str) -> None:
    send(world, domain, both("4711"), both("4712"))
    first, other = issue(world, domain, "4711", "4712")["pseudonyms"]
    sent = send(world, domain, {"original": "4711", "date": f"{YEAR}-06-01", "withdraw": True})
    assert (sent["results"], sent["withdrawn"], sent["removed"]) == (["withdrawn"], 1, 1)
    gone = world["north"]("POST", f"/v1/domains/{domain}/translate", {"pseudonyms": [first, other]}).json
    assert codes(gone) == {0: "unknown_pseudonym"}
    assert codes(issue(world, domain, "4711")) == {0: "consent_withdrawn"}

    again = send(world, domain, {"original": "4711", "date": f"{YEAR}-06-01", "withdraw": True}, both("4711"))
    assert again["results"] == ["withdrawn", "withdrawn"]
    assert (again["changed"], again["withdrawn"], again["removed"]) == (0, 0, 0)
    assert codes(issue(world, domain, "4711")) == {0: "consent_withdrawn"}

    assert send(world, domain, both("4711", f"{YEAR}-06-02"))["results"] == ["permitted"]
    new = issue(world, domain, "4711")["pseudonyms"][0]
    assert new is not None
    assert new != first
    assert issue(world, domain, "4712")["pseudonyms"] == [other]


def test_partial_withdrawal_counts_only_where_the_policy_is_required(world, domain: str) -> None:
    send(world, domain, both("p"))
    pseudonym = issue(world, domain, "p")["pseudonyms"][0]
    other = send(
        world, domain, {"original": "p", "date": f"{YEAR}-07-01", "policies": [{"code": "19", "permit": False}]}
    )
    assert (other["results"], other["removed"]) == (["permitted"], 0)
    assert issue(world, domain, "p")["pseudonyms"] == [pseudonym]
    group = send(
        world, domain, {"original": "p", "date": f"{YEAR}-07-02", "policies": [{"code": "1", "permit": False}]}
    )
    assert (group["results"], group["removed"]) == (["withdrawn"], 1)


def test_the_answer_by_original_and_by_pseudonym(world, domain: str) -> None:
    send(
        world,
        domain,
        {**both("x", until=f"{YEAR + 6}-01-01"), "document": "urn:oid:2.16.840.1.113883.3.1937.777.24.2.1790"},
    )
    pseudonym = issue(world, domain, "x")["pseudonyms"][0]
    path = f"/v1/domains/{domain}/consents/query"
    by_original = world["north"]("POST", path, {"originals": ["x", "nobody"]}).json
    by_pseudonym = world["dora"]("POST", path, {"pseudonyms": [pseudonym, "3XF16HDR80"]}).json
    assert by_original["results"][0] == by_pseudonym["results"][0]
    assert codes(by_pseudonym) == {1: "unknown_pseudonym"}
    found = by_original["results"][0]
    assert found["status"] == "permitted"
    one = found["policies"][0]
    assert (one["code"], one["name"], one["status"]) == (IDAT, "IDAT_speichern_verarbeiten", "permitted")
    assert (one["since"], one["until"], one["dated"]) == (
        f"{YEAR}-05-01",
        f"{YEAR + 6}-01-01",
        f"{YEAR}-04-30T22:00:00Z",
    )
    assert one["document"] == "urn:oid:2.16.840.1.113883.3.1937.777.24.2.1790"
    assert by_original["results"][1] == {
        "status": "missing",
        "policies": [
            {
                "code": code,
                "name": name,
                "status": "missing",
                "since": None,
                "until": None,
                "dated": None,
                "recorded": None,
                "document": None,
            }
            for code, name in ((IDAT, "IDAT_speichern_verarbeiten"), (MDAT, "MDAT_speichern_verarbeiten"))
        ],
    }
    send(world, domain, {"original": "x", "date": f"{YEAR}-05-02", "policies": [{"code": "19"}]})
    whole = world["north"]("POST", path, {"originals": ["x"], "policies": "all"}).json["results"][0]
    assert [one["code"].rpartition(".")[2] for one in whole["policies"]] == ["3", "7", "19"]
    send(world, domain, {"original": "x", "date": f"{YEAR}-06-01", "withdraw": True})
    after = world["north"]("POST", path, {"originals": ["x"]}).json["results"][0]
    assert [(one["status"], one["since"], one["dated"]) for one in after["policies"]] == [
        ("withdrawn", f"{YEAR}-05-01", f"{YEAR}-06-01T21:59:59Z")
    ] * 2
    for body in ({}, {"originals": [], "pseudonyms": []}):
        assert world["north"]("POST", path, body).json["code"] == "one_selection"


def test_foreign_and_other_domains(world, domain: str) -> None:
    for path, body in (("", {"items": [both("1")]}), ("/query", {"originals": ["1"]})):
        foreign = world["south"]("POST", f"/v1/domains/{domain}/consents{path}", body)
        missing = world["south"]("POST", f"/v1/domains/no-such-domain/consents{path}", body)
        assert (foreign.status, foreign.json["code"]) == (404, "unknown_domain")
        assert foreign.json["detail"] == missing.json["detail"]
        plain = world["south"]("POST", f"/v1/domains/south/consents{path}", body)
        assert (plain.status, plain.json["code"]) == (403, "consent_not_required")
    unknown = world["operator"]("POST", "/v1/domains", {"name": "never", "site": "north", "consent": ["Max Muster"]})
    assert (unknown.status, unknown.json["code"], unknown.json["where"]) == (400, "unknown_policy", "consent")
    assert b"Muster" not in unknown.body


BAD = {
    "invalid_date": [
        both("1", f"{YEAR}-05"),
        both("1", "2023-02-29"),
        both("1", "01.05.2024"),
        both("1", until="soon"),
        both("1", until="2020-01-01", **{"from": "2021-01-01"}),
    ],
    "consent_dated_ahead": [
        both("1", "2999-01-01"),
        {"original": "1", "date": f"{YEAR}-01-01", "policies": [{"code": "3", "permit": False, "from": "2999-01-01"}]},
    ],
    "unknown_policy": [{"original": "1", "date": f"{YEAR}-05-01", "policies": [{"code": "Max-Muster"}]}],
    "consent_without_policies": [{"original": "1", "date": f"{YEAR}-05-01"}],
    "invalid_consent": [{**both("1"), "withdraw": True}],
    "invalid_document": [{**both("1"), "document": "Brief an Max Muster"}],
    "invalid_original": [both(""), both("a\n"), both("x" * 257)],
    "too_many_policies": [{"original": "1", "date": f"{YEAR}-05-01", "policies": [{"code": "3"}] * 501}],
}


@pytest.mark.parametrize("code", BAD)
def test_items_that_cannot_be_are_refused_alone_and_without_echo(world, domain: str, code: str) -> None:
    bad = BAD[code]
    answer = world["north"]("POST", f"/v1/domains/{domain}/consents", {"items": [both("good"), *bad]})
    assert answer.json["results"] == ["permitted", *[None] * len(bad)]
    assert codes(answer.json) == dict.fromkeys(range(1, len(bad) + 1), code)
    assert b"Muster" not in answer.body


def resource(original: str, **change):
    provision = {
        "type": "permit",
        "period": {"start": f"{YEAR}-05-01", "end": "2054-04-30"},
        "code": [{"coding": [{"system": SYSTEM, "code": code, "display": "…"}]} for code in (IDAT, MDAT)],
    }
    return {
        "resourceType": "Consent",
        "meta": {
            "profile": [
                "https://www.medizininformatik-initiative.de/fhir/modul-consent/StructureDefinition/mii-pr-consent-einwilligung"
            ]
        },
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "57016-8"}]}],
        "patient": {"identifier": {"value": original}},
        "dateTime": f"{YEAR}-05-01T10:00:00+02:00",
        "policy": [{"uri": "urn:oid:2.16.840.1.113883.3.1937.777.24.2.1790"}],
        "provision": {
            "type": "deny",
            "period": {"start": f"{YEAR}-05-01", "end": "2054-04-30"},
            "provision": [provision],
        },
        **change,
    }


def send_fhir(world, path: str, body: bytes, kind: str = "application/fhir+json"):
    return world["north"]("POST", f"{path}/consents/fhir", raw=body, headers={"Content-Type": kind})


def test_fhir_as_bundle_and_as_lines(world, domain: str) -> None:
    path = f"/v1/domains/{domain}"
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": resource("f1")}, {"resource": {}}]}
    answer = send_fhir(world, path, json.dumps(bundle).encode())
    assert (answer.status, answer.json["results"]) == (200, ["permitted", None]), answer.body
    assert codes(answer.json) == {1: "not_a_consent"}
    lines = [resource("f2"), resource("f1", status="inactive"), resource("f3", status="rejected")]
    body = b"\n".join(json.dumps(line).encode() for line in lines) + b"\n"
    answer = send_fhir(world, path, body, "application/fhir+ndjson; charset=utf-8")
    assert answer.json["results"] == ["permitted", "withdrawn", "withdrawn"], answer.body
    found = world["north"]("POST", f"{path}/consents/query", {"originals": ["f2"]}).json["results"][0]["policies"][0]
    assert (found["since"], found["until"], found["dated"]) == (
        f"{YEAR}-05-01",
        "2054-04-30",
        f"{YEAR}-05-01T08:00:00Z",
    )
    assert codes(issue(world, domain, "f1", "f2", "f3")) == {0: "consent_withdrawn", 2: "consent_withdrawn"}
    wrong = send_fhir(world, path, json.dumps(bundle).encode(), "application/json")
    assert (wrong.status, wrong.json["code"]) == (415, "wrong_content_type")


MALFORMED = {
    "malformed_consent": [
        resource("1", status="Muster"),
        resource("1", status=None),
        resource("1", dateTime=None),
        resource("1", surname="Muster"),
        resource("1", provision=["Muster"]),
        resource("1", provision={"type": "permit", "provision": {"type": "Muster"}}),
        resource("1", provision={"code": [{"coding": [{"system": SYSTEM, "code": IDAT}]}]}),
        resource("1", patient="Muster"),
    ],
    "not_a_consent": [{"resourceType": "Patient", "id": "1"}, {}],
    "consent_not_in_force": [resource("1", status="draft"), resource("1", status="proposed")],
    "consent_without_patient": [resource("1", patient={"reference": "Patient/Muster"}), resource("1", patient=None)],
    "consent_names_person": [
        resource("1", text={"status": "generated", "div": "<div>Max Muster</div>"}),
        resource("1", patient={"identifier": {"value": "1"}, "display": "Max Muster"}),
        resource("1", performer=[{"display": "Max Muster"}]),
        resource("1", sourceAttachment={"title": "Muster.pdf"}),
        resource("1", verification=[{"verified": True, "verifiedWith": {"display": "Max Muster"}}]),
    ],
    "consent_conditional": [
        resource("1", modifierExtension=[{"url": "urn:Muster"}]),
        resource(
            "1",
            provision={
                "type": "permit",
                "code": [{"coding": [{"system": SYSTEM, "code": IDAT}]}],
                "dataPeriod": {"start": f"{YEAR}-01-01"},
            },
        ),
    ],
    "unknown_policy": [
        resource("1", provision={"type": "permit", "code": [{"coding": [{"system": SYSTEM, "code": "Muster"}]}]})
    ],
    "consent_without_policies": [
        resource("1", provision=None, policy=[]) | {"provision": {"type": "deny"}},
        resource("1", provision={"type": "permit", "code": [{"coding": [{"system": "urn:other", "code": IDAT}]}]}),
    ],
    "invalid_date": [resource("1", dateTime="2024"), resource("1", dateTime=f"{YEAR}-05-01T10:00:00")],
}


@pytest.mark.parametrize("code", MALFORMED)
def test_malformed_resources_are_refused_alone_and_without_echo(world, domain: str, code: str) -> None:
    entries = [{"resource": one} for one in (*MALFORMED[code], resource("good"))]
    answer = send_fhir(
        world, f"/v1/domains/{domain}", json.dumps({"resourceType": "Bundle", "entry": entries}).encode()
    )
    assert answer.status == 200, answer.body
    assert codes(answer.json) == dict.fromkeys(range(len(entries) - 1), code), answer.json
    assert answer.json["results"][-1] == "permitted"
    assert b"Muster" not in answer.body


@pytest.mark.parametrize(
    "body", [b"", b"Muster", b"[" * 100_000, b'{"resourceType":"Bundle","entry":"Muster"}', b"\xff\xfe"]
)
def test_bodies_that_are_no_resources(world, domain: str, body: bytes) -> None:
    answer = send_fhir(world, f"/v1/domains/{domain}", body)
    assert (answer.status, answer.json["code"]) == (400, "malformed_json")
    lines = send_fhir(world, f"/v1/domains/{domain}", body, "application/x-ndjson")
    assert lines.status == 200
    assert all(error["code"] in ("malformed_consent", "not_a_consent") for error in lines.json["errors"])
    assert b"Muster" not in answer.body + lines.body


@pytest.mark.parametrize("kind", ["application/fhir+json", "application/fhir+ndjson"])
def test_resources_may_begin_with_a_byte_order_mark(world, domain: str, kind: str) -> None:
    answer = send_fhir(world, f"/v1/domains/{domain}", b"\xef\xbb\xbf" + json.dumps(resource("good")).encode(), kind)
    assert (answer.status, answer.json["results"]) == (200, ["permitted"]), answer.body


def test_nothing_is_carried_into_another_domain_without_consent(world, domain: str) -> None:
    other = f"{domain}-plain"
    assert world["operator"]("POST", "/v1/domains", {"name": other, "site": "north"}).status == 201
    send(world, domain, both("1"), both("2"))
    pseudonyms = issue(world, domain, "1", "2")["pseudonyms"]
    send(world, domain, both("2", f"{YEAR}-06-01", until=f"{YEAR + 1}-01-01"))

    def into(source: str, target: str, texts: list[str]):
        body = {"pseudonyms": texts, "into": target, "mode": "create"}
        return world["north"]("POST", f"/v1/domains/{source}/translate", body).json

    away = into(domain, other, pseudonyms)
    assert codes(away) == {1: "consent_expired"}
    stranger = world["north"]("POST", f"/v1/domains/{other}/pseudonyms", {"originals": ["3"]}).json["pseudonyms"]
    back = into(other, domain, [away["pseudonyms"][0], *stranger])
    assert back["pseudonyms"][0] == pseudonyms[0]
    assert codes(back) == {1: "consent_missing"}
