"""What a site gets back: successors of own duplicates, date shifts after the release; and forms of what it sends."""

from __future__ import annotations

import base64
import csv
import io
import json

import pytest
from sources_support import Source, create_study, digest, open_upload, put, register, send_map, send_rows
from studies_support import bring, link, make_study, release

from keys import hybrid
from trustcenter.registrar.release.releases import seal_info


@pytest.fixture(scope="module")
def recipient_key() -> hybrid.RecipientKey:
    return hybrid.RecipientKey.generate()


def results(world, site: str, study: str) -> dict[str, dict]:
    lines = world[site]("GET", f"/v1/studies/{study}/results").lines
    assert lines[-1]["done"] is True
    return {line["pseudonym"]: line for line in lines[:-1]}


def declare(world, site: str, study: str, *pairs: tuple[str, str]):
    body = {"duplicates": [{"record_number": a, "successor": b} for a, b in pairs]}
    return world[site]("POST", f"/v1/studies/{study}/duplicates", body)


def test_persons_have_one_shift_at_every_site_after_the_release(world, recipient_key) -> None:
    made = make_study(world, recipient_key, "shifted", settings={"date_shift_days": 365})
    assert made.status == 201, made.body
    for site, number, start in (("north", 1, 0), ("south", 2, 30)):
        bring(world, "shifted", site, Source("shifted", number, start, 60))
    link(world, "shifted")
    assert {line["date_shift"] for line in results(world, "north", "shifted").values()} == {None}
    released = release(world, "shifted")
    signed = world["operator"]("GET", f"/v1/studies/shifted/releases/{released['release']}/join-map")
    sealed = signed.body.partition(b"\n")[2]
    opened = recipient_key.open(sealed, seal_info("shifted", released["release"])).decode()
    shifts: dict[str, set[int]] = {}
    found = {site: results(world, site, "shifted") for site in ("north", "south")}
    for row in csv.DictReader(io.StringIO(opened)):
        shifts.setdefault(row["person"], set()).add(found[row["site"]][row["study_pseudonym"]]["date_shift"])
    assert len(shifts) == 90
    assert all(len(values) == 1 for values in shifts.values())
    every = [value for values in shifts.values() for value in values]
    assert all(-365 <= value <= 365 for value in every)
    assert len(set(every)) > 60
    for path in ("results", "records", "versions", "questions"):  # nobody reads what is another site's
        assert world["east"]("GET", f"/v1/studies/shifted/{path}").json["code"] == "unknown_study"
    again = {site: results(world, site, "shifted") for site in ("north", "south")}
    assert again == found


def test_own_duplicates_leave_linkage_and_name_their_successor(world, recipient_key) -> None:
    assert make_study(world, recipient_key, "doubled").status == 201
    source = Source("doubled", 1, 0, 60)
    mine = bring(world, "doubled", "north", source)
    bring(world, "doubled", "south", Source("doubled", 2, 0, 60))
    first, second, third = source.hex_numbers[:3]
    assert declare(world, "north", "doubled", (first, first)).json["code"] == "duplicate_circle"
    assert declare(world, "north", "doubled", (first, second), (second, first)).json["code"] == "duplicate_circle"
    assert declare(world, "north", "doubled", (first, second), (first, third)).json["code"] == "duplicate_twice"
    assert declare(world, "south", "doubled", (first, second)).json["code"] == "unregistered_record"
    assert declare(world, "east", "doubled", (first, second)).json["code"] == "unknown_study"
    assert declare(world, "north", "doubled", (first, second)).json == {"superseded": 1}
    assert declare(world, "north", "doubled", (first, second)).json == {"superseded": 0}
    assert declare(world, "north", "doubled", (first, third)).json["code"] == "successor_exists"
    # The successor is superseded in its turn: the first names the one that is left.
    assert declare(world, "north", "doubled", (second, third)).json == {"superseded": 1}
    found = {line["record_number"]: line for line in results(world, "north", "doubled").values()}
    assert found[first]["successor"] == found[second]["successor"] == mine[third]
    assert found[first]["pseudonym"] == mine[first]  # an old pseudonym stays
    assert found[third]["successor"] is None
    counts = link(world, "doubled")["counts"]
    assert {s["site"]: s["records"] for s in counts["sources"]} == {"north": 58, "south": 60}
    assert counts["persons"] == 60


def test_rows_of_a_superseded_record_are_refused_whole(world, recipient_key) -> None:
    assert make_study(world, recipient_key, "doubled-late").status == 201
    source = Source("doubled-late", 1, 0, 60)
    registered = world["north"]("POST", "/v1/studies/doubled-late/records", {"record_numbers": source.hex_numbers})
    assert registered.status == 200
    assert declare(world, "north", "doubled-late", tuple(source.hex_numbers[:2])).json == {"superseded": 1}
    receipt = send_rows(world, "north", "doubled-late", source)
    refused = send_map(world, "north", "doubled-late", receipt, source.entries())
    assert (refused.status, refused.json["code"]) == (409, "superseded_record")
    assert world["north"]("GET", "/v1/studies/doubled-late/records").lines[-1]["count"] == 0


def test_a_chunk_may_come_in_any_form_and_is_the_same_chunk(world, recipient_key) -> None:
    study = "forms"
    assert create_study(world, recipient_key, study).status == 201
    source = Source(study, 1, 0, 60)
    assert register(world, "north", study, source).status == 200
    upload = open_upload(world, "north", study, len(source.rows) // 65, chunks=2).json["upload"]
    half = len(source.rows) // 130 * 65
    first, rest = source.rows[:half], source.rows[half:]
    told = json.dumps({"rows": base64.b64encode(first).decode()}).encode()
    lines = b"\n".join(
        json.dumps(
            {
                "ref": base64.b64encode(rest[at : at + 16]).decode(),
                "pass": rest[at + 16],
                "token": base64.b64encode(rest[at + 17 : at + 33]).decode(),
                "filter": base64.b64encode(rest[at + 33 : at + 65]).decode(),
            }
        ).encode()
        for at in range(0, len(rest), 65)
    )

    def send(number: int, body: bytes, form: str):
        return put(world, "north", study, upload, number, body, headers={**digest(body), "Content-Type": form})

    wrong = send(0, told, "application/x-ndjson")
    assert (wrong.status, wrong.json["code"]) == (400, "bad_chunk_form")
    assert send(0, told, "application/json").status == 200
    assert put(world, "north", study, upload, 0, first).status == 200  # the same rows again, packed
    unsaid = put(world, "north", study, upload, 0, first, headers={"Content-Digest": digest(first)["Content-Digest"]})
    assert unsaid.status == 200  # packed is what bytes are of which nothing is said
    other = send(0, lines, "application/x-ndjson")
    assert (other.status, other.json["code"]) == (409, "chunk_exists")
    damaged = put(
        world, "north", study, upload, 1, lines, headers={**digest(told), "Content-Type": "application/x-ndjson"}
    )
    assert damaged.json["code"] == "digest_mismatch"
    assert send(1, lines, "application/x-ndjson").status == 200
    receipt = world["north"]("POST", f"/v1/studies/{study}/uploads/{upload}/complete").json
    assert send_map(world, "north", study, receipt, source.entries()).status == 200
