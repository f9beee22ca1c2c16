"""A study at the live service: registration, rows, maps, a run, results, release; and every refusal on the way."""

from __future__ import annotations

import csv
import io
import time

import pytest
from sources_support import (
    SCHEMA,
    Source,
    create_study,
    digest,
    open_upload,
    put,
    register,
    send_map,
    send_rows,
)

from keys import hybrid
from keys.personal import PersonalKey
from trustcenter.registrar.release.releases import CONTEXT, seal_info


@pytest.fixture(scope="module")
def recipient_key() -> hybrid.RecipientKey:
    return hybrid.RecipientKey.generate()


@pytest.fixture(scope="module")
def study(world, recipient_key) -> str:
    made = create_study(world, recipient_key, "heart")
    assert made.status == 201, made.body
    assert made.json["domains"] == {site: f"heart.{site}" for site in ("east", "north", "south")}
    return "heart"


def test_a_site_sees_its_own_domain_of_the_study_only(world, study: str) -> None:
    seen = world["north"]("GET", f"/v1/studies/{study}").json
    assert seen["domains"] == {"north": "heart.north"}
    assert seen["fingerprint"] == SCHEMA.fingerprint
    assert seen["separation"] == "none"
    missing = world["north"]("GET", "/v1/studies/no-such-study")
    assert (missing.status, missing.json["code"]) == (404, "unknown_study")


def test_the_whole_way(world, study: str, recipient_key) -> None:
    sources = {
        "north": Source(study, 1, 0, 120),
        "south": Source(study, 2, 60, 120),
        "east": Source(study, 3, 100, 120),
    }
    pseudonyms: dict[str, dict[str, str]] = {}
    for site, source in sources.items():
        answer = register(world, site, study, source)
        assert answer.status == 200, answer.body
        pseudonyms[site] = dict(zip(source.hex_numbers, answer.json["pseudonyms"], strict=True))
        receipt = send_rows(world, site, study, source)
        accepted = send_map(world, site, study, receipt, source.entries())
        assert (accepted.status, accepted.json) == (200, {"mapped": 120, "accepted": True}), accepted.body
        again = send_map(world, site, study, receipt, source.entries())
        assert again.json == accepted.json

    # The answer to a registration does not depend on who else is there: the same bytes before and after the run.
    before = register(world, "north", study, sources["north"]).body
    run = world["operator"]("POST", f"/v1/studies/{study}/runs").json
    second = world["operator"]("POST", f"/v1/studies/{study}/runs")
    assert (second.status, second.json["code"]) == (409, "run_under_way")
    deadline = time.monotonic() + 120
    while run["state"] not in ("applied", "failed", "cancelled") and time.monotonic() < deadline:
        time.sleep(0.3)
        run = world["operator"]("GET", f"/v1/studies/{study}/runs/{run['run']}").json
    assert run["state"] == "applied", run
    assert register(world, "north", study, sources["north"]).body == before
    matches = {tuple(pair["sites"]): pair["matches"] for pair in run["counts"]["pairs"]}
    assert matches == {("east", "north"): 20, ("east", "south"): 80, ("north", "south"): 60}
    assert run["counts"]["persons"] == 220
    auditor, runs = world["clara"], f"/v1/studies/{study}/runs"
    assert auditor("GET", runs).json["runs"][0] == auditor("GET", f"{runs}/{run['run']}").json == run
    assert study in [one["name"] for one in auditor("GET", "/v1/studies").json["studies"]]
    assert (auditor("POST", runs).status, auditor("DELETE", f"{runs}/{run['run']}").status) == (403, 403)

    for site, source in sources.items():
        lines = world[site]("GET", f"/v1/studies/{study}/results").lines
        assert lines[-1] == {"done": True, "count": 120}
        assert {line["record_number"]: line["pseudonym"] for line in lines[:-1]} == pseudonyms[site]
        held = world[site]("GET", f"/v1/studies/{study}/records").lines
        assert {line["record_number"] for line in held[:-1]} == set(source.hex_numbers)

    joinmap = _release(world, study, recipient_key)
    people_of: dict[str, set[tuple[str, str]]] = {}
    for row in joinmap:
        people_of.setdefault(row["person"], set()).add((row["site"], row["study_pseudonym"]))
    assert len(people_of) == 220
    truth: dict[int, set[tuple[str, str]]] = {}
    for site, source in sources.items():
        start = int(source.ids[0].split("-")[1])
        for offset, number in enumerate(source.encoded.record_numbers):
            truth.setdefault(start + offset, set()).add((site, pseudonyms[site][number.tobytes().hex()]))
    assert sorted(map(sorted, people_of.values())) == sorted(map(sorted, truth.values()))


