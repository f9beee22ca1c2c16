"""A study that requires consent, from registration to release, at the live service."""

from __future__ import annotations

import csv
import io
import time

import placed_support
import pytest
from sources_support import Source, register, send_map, send_rows
from tests_support import YEAR, stored

from keys import hybrid
from keys.personal import PersonalKey
from trustcenter.registrar.release.releases import CONTEXT, seal_info


def codes(answer) -> dict[int, str]:
    return {error["index"]: error["code"] for error in answer["errors"]}


@pytest.fixture(scope="module")
def recipient_key() -> hybrid.RecipientKey:
    return hybrid.RecipientKey.generate()


def rows_at_comparator(world, refs) -> int:
    """How many rows the comparator has of these refs."""
    with stored(world.live.dir, "comparator") as conn:
        return placed_support.rows_with(conn, {bytes(ref) for ref in refs}) // 2  # each lies in two tables


def run(world, study: str):
    started = world["operator"]("POST", f"/v1/studies/{study}/runs")
    assert started.status == 202, started.body
    state = started.json
    deadline = time.monotonic() + 120
    while state["state"] not in ("applied", "failed", "cancelled") and time.monotonic() < deadline:
        time.sleep(0.3)
        state = world["operator"]("GET", f"/v1/studies/{study}/runs/{state['run']}").json
    assert state["state"] == "applied", state
    return state


def release(world, study: str, key: hybrid.RecipientKey):
    """Propose and sign; the path of the release, and the join map as its lines."""
    base = f"/v1/studies/{study}/releases"
    proposed = world["operator"]("POST", base, {"recipient": "dms"}).json
    for name in ("anna", "bernd"):
        signature = PersonalKey.load(world.keys[name]).sign(CONTEXT, proposed["statement"].encode())
        done = world[name]("POST", f"{base}/{proposed['release']}/approvals", {"signature": signature})
        assert done.status == 200, done.body
    path = f"{base}/{proposed['release']}"
    sealed = world["operator"]("GET", f"{path}/join-map").body.partition(b"\n")[2]
    opened = key.open(sealed, seal_info(study, proposed["release"])).decode()
    return path, proposed["records"], list(csv.DictReader(io.StringIO(opened)))


