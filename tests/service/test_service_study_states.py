"""States of a study at the live service: drafts, freezing, the final release, purge in both rooms, deletion."""

from __future__ import annotations

import json
import re

import placed_support
import pytest
from sources_support import Source, open_upload, put, register, send_map, send_rows
from studies_support import bring, link, make_study, move, release
from tests_support import ON_POSTGRES, run_here, stored

from keys import hybrid
from keys.cards import make_card
from trustcenter.registrar.study import refs


@pytest.fixture(scope="module")
def recipient_key() -> hybrid.RecipientKey:
    return hybrid.RecipientKey.generate()


def held(world, study: str) -> tuple[int, int, int]:
    """Rows at the comparator, refs and links at the registrar."""
    with stored(world.live.dir, "comparator") as conn:
        rows = placed_support.rows_of(conn, study)
    with stored(world.live.dir, "registrar") as conn:
        kept = refs.held(conn, refs.domains_of(conn, study))
        links = conn.execute(
            "SELECT count(*) FROM link WHERE run IN (SELECT id FROM run WHERE study = ?)", (study,)
        ).fetchone()[0]
    return rows, kept, links


def test_a_draft_takes_nothing_until_it_opens(world, recipient_key) -> None:
    made = make_study(world, recipient_key, "draft-study", draft=True)
    assert (made.status, made.json["state"]) == (201, "draft")
    source = Source("draft-study", 1, 0, 60)
    refused = register(world, "north", "draft-study", source)
    assert (refused.status, refused.json["code"]) == (403, "study_state")
    assert open_upload(world, "north", "draft-study", 900).json["code"] == "unknown_study"
    assert move(world, "draft-study", "frozen").json["code"] == "study_state"
    assert move(world, "draft-study", "open").json["state"] == "open"
    assert move(world, "draft-study", "open").status == 200  # the state it has already
    assert register(world, "north", "draft-study", source).status == 200
    assert open_upload(world, "north", "draft-study", 900).status in (200, 201)


def test_a_frozen_study_links_but_takes_no_data(world, recipient_key) -> None:
    assert make_study(world, recipient_key, "frozen-study").status == 201
    north, south = Source("frozen-study", 1, 0, 60), Source("frozen-study", 2, 30, 60)
    assert register(world, "north", "frozen-study", north).status == 200
    receipt = send_rows(world, "north", "frozen-study", north)
    assert send_map(world, "north", "frozen-study", receipt, north.entries()).status == 200
    bring(world, "frozen-study", "south", south)
    started = open_upload(world, "north", "frozen-study", 900).json["upload"]
    assert move(world, "frozen-study", "frozen").json["state"] == "frozen"
    assert register(world, "north", "frozen-study", north).json["code"] == "study_closed"
    late = world["north"]("POST", f"/v1/studies/frozen-study/uploads/{started}/complete")
    assert (late.status, late.json["code"]) == (403, "study_closed")
    refused = put(world, "north", "frozen-study", started, 0, north.rows)
    assert (refused.status, refused.json["code"]) == (403, "study_closed")
    assert open_upload(world, "north", "frozen-study", 900).json["code"] == "study_closed"
    assert send_map(world, "north", "frozen-study", receipt, north.entries()).json["code"] == "study_closed"
    pair = {"record_number": north.hex_numbers[0], "successor": north.hex_numbers[1]}
    declared = world["north"]("POST", "/v1/studies/frozen-study/duplicates", {"duplicates": [pair]})
    assert declared.json["code"] == "study_closed"
    assert link(world, "frozen-study")["counts"]["persons"] == 90
    assert move(world, "frozen-study", "open").json["state"] == "open"
    assert register(world, "north", "frozen-study", north).status == 200