def _release(world, study: str, recipient_key) -> list[dict[str, str]]:
    base = f"/v1/studies/{study}/releases"
    operator = world["operator"]
    unknown = operator("POST", base, {"recipient": "nobody"})
    assert (unknown.status, unknown.json["code"]) == (404, "unknown_recipient")
    assert operator("GET", base).json == {"releases": []}
    release = operator("POST", base, {"recipient": "dms"}).json
    assert [one["release"] for one in world["anna"]("GET", base).json["releases"]] == [release["release"]]
    assert operator("POST", base, {"recipient": "dms"}).json["release"] == release["release"]
    path = f"{base}/{release['release']}"
    early = operator("GET", f"{path}/join-map")
    assert (early.status, early.json["code"]) == (403, "not_released")

    anna, bernd = (PersonalKey.load(world.keys[name]) for name in ("anna", "bernd"))
    statement = release["statement"].encode()
    assert hybrid.fingerprint(recipient_key.public) in release["statement"]
    # Anna's token with Bernd's signature, and a signature over another statement: both refused.
    for signature in (bernd.sign(CONTEXT, statement), anna.sign(CONTEXT, statement + b"x"), anna.sign("x", statement)):
        refused = world["anna"]("POST", f"{path}/approvals", {"signature": signature})
        assert refused.json["code"] == "bad_signature", refused.body
    first = world["anna"]("POST", f"{path}/approvals", {"signature": anna.sign(CONTEXT, statement)})
    assert (first.json["state"], first.json["approvals"]) == ("proposed", ["anna"])
    twice = world["anna"]("POST", f"{path}/approvals", {"signature": anna.sign(CONTEXT, statement)})
    assert twice.json["state"] == "proposed"
    assert operator("GET", f"{path}/join-map").json["code"] == "not_released"
    second = world["bernd"]("POST", f"{path}/approvals", {"signature": bernd.sign(CONTEXT, statement)})
    assert second.json["state"] == "released"
    sealed = operator("GET", f"{path}/join-map").body.partition(b"\n")[2]
    assert b"study_pseudonym" not in sealed
    opened = recipient_key.open(sealed, seal_info(study, release["release"]))
    return list(csv.DictReader(io.StringIO(opened.decode())))


