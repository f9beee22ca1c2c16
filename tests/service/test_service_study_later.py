"""What happens to a study in the course of the year: a new version of its secret, and changes after a release."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import placed_support
import pytest
from sources_support import SCHEMA, Source, open_upload, put, register, send_map
from studies_support import bring, link, make_study, release
from tests_support import YEAR, stored

from keys import hybrid
from trustcenter.client.study import changes
from trustcenter.errors import VerificationError
from trustcenter.registrar.release.releases import seal_info


@pytest.fixture(scope="module")
def recipient_key() -> hybrid.RecipientKey:
    return hybrid.RecipientKey.generate()


def renew(world, study: str, version: int, **other: Any):
    body = {"version": version, "reason": "member_removed", **other}
    return world["operator"]("POST", f"/v1/studies/{study}/versions", body)


def send(world, study: str, site: str, source: Source, version: int):
    """Upload a source under a version; the answer to its map."""
    rows = len(source.rows) // 65
    upload = open_upload(world, site, study, rows, version=version).json["upload"]
    assert put(world, site, study, upload, 0, source.rows).status == 200
    receipt = world[site]("POST", f"/v1/studies/{study}/uploads/{upload}/complete")
    assert receipt.status == 200, receipt.body
    return send_map(world, site, study, receipt.json, source.entries())


def standing(world, study: str, caller: str = "operator") -> dict[str, tuple[int, int, int]]:
    found = world[caller]("GET", f"/v1/studies/{study}/versions").json
    return {s["site"]: (s["current"], s["older"], s["dormant"]) for s in found["sources"]}


def opened_map(world, key: hybrid.RecipientKey, study: str, made: Any) -> list[tuple[str, ...]]:
    signed = world["operator"]("GET", f"/v1/studies/{study}/releases/{made['release']}/join-map").body
    opened = key.open(signed.partition(b"\n")[2], seal_info(study, made["release"]))
    return [tuple(row) for row in csv.reader(io.StringIO(opened.decode()))][1:]


def persons(rows: list[tuple[str, ...]]) -> dict[str, str]:
    return {pseudonym: person for _, pseudonym, person, *_ in rows}


def test_a_new_version_lets_old_rows_count_until_its_day_and_lists_what_was_not_sent_again(
    world, recipient_key
) -> None:
    assert make_study(world, recipient_key, "renewed", ("north", "south", "east")).status == 201
    places = {"north": (1, 0), "south": (2, 30), "east": (3, 60)}
    for site, (number, start) in places.items():
        bring(world, "renewed", site, Source("renewed", number, start, 60))
    assert link(world, "renewed")["counts"]["persons"] == 120
    assert renew(world, "renewed", 3).json["code"] == "wrong_version"
    assert renew(world, "renewed", 2, remove=["west"]).json["code"] == "unknown_participant"
    assert renew(world, "renewed", 2, remove=["north", "south"]).json["code"] == "too_few_sites"
    half = open_upload(world, "north", "renewed", 900, chunks=2).json["upload"]
    made = renew(world, "renewed", 2, remove=["east"], linkable_until="2999-01-01")
    assert (made.status, made.json["version"]) == (200, 2)
    assert {p["site"]: p["left_with"] for p in made.json["participants"]} == {"north": None, "south": None, "east": 1}
    assert renew(world, "renewed", 2, remove=["east"]).json == made.json  # asked again, nothing changes
    # Nothing of the old version is taken any more, and nothing of the site that was removed.
    old = Source("renewed", 1, 0, 60)
    late = put(world, "north", "renewed", half, 0, old.rows[: 65 * 450])
    assert (late.status, late.json["code"]) == (409, "version_over")
    assert open_upload(world, "north", "renewed", 900).json["code"] == "wrong_fingerprint"
    assert register(world, "east", "renewed", Source("renewed", 3, 60, 60)).json["code"] == "site_removed"
    assert open_upload(world, "east", "renewed", 900, version=2).json["code"] == "site_removed"
    assert len(world["east"]("GET", "/v1/studies/renewed/results").lines) == 61  # its own it still reads
    # One site has sent again, the other has not: everybody is still joined with whom they were.
    new = Source("renewed", 1, 0, 60, version=2)
    assert send(world, "renewed", "north", new, 2).status == 200
    assert standing(world, "renewed") == {"north": (60, 0, 0), "south": (0, 60, 0), "east": (0, 60, 0)}
    assert register(world, "south", "renewed", Source("renewed", 2, 900, 4)).status == 200
    told = world["operator"]("GET", "/v1/studies/renewed/versions").json["sources"]
    assert {s["site"]: s["unmapped"] for s in told} == {"north": 0, "south": 4, "east": 0}
    assert link(world, "renewed")["counts"]["persons"] == 120
    with stored(world.live.dir, "registrar") as conn:
        assert conn.execute("SELECT count(*) FROM record_refs WHERE version = 1").fetchone()[0] == 180
    # The third version ends what is left of the first two at once.
    assert send(world, "renewed", "south", Source("renewed", 2, 30, 60, version=2), 2).status == 200
    assert renew(world, "renewed", 3).json["version"] == 3
    assert standing(world, "renewed") == {"north": (0, 0, 60), "south": (0, 0, 60), "east": (0, 0, 60)}
    assert standing(world, "renewed", "north") == {"north": (0, 0, 60)}
    for site, (number, start) in list(places.items())[:2]:
        assert send(world, "renewed", site, Source("renewed", number, start, 60, version=3), 3).status == 200
    link(world, "renewed")
    assert standing(world, "renewed") == {"north": (60, 0, 0), "south": (60, 0, 0), "east": (0, 0, 60)}
    with stored(world.live.dir, "comparator") as conn:
        assert placed_support.rows_of(conn, "renewed") == 120 * SCHEMA.P
    # A dormant record keeps pseudonym and person.
    rows = opened_map(world, recipient_key, "renewed", release(world, "renewed"))
    assert len(rows) == 180
    assert len(set(persons(rows).values())) == 120


def test_changes_reach_the_recipient_only_and_withdrawals_are_acknowledged(
    world, recipient_key, tmp_path: Path
) -> None:
    study = "changing"
    assert make_study(world, recipient_key, study, consent=["4"], settings={"clearing": "single"}).status == 201
    of: dict[str, dict[str, str]] = {}
    numbers: dict[str, dict[str, str]] = {}

    def consent(site: str, items: list[dict[str, Any]]) -> None:
        answer = world[site]("POST", f"/v1/studies/{study}/consents", {"items": items})
        assert answer.status == 200, answer.body

    for site, number, start in (("north", 1, 0), ("south", 2, 30)):
        source = Source(study, number, start, 60)
        permitted = [{"original": n, "date": f"{YEAR}-05-01", "policies": [{"code": "4"}]} for n in source.hex_numbers]
        consent(site, permitted)
        pseudonyms = bring(world, study, site, source)
        known = [bytes(row).hex() for row in source.encoded.record_numbers]
        numbers[site] = {one.split("-")[1]: n for one, n in zip(source.ids, known, strict=True)}
        of[site] = {one: pseudonyms[n] for one, n in numbers[site].items()}
    link(world, study)
    before = opened_map(world, recipient_key, study, release(world, study))
    listed = world["operator"]("GET", f"/v1/studies/{study}/changes?recipient=dms&since=0")
    assert listed.json == {"last": 0, "batches": []}

    def verdict(north: str, south: str, answer: str) -> None:
        body = {"sites": ["north", "south"], "pseudonyms": [of["north"][north], of["south"][south]]}
        task = world["dora"]("POST", f"/v1/studies/{study}/clearing", body).json["task"]
        reason = {"answer": answer, "reason": "evidence-strong"}
        assert world["dora"]("POST", f"/v1/studies/{study}/clearing/{task}/answers", reason).status == 200

    verdict("0", "80", "same")  # two persons of one record each become one
    verdict("40", "40", "different")  # a person of two records is parted
    link(world, study)
    gone = of["north"]["50"]
    consent("north", [{"original": numbers["north"]["50"], "date": f"{YEAR}-06-01", "withdraw": True}])
    found = world["operator"]("GET", f"/v1/studies/{study}/changes?recipient=dms&since=0").json
    counts = [(b["number"], b["merged"], b["moved"], b["withdrawn"], b["acknowledge"]) for b in found["batches"]]
    assert counts == [(1, 1, 1, 0, False), (2, 0, 0, 1, True)]
    assert len(world["operator"]("GET", f"/v1/studies/{study}/changes?recipient=dms&since=1").json["batches"]) == 1
    for caller in ("north", "dora", "anna"):
        assert world[caller]("GET", f"/v1/studies/{study}/changes?recipient=dms&since=0").status == 403
    assert world["operator"]("GET", f"/v1/studies/{study}/changes?recipient=x&since=0").json["code"] == (
        "unknown_recipient"
    )

    pair = {"record_number": numbers["north"]["5"], "successor": numbers["north"]["6"]}
    assert world["north"]("POST", f"/v1/studies/{study}/duplicates", {"duplicates": [pair]}).json == {"superseded": 1}
    found = world["operator"]("GET", f"/v1/studies/{study}/changes?recipient=dms&since=0").json
    assert [(b["number"], b["merged"], b["moved"]) for b in found["batches"]] == [(1, 1, 1), (2, 0, 0), (3, 1, 0)]

    sealed = [
        changes.SealedBatch(number=b["number"], sealed=_bytes(b["sealed"]), letter=b["letter"])
        for b in found["batches"]
    ]
    known = [world.live.fingerprints["registrar"]]
    opened = _open(tmp_path / "changes.sealed", sealed, recipient_key, study, known)
    after = changes.apply(before, opened.changes)
    now = persons(after)
    assert now[of["north"]["0"]] == now[of["south"]["80"]]
    assert now[of["north"]["40"]] != now[of["south"]["40"]]
    assert gone not in now
    assert now[of["north"]["5"]] == now[of["north"]["6"]]
    assert changes.apply(after, opened.changes) == after  # again, nothing changes
    # The map of a new release says the same, but for the record that another stands for.
    assert persons(opened_map(world, recipient_key, study, release(world, study))) == {
        pseudonym: person for pseudonym, person in now.items() if pseudonym != of["north"]["5"]
    }
    with pytest.raises(VerificationError, match="missing"):
        _open(tmp_path / "gap.sealed", sealed[::-1], recipient_key, study, known)

    path = f"/v1/studies/{study}/changes/acknowledgements"
    assert [number for number, _ in opened.codes] == [2]
    code = opened.codes[0][1]
    for wrong in ({"number": 2, "code": "0" * 32}, {"number": 1, "code": code}, {"number": 9, "code": code}):
        refused = world["operator"]("POST", path, {"recipient": "dms", "codes": [wrong]})
        assert (refused.status, refused.json["code"]) == (409, "wrong_change_code")
    for _ in range(2):
        assert (
            world["operator"]("POST", path, {"recipient": "dms", "codes": [{"number": 2, "code": code}]}).status == 200
        )
    last = world["operator"]("GET", f"/v1/studies/{study}/changes?recipient=dms&since=1").json["batches"][0]
    assert last["acknowledged"] is not None
    # The centre keeps nothing of it that could be read.
    with stored(world.live.dir, "registrar") as conn:
        assert conn.execute("SELECT count(*) FROM released_record WHERE study = ?", (study,)).fetchone()[0] == 118


def _bytes(text: str) -> bytes:
    import base64

    return base64.b64decode(text)


def _open(
    path: Path, batches: list[changes.SealedBatch], key: hybrid.RecipientKey, study: str, known: list[str]
) -> changes.Opened:
    import msgspec

    made = changes.ChangesFile(format="trustcenter/changes-file/1", study=study, recipient="dms", batches=batches)
    path.write_bytes(msgspec.json.encode(made))
    return changes.open_changes(path, key, study, known)
