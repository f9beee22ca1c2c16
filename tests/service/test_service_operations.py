"""Domains that promise more than the ordinary one, and what can be done with their pseudonyms, over HTTPS."""

from __future__ import annotations

from typing import Any

import pytest
from operations_support import FORMAT, ask, codes, entries, make, pairs, post

from keys import computed

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


# --- import -----------------------------------------------------------------------------------------------


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


# --- all of them ------------------------------------------------------------------------------------------


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