def test_uploads_that_do_not_fit_are_refused(world, study: str) -> None:
    source = Source("heart", 9, 500, 60)
    rows, count = source.rows, len(source.rows) // 65
    unfinished = open_upload(world, "north", study, count, 2).json["upload"]
    cases = [
        ({"fingerprint": "0" * 64}, 409, "wrong_fingerprint"),
        ({"version": 2}, 409, "wrong_fingerprint"),
        ({"rows": 15}, 403, "batch_too_small"),
        ({"rows": 10**15}, 413, "upload_too_large"),
        ({"extra": 1}, 400, "invalid_body"),
    ]
    for change, status, code in cases:
        body = {"version": 1, "fingerprint": SCHEMA.fingerprint, "rows": count, "chunks": 1, **change}
        answer = world["north"]("POST", f"/v1/studies/{study}/uploads", body)
        assert (answer.status, answer.json["code"]) == (status, code), answer.body

    # An opening that was refused has given up nothing.
    assert put(world, "north", study, unfinished, 0, rows[: count // 2 * 65]).status == 200

    upload = open_upload(world, "north", study, count, 2).json["upload"]
    assert put(world, "south", study, upload, 0, rows).json["code"] == "unknown_upload"
    half = count // 2 * 65
    assert put(world, "north", study, upload, 0, rows[:half], headers=digest(b"x")).json["code"] == "digest_mismatch"
    assert put(world, "north", study, upload, 0, rows[:-1]).json["code"] == "wrong_row_length"
    assert put(world, "north", study, upload, 0, rows[65:130] + rows[:65]).json["code"] == "not_sorted"
    assert put(world, "north", study, upload, 0, rows[:65] * 2).json["code"] == "repeated_ref"
    empty = rows[:33] + bytes(32)
    assert put(world, "north", study, upload, 0, empty).json["code"] == "implausible_filter"
    full = rows[:33] + b"\xff" * 32
    assert put(world, "north", study, upload, 0, full).json["code"] == "implausible_filter"
    wrong_pass = rows[:16] + b"\x63" + rows[17:65]
    assert put(world, "north", study, upload, 0, wrong_pass).json["code"] == "unknown_pass"
    plain = put(world, "north", study, upload, 0, rows[:half], headers={"Content-Type": "application/octet-stream"})
    assert plain.json["code"] == "digest_needed"
    assert put(world, "north", study, upload, 7, rows[:half]).json["code"] == "unknown_chunk"

    assert put(world, "north", study, upload, 0, rows[half:]).status == 200
    incomplete = world["north"]("POST", f"/v1/studies/{study}/uploads/{upload}/complete")
    assert (incomplete.status, incomplete.json["code"]) == (409, "upload_incomplete")
    assert put(world, "north", study, upload, 0, rows[half:]).status == 200  # the same bytes again
    assert put(world, "north", study, upload, 0, rows[:65]).json["code"] == "chunk_exists"
    assert put(world, "north", study, upload, 1, rows[:half]).status == 200
    swapped = world["north"]("POST", f"/v1/studies/{study}/uploads/{upload}/complete")
    assert (swapped.status, swapped.json["code"]) == (409, "not_sorted")
    # Opening another one forgets what was left unfinished; its rows are in nobody's way.
    other = open_upload(world, "north", study, count, 1).json["upload"]
    assert put(world, "north", study, upload, 1, rows[:half]).json["code"] == "unknown_upload"
    assert put(world, "north", study, other, 0, rows).status == 200
    # Rows that are live are refused a second time: the registrar takes no map for them.
    live = Source("heart", 1, 0, 120)
    receipt = send_rows(world, "north", study, live)
    again = send_map(world, "north", study, receipt, live.entries())
    assert (again.status, again.json["code"]) == (409, "map_receipt_mismatch")


def test_maps_that_do_not_fit_are_refused_whole(world, recipient_key) -> None:
    study = "lungs"
    assert create_study(world, recipient_key, study).status == 201
    source, stranger = Source(study, 4, 1000, 60), Source(study, 5, 2000, 60)
    entries = source.entries()
    width = 17 + 15 * 16
    receipt = send_rows(world, "north", study, source)

    unregistered = send_map(world, "north", study, receipt, entries)
    assert (unregistered.status, unregistered.json["code"]) == (400, "unregistered_record")
    assert register(world, "north", study, source).status == 200

    first, second = entries[:width], entries[width : 2 * width]
    cases = {
        "malformed_map": entries[:-1],
        "duplicate_record_number": first + first + entries[2 * width :],
        "not_sorted": second + first + entries[2 * width :],
        "repeated_ref": first[:17] + second[17:] + second + entries[2 * width :],
        "map_receipt_mismatch": entries[width:],
    }
    for code, changed in cases.items():
        answer = send_map(world, "north", study, receipt, changed)
        assert answer.json["code"] == code, (code, answer.body)
    assert send_map(world, "north", study, receipt, b"").json["code"] == "malformed_map"
    foreign_refs = b"".join(
        number.tobytes() + b"\0" + refs.tobytes() for number, refs in zip(source.numbers, stranger.refs, strict=True)
    )
    assert send_map(world, "north", study, receipt, foreign_refs).json["code"] == "map_receipt_mismatch"
    forged = {**receipt, "rows": receipt["rows"] - 15}
    assert send_map(world, "north", study, forged, entries[width:]).json["code"] == "bad_receipt"
    assert send_map(world, "south", study, receipt, entries).json["code"] == "foreign_receipt"
    assert send_map(world, "north", "heart", receipt, entries).json["code"] == "foreign_receipt"

    assert world["north"]("GET", f"/v1/studies/{study}/records").lines == [{"done": True, "count": 0}]
    early = world["operator"]("POST", f"/v1/studies/{study}/runs")
    assert (early.status, early.json["code"]) == (409, "nothing_to_link")
    assert send_map(world, "north", study, receipt, entries).status == 200
    changed = send_map(world, "north", study, receipt, entries[:16] + b"\1" + entries[17:])
    assert changed.json["code"] == "map_exists"


def test_rows_of_another_study_are_refused_whole(world, recipient_key) -> None:
    for study in ("left-lung", "right-lung"):
        assert create_study(world, recipient_key, study).status == 201
    left, right = Source("left-lung", 4, 1000, 60), Source("right-lung", 4, 1000, 60)
    assert register(world, "north", "left-lung", left).status == 200
    receipt = send_rows(world, "north", "left-lung", left)
    assert send_map(world, "north", "left-lung", receipt, left.entries()).status == 200
    assert register(world, "north", "right-lung", right).status == 200
    moved = send_rows(world, "north", "right-lung", left)  # the comparator cannot know whose rows they are
    entries = b"".join(n.tobytes() + b"\0" + refs.tobytes() for n, refs in zip(right.numbers, left.refs, strict=True))
    refused = send_map(world, "north", "right-lung", moved, entries)
    assert (refused.status, refused.json["code"]) == (409, "foreign_ref")
    assert world["north"]("GET", "/v1/studies/right-lung/records").lines == [{"done": True, "count": 0}]
    held = world["north"]("GET", "/v1/studies/left-lung/records").lines
    assert {line["record_number"] for line in held[:-1]} == set(left.hex_numbers)
    assert (
        send_map(world, "north", "right-lung", send_rows(world, "north", "right-lung", right), right.entries()).status
        == 200
    )


def test_hospital_ids_never_enter_a_study_domain(world, study: str) -> None:
    answer = world["north"]("POST", f"/v1/domains/{study}.north/pseudonyms", {"originals": ["4711"]})
    assert (answer.status, answer.json["code"]) == (403, "study_domain")
    foreign = world["north"]("POST", f"/v1/domains/{study}.south/pseudonyms", {"originals": ["4711"]})
    assert (foreign.status, foreign.json["code"]) == (404, "unknown_domain")


def test_record_numbers_are_sorted_and_each_once(world, study: str) -> None:
    numbers = Source(study, 6, 3000, 60).hex_numbers
    path = f"/v1/studies/{study}/records"
    twice = world["east"]("POST", path, {"record_numbers": [numbers[0], numbers[0]]})
    assert (twice.status, twice.json["code"], twice.json["where"]) == (400, "duplicate_record_number", "record 2")
    backwards = world["east"]("POST", path, {"record_numbers": numbers[::-1]})
    assert (backwards.status, backwards.json["code"]) == (400, "not_sorted")
    no_number = world["east"]("POST", path, {"record_numbers": ["patient-4711"]})
    assert (no_number.status, no_number.json["code"]) == (400, "invalid_body")
    assert b"patient-4711" not in no_number.body
    for wrong in ("AB" * 16, "0 " * 16, "é" * 32, "0x" + "0" * 30):
        refused = world["east"]("POST", path, {"record_numbers": [numbers[0], wrong]})
        assert (refused.status, refused.json["code"]) == (400, "invalid_body")
        assert refused.json["where"] == "$.record_numbers[1]"


def test_studies_that_cannot_be_are_refused(world, recipient_key) -> None:
    good = {
        "name": "brain",
        "purpose": "p",
        "permit": "p",
        "participants": [{"site": "north"}, {"site": "south"}],
        "recipients": [{"name": "dms", "public_key": recipient_key.public}],
    }
    cases = [
        ({"participants": [{"site": "north"}]}, "invalid_body"),
        ({"participants": [{"site": "north"}, {"site": "north"}]}, "duplicate_participant"),
        ({"participants": [{"site": "north"}, {"site": "nowhere"}]}, "not_found"),
        ({"recipients": []}, "invalid_body"),
        ({"recipients": [{"name": "dms", "public_key": "no key"}]}, "bad_public_key"),
        ({"schema": "/etc/passwd"}, "unknown_schema"),
        ({"name": "Brain Study"}, "invalid_body"),
        ({"valid_until": "2026-02-30"}, "usage_error"),
        ({"patients": []}, "invalid_body"),
    ]
    for change, code in cases:
        answer = world["operator"]("POST", "/v1/studies", {**good, **change})
        assert answer.json["code"] == code, (change, answer.body)
    assert "brain" not in [study["name"] for study in world["operator"]("GET", "/v1/studies").json["studies"]]