def test_a_study_with_consent_from_registration_to_release(world, recipient_key: hybrid.RecipientKey) -> None:
    study = "consented"
    made = world["operator"](
        "POST",
        "/v1/studies",
        {
            "name": study,
            "purpose": "Test of consent",
            "permit": "EK 2026-2",
            "participants": [{"site": "north"}, {"site": "south"}],
            "recipients": [{"name": "dms", "public_key": recipient_key.public}],
            "consent": ["4", "MDAT_zusammenfuehren_Dritte"],
        },
    )
    assert made.status == 201, made.body
    assert [code.rpartition(".")[2] for code in made.json["consent"]] == ["4", "9"]
    path = f"/v1/studies/{study}/consents"

    def consents(site: str, numbers, date: str = f"{YEAR}-05-01", **more):
        policies = [{"code": "4", **more}, {"code": "9", **more}]
        items = [{"original": number, "date": date, "policies": policies} for number in numbers]
        answer = world[site]("POST", path, {"items": items})
        assert answer.status == 200, answer.body
        return answer.json

    sources = {"north": Source(study, 1, 0, 80), "south": Source(study, 2, 40, 80)}
    stranger = Source(study, 1, 900, 2)
    pseudonyms: dict[str, dict[str, str]] = {}
    for site, source in sources.items():
        early = register(world, site, study, source)
        assert set(codes(early.json).values()) == {"consent_missing"}
        assert len(early.json["errors"]) == 80
        assert consents(site, source.hex_numbers)["results"] == ["permitted"] * 80
        numbers = sorted([*source.hex_numbers, *(stranger.hex_numbers if site == "north" else [])])
        answer = world[site]("POST", f"/v1/studies/{study}/records", {"record_numbers": numbers}).json
        refused = (
            {at for at, number in enumerate(numbers) if number in stranger.hex_numbers} if site == "north" else set()
        )
        assert codes(answer) == dict.fromkeys(refused, "consent_missing")
        pseudonyms[site] = dict(zip(numbers, answer["pseudonyms"], strict=True))
        receipt = send_rows(world, site, study, source)
        accepted = send_map(world, site, study, receipt, source.entries())
        assert accepted.status == 200, accepted.body
    assert consents("south", ["4711"])["errors"][0]["code"] == "invalid_original"

    # Person 50 withdraws before the run, the consent of person 51 ends, both at the northern site.
    north = sources["north"]
    number = {n: bytes(north.encoded.record_numbers[n]).hex() for n in (50, 51, 52)}
    refs = {n: north.encoded.refs[n] for n in (50, 51, 52)}
    assert rows_at_comparator(world, refs[50]) == 15
    gone = world["north"](
        "POST", path, {"items": [{"original": number[50], "date": f"{YEAR}-06-01", "withdraw": True}]}
    )
    assert (gone.json["results"], gone.json["removed"]) == (["withdrawn"], 1)
    assert rows_at_comparator(world, refs[50]) == 15, "alone they would show which rows are one record"
    assert consents("north", [number[51]], f"{YEAR}-06-01", until=f"{YEAR + 1}-01-01")["results"] == ["expired"]
    held = {line.get("record_number") for line in world["north"]("GET", f"/v1/studies/{study}/results").lines}
    assert number[50] not in held
    assert number[51] in held

    state = run(world, study)
    assert [pair["matches"] for pair in state["counts"]["pairs"]] == [38]
    assert (rows_at_comparator(world, refs[50]), rows_at_comparator(world, refs[51])) == (0, 15)
    assert {s["site"]: (s["records"], s["left_out"]) for s in state["counts"]["sources"]} == {
        "north": (78, 1),
        "south": (80, 0),
    }
    where, records, lines = release(world, study, recipient_key)
    assert (records, len(lines)) == (158, 158)
    named = {line["study_pseudonym"] for line in lines}
    assert named.isdisjoint({pseudonyms["north"][number[50]], pseudonyms["north"][number[51]]})
    assert pseudonyms["north"][number[52]] in named

    # A withdrawal after the release: what was sealed is erased, and the next one is without that person.
    later = world["north"](
        "POST", path, {"items": [{"original": number[52], "date": f"{YEAR}-06-01", "withdraw": True}]}
    )
    assert later.json["removed"] == 1
    stale = world["operator"]("GET", f"{where}/join-map")
    assert (stale.status, stale.json["code"]) == (409, "release_withdrawn")
    other, records, lines = release(world, study, recipient_key)
    assert other != where
    assert (records, len(lines)) == (157, 157)
    assert pseudonyms["north"][number[52]] not in {line["study_pseudonym"] for line in lines}

    # The answer, by record number, by study pseudonym, and for a steward at the domain.
    asked = world["north"]("POST", f"{path}/query", {"record_numbers": [number[50], number[51], "0" * 32]}).json
    assert [one["status"] for one in asked["results"]] == ["withdrawn", "expired", "missing"]
    pseudonym = pseudonyms["north"][number[51]]
    assert (
        world["north"]("POST", f"{path}/query", {"pseudonyms": [pseudonym]}).json["results"][0]["status"] == "expired"
    )
    steward = world["dora"]("POST", f"/v1/domains/{study}.north/consents/query", {"pseudonyms": [pseudonym]})
    assert steward.json["results"] == [asked["results"][1]]
    by_original = world["north"]("POST", f"/v1/domains/{study}.north/consents/query", {"originals": ["1"]})
    assert (by_original.status, by_original.json["code"]) == (403, "study_domain")
    foreign = world["east"]("POST", f"{path}/query", {"pseudonyms": [pseudonym]})
    assert (foreign.status, foreign.json["code"]) == (404, "unknown_study")
    back = world["north"]("POST", f"/v1/studies/{study}/records", {"record_numbers": [number[50]]}).json
    assert codes(back) == {0: "consent_withdrawn"}

    # A newer consent lets the person in again, under another study pseudonym; the source is uploaded once more.
    # The comparator does not hear of it: whose rows wait to leave, leave with others.
    assert rows_at_comparator(world, refs[52]) == 15
    assert consents("north", [number[50]], f"{YEAR}-07-01")["results"] == ["permitted"]
    assert rows_at_comparator(world, refs[52]) == 15
    again = world["north"]("POST", f"/v1/studies/{study}/records", {"record_numbers": [number[50]]}).json
    assert again["pseudonyms"][0] not in (None, pseudonyms["north"][number[50]])
    assert (
        b"".join(world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()).count(b"consent:withdraw") > 1
    )


def test_a_person_withdraws_from_a_study_that_requires_no_consent(world, recipient_key: hybrid.RecipientKey) -> None:
    study = "unasked"
    body = {
        "name": study,
        "purpose": "Test without consent",
        "permit": "EK 2026-3",
        "participants": [{"site": "north"}, {"site": "south"}],
        "recipients": [{"name": "dms", "public_key": recipient_key.public}],
    }
    assert world["operator"]("POST", "/v1/studies", body).status == 201

    def send(**item):
        return world["north"]("POST", f"/v1/studies/{study}/consents", {"items": [{"original": number, **item}]}).json

    source = Source(study, 1, 0, 60)
    number = bytes(source.encoded.record_numbers[7]).hex()
    first = register(world, "north", study, source).json["pseudonyms"]
    accepted = send_map(world, "north", study, send_rows(world, "north", study, source), source.entries())
    assert accepted.status == 200, accepted.body

    # Nothing is stored of whom nothing was withdrawn.
    policies = [{"code": "4"}]
    assert codes(send(date=f"{YEAR}-05-01", policies=policies)) == {0: "consent_not_required"}
    gone = send(date=f"{YEAR}-06-01", withdraw=True)
    assert (gone["results"], gone["removed"], gone["withdrawn"]) == (["withdrawn"], 1, 1)
    place = source.hex_numbers.index(number)
    again = register(world, "north", study, source).json
    assert codes(again) == {place: "consent_withdrawn"}
    assert [was for at, was in enumerate(first) if at != place] == [now for now in again["pseudonyms"] if now]
    held = {line.get("record_number") for line in world["north"]("GET", f"/v1/studies/{study}/results").lines}
    assert number not in held

    assert send(date=f"{YEAR}-05-30", policies=policies)["results"] == ["withdrawn"]
    assert send(date=f"{YEAR}-07-01", policies=policies)["results"] == ["permitted"]
    back = register(world, "north", study, source).json
    assert codes(back) == {}
    assert back["pseudonyms"][place] not in (None, first[place])
