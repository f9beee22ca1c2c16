"""Resources that were pseudonymised: translated, and led back, place by place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from client_support import Pseudonyms

from trustcenter.client import TrustCenter
from trustcenter.client.fhir.job import FhirJob, translate_fhir
from trustcenter.client.fhir.model import FhirRefusedError, FhirRules
from trustcenter.client.fhir.retrace import retrace
from trustcenter.client.fhir.transform import transform
from trustcenter.client.tables import RowsFailedError

SYSTEMS = {"north": "urn:uuid:" + "0" * 8, "cases": "urn:uuid:" + "1" * 8}
RULES = FhirRules("north", {"Encounter": "cases"}, frozenset({"https://h.example/mr"}), SYSTEMS)
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "obs-1",
    "status": "final",
    "identifier": [{"system": "https://h.example/mr", "value": "4711"}],
    "subject": {"reference": "Patient/pat-4711"},
    "encounter": {"reference": "https://server.example/fhir/Encounter/enc-9"},
    "hasMember": [{"reference": "urn:uuid:01234567-89ab-cdef-0123-456789abcdef", "type": "Observation"}],
    "contained": [{"resourceType": "Specimen", "id": "s", "subject": {"reference": "Patient/pat-4711"}}],
    "specimen": {"reference": "#s"},
    "valueQuantity": {"value": 1.5, "unit": "mg"},
}


def filled(resource: Any, rename: Any) -> Any:
    made = rename(copy.deepcopy(resource))
    for place in made.places:
        place.into[place.key] = f"{place.prefix}{place.domain}-{place.original}"
    return made


def test_the_places_of_a_pseudonymised_resource_are_those_where_pseudonyms_were_put() -> None:
    first = filled(OBSERVATION, lambda r: transform(r, RULES))
    again = retrace(copy.deepcopy(first.resource), RULES)
    put = sorted((place.domain, f"{place.domain}-{place.original}") for place in first.places)
    assert sorted((place.domain, place.original) for place in again.places) == put
    for place in again.places:
        place.into[place.key] = place.prefix + place.original
    assert again.resource == first.resource, "with what stood there, it is what it was"


def test_what_is_not_ours_stays() -> None:
    foreign = {"type": {"coding": [{"code": "PSEUDED"}]}, "system": "urn:other", "value": "X"}
    made = retrace({"resourceType": "Patient", "identifier": [foreign], "active": True}, RULES)
    assert (made.places, made.resource["identifier"]) == ([], [foreign])


@pytest.mark.parametrize("resource", [[], {}, {"resourceType": []}, {"resourceType": "Nothing"}, 7, None, "Patient"])
def test_what_is_no_resource_is_refused(resource: Any) -> None:
    with pytest.raises(FhirRefusedError):
        retrace(resource, RULES)


def test_nesting_ends_somewhere_and_circles_are_only_references() -> None:
    deep: Any = {"reference": "Patient/x"}
    for _ in range(100):
        deep = {"extension": [{"url": "http://x.example/e", "valueReference": deep}]}
    for work in (transform, retrace):
        with pytest.raises(FhirRefusedError):
            work({"resourceType": "Patient", "id": "p", **deep}, RULES)
    circle = {
        "resourceType": "Observation",
        "id": "o",
        "contained": [
            {"resourceType": "Observation", "id": "a", "hasMember": [{"reference": "#b"}]},
            {"resourceType": "Observation", "id": "b", "hasMember": [{"reference": "#a"}]},
        ],
        "hasMember": [{"reference": "#a"}],
    }
    made = filled(circle, lambda r: transform(r, RULES))
    assert [part["hasMember"][0]["reference"] for part in made.resource["contained"]] == ["#c2", "#c1"]
    assert filled(made.resource, lambda r: retrace(r, RULES)).resource["contained"] == made.resource["contained"]


async def test_a_file_is_translated_and_a_line_that_cannot_be_is_named(rogue: Any, tmp_path: Path) -> None:
    rogue.handler = Pseudonyms().handle
    source, target = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
    lines = [{"resourceType": "Patient", "id": f"{'bad' if i == 3 else 'p'}{i}", "active": True} for i in range(10)]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"resourceType":"Nothing"}\n')
    async with TrustCenter(rogue.connection) as center:
        with pytest.raises(RowsFailedError) as caught:
            await translate_fhir(center, FhirJob(source, target, "north"))
        assert [(f.row, f.code) for f in caught.value.result.failed] == [
            (4, "invalid_original"),
            (11, "fhir_unknown_type"),
        ]
        failed, report = tmp_path / "failed", tmp_path / "report"
        result = await translate_fhir(center, FhirJob(source, target, "north", failed=failed, report=report))
    assert (result.rows, result.failures) == (11, 2)
    made = [json.loads(line) for line in target.read_text().splitlines()]
    assert [one["id"] for one in made] == [f"P-north-{f'p{i}'.encode().hex()}" for i in range(10) if i != 3]
    assert len(failed.read_text().splitlines()) == 2
    assert report.read_text().splitlines()[1:] == ["4,invalid_original,", "11,fhir_unknown_type,"]
