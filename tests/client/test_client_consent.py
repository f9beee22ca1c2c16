"""Consent through the client, asynchronous and blocking, and FHIR resources made into items."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests_support import YEAR, ok

from trustcenter.client import Connection, SyncTrustCenter, TrustCenter
from trustcenter.client.parts.consent import from_fhir
from trustcenter.messages import api
from trustcenter.messages.consent import SYSTEM, ConsentItemError


@pytest.fixture(scope="module")
def north(live: Any, tmp_path_factory: pytest.TempPathFactory) -> Connection:
    path = tmp_path_factory.mktemp("north") / "north.toml"
    for arguments in (
        ("site", "add", "north"),
        ("site", "token", "north", "-o", path),
        ("domain", "create", "research", "--site", "north", "--consent", "3"),
    ):
        ok(*arguments, "--connect", live.operator)
    return Connection.load(path)


def item(original: str, code: str = "3") -> api.ConsentItem:
    return api.ConsentItem(original=original, date=f"{YEAR}-05-01", policies=[api.ConsentProvision(code=code)])


def test_asynchronous(north: Connection) -> None:
    async def job() -> None:
        async with TrustCenter(north) as center:
            sent = await center.send_consents("research", [item("1"), item("2", "nonsense"), item("3")])
            assert sent.results == ["permitted", None, "permitted"]
            assert [(error.index, error.code) for error in sent.errors] == [(1, "unknown_policy")]
            answer = await center.pseudonymize("research", ["1", "2"])
            assert answer.errors[0].code == "consent_missing"
            found = await center.consents("research", pseudonyms=[answer.pseudonyms[0] or ""])
            assert found.results[0] is not None
            assert found.results[0].policies[0].since == f"{YEAR}-05-01"
            gone = await center.send_consents(
                "research", [api.ConsentItem(original="1", date=f"{YEAR}-06-01", withdraw=True)]
            )
            assert (gone.results, gone.removed) == (["withdrawn"], 1)

    asyncio.run(job())


def test_blocking(north: Connection) -> None:
    with SyncTrustCenter(north) as center:
        assert center.send_consents("research", [item("s")]).results == ["permitted"]
        found = center.consents("research", originals=["s", "nobody"], policies="all")
        assert [one.status for one in found.results] == ["permitted", "missing"]


RESOURCE: dict[str, Any] = {
    "resourceType": "Consent",
    "status": "active",
    "text": {"status": "generated", "div": "<div>Mustermann</div>"},
    "patient": {"reference": "https://fhir.example/Patient/p-1/_history/2", "identifier": {"value": "4711"}},
    "dateTime": f"{YEAR}-05-01",
    "policy": [{"uri": "https://example.org/consent?version=1"}],
    "provision": {
        "type": "deny",
        "provision": [
            {
                "type": "permit",
                "code": [{"coding": [{"system": SYSTEM, "code": "3"}]}],
                "period": {"end": f"{YEAR + 6}-01-01"},
            },
            {"code": [{"coding": [{"system": SYSTEM, "code": "6"}]}]},
        ],
    },
}


def test_a_resource_becomes_an_item_without_names(tmp_path: Path) -> None:
    made = from_fhir(json.dumps(RESOURCE).encode())
    assert made == api.ConsentItem(
        original="4711",
        date=f"{YEAR}-05-01",
        policies=[
            api.ConsentProvision(code="3", permit=True, last=f"{YEAR + 6}-01-01"),
            api.ConsentProvision(code="6", permit=False),  # without a type of its own it has the one above it
        ],
    )
    assert from_fhir(json.dumps(RESOURCE).encode(), "reference").original == "p-1"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"resourceType": "Patient"}, "not_a_consent"),
        ({"patient": {"reference": "Group/1"}}, "consent_without_patient"),
        ({"patient": ["Mustermann"]}, "consent_without_patient"),
        ({"patient": {"reference": ["Patient/1"]}}, "consent_without_patient"),
        ({"modifierExtension": [{}]}, "consent_conditional"),
        ({"provision": [[[[]]]]}, "malformed_consent"),
        ({"Mustermann": 1}, "malformed_consent"),
    ],
)
def test_resources_that_cannot_be(change: dict[str, Any], code: str) -> None:
    with pytest.raises(ConsentItemError) as caught:
        from_fhir(json.dumps({**RESOURCE, **change}).encode(), "reference")
    assert caught.value.code == code
    assert "Mustermann" not in f"{caught.value.message} {caught.value.hint} {caught.value.where}"


@pytest.mark.parametrize("text", [b"", b"{", b"null", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_resource(text: bytes) -> None:
    with pytest.raises(ConsentItemError):
        from_fhir(text)
