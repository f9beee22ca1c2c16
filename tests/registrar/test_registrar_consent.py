"""Consent as pure functions: days, decisions as a table of scenarios, the stored form, the code system."""

from __future__ import annotations

import copy
import itertools
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trustcenter.errors import StoreDamagedError
from trustcenter.messages import api
from trustcenter.messages.consent import CodeSystemError, ConsentItemError, code_system, parse
from trustcenter.registrar.consents import consent_days as days
from trustcenter.registrar.consents.consent_decision import (
    EVERYTHING,
    Provision,
    Status,
    add,
    decide,
    decide_one,
    pack,
    relevant,
    unpack,
)
from trustcenter.registrar.consents.consent_reading import Reader

VECTORS = Path(__file__).parents[1] / "vectors" / "consent"
SYSTEM = code_system()
ROOT = "2.16.840.1.113883.3.1937.777.24.5.3"


def vectors(name: str, part: str, fields: set[str]) -> list[Any]:
    """The cases of a part; unknown fields are refused, so that none is passed over."""
    content = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    assert set(content) <= {"comment", "read", "last_day", "stored", "decisions", "refused"}
    for case in content[part]:
        assert set(case) <= {"name", "expect", *fields}, case["name"]
    return [pytest.param(case, id=case["name"]) for case in content[part]]


@pytest.mark.parametrize("case", vectors("days", "read", {"text", "first", "last", "day"}))
def test_days_and_moments(case: dict[str, Any]) -> None:
    span = days.read(case["text"])
    if case["expect"] == "refused":
        assert span is None
    else:
        assert case["expect"] == "span"
        assert span is not None
        assert (span.first, span.last, span.day.isoformat()) == (case["first"], case["last"], case["day"])


@pytest.mark.parametrize("case", vectors("days", "last_day", {"start", "years"}))
def test_whole_years(case: dict[str, Any]) -> None:
    assert days.last_day(date.fromisoformat(case["start"]), case["years"]).isoformat() == case["expect"]


def test_german_days_are_those_of_the_time_zone_database() -> None:
    zone = pytest.importorskip("zoneinfo").ZoneInfo("Europe/Berlin")
    hour = datetime(2023, 1, 1, tzinfo=UTC)
    for number in range(24 * 366 * 3):
        moment = hour + timedelta(hours=number)
        assert days.german_day(moment) == moment.astimezone(zone).date()
        moment -= timedelta(seconds=1)
        assert days.german_day(moment) == moment.astimezone(zone).date()


def reader(today: str) -> Reader:
    return Reader(SYSTEM, date.fromisoformat(today), 1_700_000_000, {"1.6d": 1})


def provisions(item: dict[str, Any], today: str) -> list[Provision]:
    return reader(today).read(msgspec.convert({"original": "x", **item}, api.ConsentItem))


@pytest.mark.parametrize("case", vectors("decision", "decisions", {"required", "today", "items"}))
def test_decisions(case: dict[str, Any]) -> None:
    required = [SYSTEM.find(text) for text in case["required"]]
    numbers = [policy.number for policy in required if policy is not None]
    assert len(numbers) == len(required)
    for order in itertools.permutations(case["items"]):
        held: dict[int, Provision] = {}
        for item in order:
            held = add(held, provisions(item, case["today"]))
            held = add(held, provisions(item, case["today"]))  # none may be sent too often
        stored = unpack(pack(held), relevant(SYSTEM, numbers))
        assert decide(SYSTEM, stored, numbers, date.fromisoformat(case["today"])) == case["expect"], order


@pytest.mark.parametrize("case", vectors("decision", "refused", {"today", "item"}))
def test_items_that_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ConsentItemError) as caught:
        provisions(case["item"], case["today"])
    assert caught.value.code == case["expect"]


@pytest.mark.parametrize("case", vectors("provisions", "stored", {"hex", "provisions"}))
def test_the_stored_form(case: dict[str, Any]) -> None:
    stored = bytes.fromhex(case["hex"])
    if case["expect"] == "refused":
        with pytest.raises(StoreDamagedError):
            unpack(stored)
        return
    assert case["expect"] == "read"

    def day(text: str | None) -> date | None:
        return date.fromisoformat(text) if text else None

    held = {
        one["policy"]: Provision(**{**one, "first": day(one["first"]), "last": day(one["last"])})
        for one in case["provisions"]
    }
    assert unpack(stored) == held
    assert pack(held) == stored


# --- properties ---------------------------------------------------------------------------------------

_POLICIES = [EVERYTHING, 1, 3, 6, 7, 40]
_dates = st.dates(date(2020, 1, 1), date(2060, 1, 1))


@st.composite
def any_provision(draw: st.DrawFn) -> Provision:
    number = draw(st.sampled_from(_POLICIES))
    permit = number != EVERYTHING and draw(st.booleans())
    dated = draw(st.integers(0, 20))
    first = draw(_dates) if permit else None
    last = draw(st.none() | _dates) if permit else None
    return Provision(number, permit, dated, first, last)


_many = st.lists(any_provision(), max_size=8)
_required = st.sets(st.sampled_from([3, 6, 7, 40]), max_size=3).map(sorted)