def test_the_release_of_a_frozen_study_is_final_and_purges_both_rooms(world, recipient_key) -> None:
    settings = {"purge": "released", "approvers": ["anna", "bernd"]}
    assert make_study(world, recipient_key, "purged-study", settings=settings).status == 201
    pseudonyms = bring(world, "purged-study", "north", Source("purged-study", 1, 0, 60))
    bring(world, "purged-study", "south", Source("purged-study", 2, 30, 60))
    link(world, "purged-study")
    rows, refs, links = held(world, "purged-study")
    assert rows == refs > 0
    assert links > 0
    assert release(world, "purged-study")["state"] == "released"
    assert held(world, "purged-study") == (rows, refs, links)  # the study was open: an interim release
    assert move(world, "purged-study", "frozen").status == 200
    link(world, "purged-study")
    final = release(world, "purged-study")
    shown = world["operator"]("GET", "/v1/studies/purged-study").json
    assert shown["state"] == "released"
    assert shown["purged"] is not None
    assert held(world, "purged-study") == (0, 0, 0)
    # What was agreed stays: persons, pseudonyms, and the sealed map.
    lines = world["north"]("GET", "/v1/studies/purged-study/results").lines
    assert {line["record_number"]: line["pseudonym"] for line in lines[:-1]} == pseudonyms
    path = f"/v1/studies/purged-study/releases/{final['release']}/join-map"
    assert world["operator"]("GET", path).status == 200
    assert world["operator"]("POST", "/v1/studies/purged-study/runs").json["code"] == "study_state"
    assert move(world, "purged-study", "open").json["code"] == "study_state"


def test_only_the_named_approvers_count(world, recipient_key) -> None:
    unknown = make_study(world, recipient_key, "nobody-approves", settings={"approvers": ["anna", "dora"]})
    assert unknown.status == 404  # dora is a steward
    few = make_study(world, recipient_key, "nobody-approves", settings={"approvers": ["anna"]})
    assert (few.status, few.json["code"]) == (400, "usage_error")
    bounds = make_study(world, recipient_key, "nobody-approves", settings={"lower": 0.9, "upper": 0.2})
    assert (bounds.status, bounds.json["code"]) == (400, "usage_error")


@pytest.mark.parametrize(
    ("settings", "careful"), [({}, True), ({"clearing": "none"}, False), ({"careful": False}, False)]
)
def test_twins_go_to_stewards_where_there_are_any(world, recipient_key, settings, careful) -> None:
    name = f"careful-{len(settings)}-{settings.get('clearing', 'single')}"
    made = make_study(world, recipient_key, name, settings=settings)
    assert made.json["settings"]["careful"] is careful


def counted(world) -> int:
    """Rows of all studies, as `doctor` counts them; of PostgreSQL it counts uploads only."""
    if ON_POSTGRES:
        return 0
    findings = json.loads(run_here("doctor", world.live.dir, "--json").out)["checks"]
    text = next(found["text"] for found in findings if found["name"] == "comparator database")
    return int(re.search(r"([\d,]+) rows?", text)[1].replace(",", ""))


def test_closing_purges_and_a_retained_study_is_not_deleted(world, recipient_key) -> None:
    before = counted(world)
    assert make_study(world, recipient_key, "closed-study").status == 201
    bring(world, "closed-study", "north", Source("closed-study", 1, 0, 60))
    rows, _, _ = held(world, "closed-study")
    assert rows > 0
    assert ON_POSTGRES or counted(world) == before + rows
    assert move(world, "closed-study", "deleted").json["code"] == "study_state"
    closed = move(world, "closed-study", "closed").json
    assert closed["state"] == "closed"
    assert closed["purged"] is not None
    assert held(world, "closed-study") == (0, 0, 0)
    assert counted(world) == before
    kept = move(world, "closed-study", "deleted")
    assert (kept.status, kept.json["code"]) == (403, "study_retained")
    # One whose retention is over loses the keys of its domains, and its name is not given again.
    settings = {"retain_until": "2020-01-01"}
    assert make_study(world, recipient_key, "gone-study", settings=settings).status == 201
    assert register(world, "north", "gone-study", Source("gone-study", 1, 0, 60)).status == 200
    published = {"card": make_card("north", recipient_key).text}
    assert world["north"]("PUT", "/v1/studies/gone-study/card", published).status == 200
    move(world, "gone-study", "closed")
    assert world["north"]("PUT", "/v1/studies/gone-study/card", published).json["code"] == "study_state"
    assert move(world, "gone-study", "deleted").json["state"] == "deleted"
    assert world["north"]("GET", "/v1/studies/gone-study/results").status >= 400
    assert [one["card"] for one in world["operator"]("GET", "/v1/studies/gone-study/cards").json["cards"]] == [
        None,
        None,
    ]
    assert make_study(world, recipient_key, "gone-study").json["code"] == "study_exists"