@settings(max_examples=300)
@given(_many, _required, _dates, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(many: list[Provision], required: list[int], today: date, random) -> None:
    shuffled = copy.copy(many) + many
    random.shuffle(shuffled)
    one, other = add({}, many), add({}, shuffled)
    assert pack(one) == pack(other)
    assert decide(SYSTEM, one, required, today) is decide(SYSTEM, other, required, today)


@settings(max_examples=300)
@given(_many, any_provision(), _required, _dates)
def test_a_deny_never_permits_and_the_latest_deny_always_blocks(
    many: list[Provision], new: Provision, required: list[int], today: date
) -> None:
    held = add({}, many)
    before, after = decide(SYSTEM, held, required, today), decide(SYSTEM, add(held, [new]), required, today)
    if not new.permit:
        assert after is not Status.PERMITTED or before is Status.PERMITTED
    latest = Provision(EVERYTHING, False, 21)
    if required:
        assert decide(SYSTEM, add(held, [latest]), required, today) is Status.WITHDRAWN
        lifted = [Provision(number, True, 22, today, today) for number in required]
        assert decide(SYSTEM, add(add(held, [latest]), lifted), required, today) is Status.PERMITTED


@settings(max_examples=300)
@given(_many, _required, _dates, st.integers(0, 10_000))
def test_what_has_expired_never_comes_back_and_more_is_never_easier(
    many: list[Provision], required: list[int], today: date, later: int
) -> None:
    held = add({}, many)
    now = decide(SYSTEM, held, required, today)
    then = decide(SYSTEM, held, required, today + timedelta(days=later))
    if now in (Status.EXPIRED, Status.WITHDRAWN):
        assert then is not Status.PERMITTED
    for number in (3, 6, 7, 40):
        if decide(SYSTEM, held, [*required, number], today) is Status.PERMITTED:
            assert now is Status.PERMITTED
            assert decide_one(SYSTEM, held, number, today) is Status.PERMITTED


@settings(max_examples=200)
@given(_many, _required)
def test_the_stored_form_loses_nothing(many: list[Provision], required: list[int]) -> None:
    held = add({}, many)
    assert unpack(pack(held)) == held
    only = relevant(SYSTEM, required)
    assert unpack(pack(held), only) == {number: one for number, one in held.items() if number in only}


# --- code system ----------------------------------------------------------------------------------------


def test_the_code_system_as_shipped() -> None:
    assert len(SYSTEM.policies) == 124
    assert {policy.years for policy in SYSTEM.policies.values()} == {None, 5, 30}
    collect, use = SYSTEM.policies[6], SYSTEM.policies[8]
    assert (collect.name, collect.years, collect.parent) == ("MDAT_erheben", 5, 1)
    assert (use.name, use.years, use.parent) == ("MDAT_wissenschaftlich_nutzen", 30, 1)
    names = {policy.name.casefold() for policy in SYSTEM.policies.values()}
    assert len(names) == len(SYSTEM.policies)
    for policy in SYSTEM.policies.values():
        for text in (policy.code, f"urn:oid:{policy.code}", str(policy.number), policy.name.upper()):
            assert SYSTEM.find(text) == policy, policy.name
    for text in (
        "",
        "0",
        "125",
        "03",
        "3 ",
        "2.16.840.1.113883.3.1937.777.24.5.3",
        "2.16.840.1.113883.3.1937.777.24.5.30",
    ):
        assert SYSTEM.find(text) is None
    assert "CC BY 4.0" in SYSTEM.source


def one(number: int | str = 1, **change: Any) -> dict[str, Any]:
    return {"code": f"{ROOT}.{number}", "display": "a", "parent": None, "periodOfValidity": "P5Y", **change}


@pytest.mark.parametrize(
    "change",
    {
        "not JSON": b"{",
        "unknown field": {"extra": 1},
        "another system": {"system": "urn:oid:1.2.3"},
        "unknown field of a policy": {"policies": [one(extra=1)]},
        "a code of another system": {"policies": [one(code="1.2.3")]},
        "a code that is no number": {"policies": [one("x")]},
        "a code twice": {"policies": [one(), one(display="b")]},
        "a number too large": {"policies": [one(65_536)]},
        "no text": {"policies": [one(display="")]},
        "a period of months": {"policies": [one(periodOfValidity="P6M")]},
        "a period of none": {"policies": [one(periodOfValidity="P0Y")]},
        "a parent that is missing": {"policies": [one(parent=f"{ROOT}.2")]},
        "its own parent": {"policies": [one(parent=f"{ROOT}.1")]},
        "a circle": {"policies": [one(1, parent=f"{ROOT}.2"), one(2, display="b", parent=f"{ROOT}.1")]},
    }.items(),
    ids=lambda item: item[0],
)
def test_a_code_system_that_is_not_as_published(change: tuple[str, Any]) -> None:
    good: dict[str, Any] = {"source": "s", "system": f"urn:oid:{ROOT}", "policies": [one()]}
    assert parse(json.dumps(good).encode()).policies[1].years == 5
    content = change[1] if isinstance(change[1], bytes) else json.dumps({**good, **change[1]}).encode()
    with pytest.raises(CodeSystemError):
        parse(content)
