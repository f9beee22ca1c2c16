"""FHIR resources: what is replaced, what is removed, and that no identifier is left in any place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_support import Pseudonyms

from trustcenter.client import RemoteError, TrustCenter, UnreachableError
from trustcenter.client.errors import LocalFileError
from trustcenter.client.fhir.job import FhirJob, FhirResult, pseudonymize_fhir
from trustcenter.client.fhir.transform import FhirRefusedError, FhirRules, transform
from trustcenter.client.settings import Settings
from trustcenter.client.tables import RowsFailedError

Rogue = Any
SYSTEM = "https://hospital.example/sid/patient"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "pat-4711",
    "meta": {"profile": ["https://www.medizininformatik-initiative.de/fhir/core/Patient|2025.0.1"], "source": "#x"},
    "text": {"status": "generated", "div": "<div>Erika Mustermann</div>"},
    "identifier": [
        {"use": "usual", "type": {"coding": [{"system": V2, "code": "MR"}]}, "system": SYSTEM, "value": "4711-08"},
        {
            "type": {"coding": [{"system": "http://fhir.de/CodeSystem/identifier-type-de-basis", "code": "KVZ10"}]},
            "system": "http://fhir.de/sid/gkv/kvid-10",
            "value": "A123456780",
        },
        {"system": "https://hospital.example/sid/study", "value": "S-0815"},
    ],
    "active": True,
    "name": [{"use": "official", "family": "Mustermann", "given": ["Erika"]}],
    "telecom": [{"system": "phone", "value": "+49 30 123456"}],
    "gender": "female",
    "birthDate": "1964-08-12",
    "_birthDate": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime"}]},
    "deceasedBoolean": False,
    "address": [{"type": "both", "line": ["Weg 1"], "city": "Leipzig", "postalCode": "04109", "country": "DE"}],
    "managingOrganization": {"reference": "Organization/charite", "display": "Charité"},
    "contact": [{"name": {"family": "Mustermann"}}],
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "obs-1",
    "contained": [{"resourceType": "Specimen", "id": "spec-99", "subject": {"reference": "Patient/pat-4711"}}],
    "identifier": [
        {"type": {"coding": [{"system": V2, "code": "FILL"}]}, "system": "https://lab.example", "value": "F1"}
    ],
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "2160-0", "display": "Creatinine"}], "text": "Krea"},
    "subject": {"reference": "Patient/pat-4711", "display": "Mustermann, Erika"},
    "encounter": {
        "reference": "https://kis.hospital.example/fhir/Encounter/enc-5/_history/3",
        "identifier": {
            "type": {"coding": [{"system": V2, "code": "VN"}]},
            "system": "https://x.example",
            "value": "V5",
        },
    },
    "specimen": {"reference": "#spec-99"},
    "effectiveDateTime": "2026-03-01T10:00:00+01:00",
    "valueQuantity": {"value": 1.10, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"},
    "note": [{"text": "Frau Mustermann"}],
}
RULES = FhirRules("north", {}, frozenset(), {"north": "urn:uuid:00000000-0000-0000-0000-000000000000"})


def filled(resource: Any, rules: FhirRules = RULES) -> dict[str, Any]:
    made = transform(copy.deepcopy(resource), rules)
    for place in made.places:
        place.into[place.key] = f"{place.prefix}[{place.domain}:{place.original}]"
    return made.resource


def test_a_patient_keeps_what_cannot_name_a_person() -> None:
    assert filled(PATIENT) == {
        "resourceType": "Patient",
        "id": "[north:pat-4711]",
        "birthDate": "1964-08",
        "meta": {"profile": ["https://www.medizininformatik-initiative.de/fhir/core/Patient|2025.0.1"]},
        "identifier": [
            {
                "type": {
                    "coding": [
                        {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "PSEUDED"}
                    ]
                },
                "system": "urn:uuid:00000000-0000-0000-0000-000000000000",
                "value": "[north:4711-08]",
            }
        ],
        "active": True,
        "gender": "female",
        "deceasedBoolean": False,
        "address": [{"type": "both", "postalCode": "04", "country": "DE"}],
        "managingOrganization": {"reference": "Organization/[north:charite]"},
    }


def test_references_and_ids_agree_in_every_form() -> None:
    made = filled(OBSERVATION)
    assert made["subject"] == {"reference": "Patient/[north:pat-4711]"}
    assert made["encounter"]["reference"] == "https://kis.hospital.example/fhir/Encounter/[north:enc-5]"
    assert made["encounter"]["identifier"]["value"] == "[north:V5]"
    assert made["specimen"] == {"reference": "#c1"}
    assert made["contained"] == [
        {"resourceType": "Specimen", "id": "c1", "subject": {"reference": "Patient/[north:pat-4711]"}}
    ]
    assert "identifier" not in made
    assert made["code"] == {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]}
    assert made["valueQuantity"]["unit"] == "mg/dL"
    uuid = "0F0e0d0c-0000-4000-8000-0123456789ab"
    by_urn = {**OBSERVATION, "subject": {"reference": f"urn:uuid:{uuid}"}}
    assert filled(by_urn)["subject"]["reference"] == f"urn:uuid:[north:{uuid.lower()}]"
    assert filled({**PATIENT, "id": uuid})["id"] == f"[north:{uuid.lower()}]"


def test_types_may_have_domains_of_their_own() -> None:
    rules = FhirRules(
        "north",
        {"Encounter": "cases", "Practitioner": "staff"},
        frozenset(),
        dict.fromkeys(("north", "cases", "staff"), "urn:oid:1.2"),
    )
    made = filled(OBSERVATION, rules)
    assert made["subject"]["reference"] == "Patient/[north:pat-4711]"
    assert made["encounter"]["reference"].endswith("Encounter/[cases:enc-5]")
    assert made["encounter"]["identifier"]["value"] == "[cases:V5]"
    doctor = {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Doktor"}], "gender": "male"}
    assert filled(doctor, rules) == {"resourceType": "Practitioner", "id": "[staff:d1]", "gender": "male"}
    with pytest.raises(FhirRefusedError) as caught:
        filled(doctor)
    assert (caught.value.code, caught.value.where) == ("fhir_unknown_type", "Practitioner")
    urn = {"reference": "urn:uuid:0f0e0d0c-0000-4000-8000-0123456789ab"}
    with pytest.raises(FhirRefusedError):
        filled({**OBSERVATION, "subject": urn}, rules)
    assert "[north:" in filled({**OBSERVATION, "subject": {**urn, "type": "Patient"}}, rules)["subject"]["reference"]


def test_named_systems_become_pseudonyms_and_others_go() -> None:
    rules = FhirRules("north", {}, frozenset({"https://lab.example"}), RULES.pseudonym_system)
    assert [i["value"] for i in filled(OBSERVATION, rules)["identifier"]] == ["[north:F1]"]


@pytest.mark.parametrize(
    "identifier",
    [
        {"type": {"coding": [{"code": "GKV"}]}, "value": "A123456780"},
        {"type": {"coding": [{"code": "PKV"}]}, "value": "123/456"},
        {"system": "http://fhir.de/NamingSystem/gkv/kvid-10", "value": "A123456780"},
        {"system": "http://fhir.de/sid/pkv/kvid-10", "value": "A123456780"},
        {"system": "http://fhir.de/sid/gkv/kvnr-30", "value": "A123456780123456789012345678901"},
        {"type": {"coding": [{"system": V2, "code": "MR"}, {"code": "KVZ10"}]}, "value": "A123456780"},
        {
            "system": "urn:oid:1.2.276.0.76.4.8",
            "type": {"coding": [{"system": V2, "code": "MR"}]},
            "value": "A123456780",
        },
    ],
)
def test_insurance_numbers_are_never_passed_on(identifier: dict[str, Any]) -> None:
    made = transform({**PATIENT, "identifier": [identifier]}, RULES)
    assert "identifier" not in made.resource
    assert all(place.original != identifier["value"] for place in made.places)


def test_what_only_looks_like_an_insurance_number_must_be_named() -> None:
    patient = copy.deepcopy(PATIENT)
    patient["identifier"] = [{**patient["identifier"][0], "value": "P123456789"}]
    with pytest.raises(FhirRefusedError) as caught:
        filled(patient)
    assert (caught.value.code, caught.value.where) == ("fhir_insurance_number", "Patient.identifier[0]")
    named = FhirRules("north", {}, frozenset({SYSTEM}), RULES.pseudonym_system)
    assert filled(patient, named)["identifier"][0]["value"] == "[north:P123456789]"


# --- the canary ------------------------------------------------------------------------------------------------

CANARY = "Zq7-Kanari.99831"
EXTENDED = {
    "url": "https://hospital.example/ext",
    **{f"value{kind}": "x" for kind in ("String", "Markdown", "Uri", "Url", "Id", "Oid", "Base64Binary", "Code")},
    "valueReference": {"reference": "Patient/1", "display": "x", "identifier": {"system": SYSTEM, "value": "x"}},
    "valueHumanName": {"text": "x", "family": "x"},
    "valueAddress": {"text": "x", "line": ["x"], "postalCode": "x", "country": "x"},
    "valueContactPoint": {"value": "x"},
    "valueAttachment": {"url": "x", "data": "x", "title": "x"},
    "valueIdentifier": {"value": "x", "system": "x", "assigner": {"display": "x"}},
    "valueAnnotation": {"text": "x", "authorString": "x"},
    "extension": [{"url": "inner", "valueString": "x", "valueCode": "x", "extension": [{"url": "x", "valueId": "x"}]}],
}
MORE: list[dict[str, Any]] = [
    {**PATIENT, "extension": [EXTENDED], "photo": [{"url": "x", "data": "x"}], "own": "x", "x-own": {"a": ["x"]}},
    {
        **OBSERVATION,
        "extension": [EXTENDED],
        "text": {"status": "generated", "div": "x"},
        "valueString": "x",
        "component": [{"id": "x", "code": {"text": "x"}, "valueString": "x", "extension": [EXTENDED]}],
        "performer": [{"reference": "Practitioner/7", "type": "Practitioner", "display": "x"}],
        "method": {"coding": [{"id": "x", "display": "x", "version": "x", "code": "m"}]},
        "referenceRange": [{"text": "x", "low": {"value": 1, "unit": "x"}}],
        "_status": {"id": "x", "extension": [{"url": "x", "valueString": "x"}]},
        "derivedFrom": [{"reference": "urn:uuid:0f0e0d0c-0000-4000-8000-0123456789ab"}],
        "hasMember": [{"reference": "#spec-99"}, {"identifier": {"value": "x", "system": "x"}}],
    },
    {
        "resourceType": "DocumentReference",
        "id": "doc",
        "masterIdentifier": {"system": "x", "value": "x"},
        "status": "current",
        "description": "x",
        "author": [{"display": "x"}],
        "content": [{"attachment": {"contentType": "text/plain", "url": "x", "data": "x", "title": "x", "hash": "x"}}],
        "context": {"encounter": [{"reference": "Encounter/enc-5"}], "sourcePatientInfo": {"reference": "Patient/1"}},
    },
    {
        "resourceType": "Encounter",
        "id": "enc-5",
        "identifier": [
            {"type": {"coding": [{"code": "VN"}]}, "system": "x", "value": "1", "assigner": {"display": "x"}}
        ],
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP", "display": "x"},
        "subject": {"reference": "Patient/pat-4711"},
        "hospitalization": {"preAdmissionIdentifier": {"value": "x"}, "admitSource": {"text": "x"}},
        "location": [{"location": {"reference": "Location/1", "display": "x"}, "status": "active"}],
    },
    {
        "resourceType": "Condition",
        "id": "con",
        "contained": [{"resourceType": "Patient", "id": "x", "name": [{"text": "x"}], "identifier": [{"value": "x"}]}],
        "subject": {"reference": "#x"},
        "note": [{"text": "x", "authorString": "x", "authorReference": {"reference": "Patient/x"}}],
        "onsetString": "x",
        "evidence": [{"detail": [{"reference": "Observation/7"}]}],
    },
]  # fmt: skip
# Where a string is a name in a vocabulary (a code, the address of a system or profile), it is kept. An identifier
# that stands there and nowhere else in the line cannot be told from such a name; docs/how-to/pipeline.md says so.
VOCABULARY = ("system", "code", "version", "status", "type", "use", "gender", "contentType", "valueCode")


def vocabulary(path: tuple[Any, ...]) -> bool:
    return path[-1] in VOCABULARY or path[-2:-1] == ("profile",) or (path[-1] == "url" and path[-3] == "extension")


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, (*path, index))


def put(resource: dict[str, Any], path: tuple[Any, ...], text: str) -> dict[str, Any]:
    made = copy.deepcopy(resource)
    at: Any = made
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = text
    return made


PLACES = [(i, path) for i, resource in enumerate([PATIENT, OBSERVATION, *MORE]) for path in strings(resource)]


def survives(resource: Any) -> bool:
    """Whether the canary is in what is written. Places are what the service's pseudonyms go to."""
    try:
        made = transform(resource, RULES)
    except FhirRefusedError as error:
        assert CANARY not in error.message + error.hint + error.where  # noqa: PT017 - refusing is one of two ways
        return False
    for place in made.places:
        place.into[place.key] = place.prefix + "PSEUDONYM"
    assert CANARY not in str(made.dropped)
    return CANARY in json.dumps(made.resource, ensure_ascii=False)


def test_there_are_many_places_in_resources_that_are_taken() -> None:
    assert len(PLACES) > 150
    for resource in [PATIENT, OBSERVATION, *MORE]:
        assert filled(resource)["resourceType"] == resource["resourceType"]


@pytest.mark.parametrize(
    "form", ["{}", "Patient/{}", "https://kis.example/fhir/Patient/{}", "urn:uuid:{}", "#{}", "x {}"]
)
def test_an_identifier_survives_in_no_place(form: str) -> None:
    resources = [PATIENT, OBSERVATION, *MORE]
    left = [
        (resources[i]["resourceType"], *path)
        for i, path in PLACES
        if not vocabulary(path) and survives(put(resources[i], path, form.format(CANARY)))
    ]
    assert left == []


@pytest.mark.parametrize("form", ["{}", "https://kis.example/{}", "{}/x", "a-{}"])
def test_an_identifier_of_the_person_survives_in_no_vocabulary_either(form: str) -> None:
    left = []
    for i, path in PLACES:
        resource = copy.deepcopy([PATIENT, OBSERVATION, *MORE][i])
        known = {"type": {"coding": [{"system": V2, "code": "MR"}]}, "system": SYSTEM, "value": CANARY}
        own = resource.get("identifier", [])
        resource["identifier"] = [*(own if isinstance(own, list) else []), known]
        if survives(put(resource, path, form.format(CANARY))):
            left.append((resource["resourceType"], *path))
    # Codes of public terminologies are not searched: LOINC 4711-8 is not patient 4711.
    public = {("coding", 0, "code"), ("coding", 0, "version"), ("class", "code"), ("valueQuantity", "code")}
    assert [place for place in left if not {place[-3:], place[-2:]} & public] == []


def test_an_identifier_survives_as_no_key() -> None:
    for resource in [PATIENT, OBSERVATION, *MORE]:
        assert not survives({**resource, CANARY: "x", "code": {CANARY: "x", "coding": [{CANARY: "y"}]}})


def test_names_and_numbers_to_call_are_searched_for_too() -> None:
    for place in ("meta", "gender"):
        patient = copy.deepcopy(PATIENT)
        if place == "meta":
            patient["meta"]["profile"].append("https://hospital.example/Mustermann/profile")
        else:
            patient["gender"] = "erika"
        with pytest.raises(FhirRefusedError) as caught:
            filled(patient)
        assert caught.value.code == "fhir_identifier_left"


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"resourceType": "Bundle"}, "fhir_unknown_type", "Bundle"),
        ({"resourceType": "Nonsense"}, "fhir_unknown_type", ""),
        ({"id": "a b"}, "fhir_refused", "Patient.id"),
        ({"birthDate": "12.8.1964"}, "fhir_refused", "Patient.birthDate"),
        ({"modifierExtension": [{"url": "x"}]}, "fhir_refused", "Patient.modifierExtension"),
        ({"implicitRules": "x"}, "fhir_refused", "Patient.implicitRules"),
        ({"deceasedDateTime": "yesterday"}, "fhir_bad_value", "Patient.deceasedDateTime"),
        ({"link": [{"other": {"reference": "Patient?x=1"}}]}, "fhir_bad_reference", "Patient.link[0].other.reference"),
        ({"link": [{"other": {"reference": "#nobody"}}]}, "fhir_bad_reference", "Patient.link[0].other.reference"),
        ({"address": ["Weg 1"]}, "fhir_refused", "Patient.address[0]"),
        ({"contained": [{"resourceType": "Binary"}]}, "fhir_unknown_type", "Patient.contained[0]"),
        ({"contained": [{"resourceType": "Patient", "contained": []}]}, "fhir_refused", "Patient.contained[0]"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_place(change: dict[str, Any], code: str, where: str) -> None:
    with pytest.raises(FhirRefusedError) as caught:
        filled({**PATIENT, **change})
    assert (caught.value.code, caught.value.where) == (code, where)


# --- files -----------------------------------------------------------------------------------------------------


def lines(count: int) -> bytes:
    made = []
    for i in range(count):
        made.append(json.dumps({**PATIENT, "id": f"pat-{i}"}))
        made.append(json.dumps({**OBSERVATION, "id": f"obs-{i}", "subject": {"reference": f"Patient/pat-{i}"}}))
    return ("\n".join(made) + "\n").replace("1.1,", "1.10,").encode()


async def run(rogue: Rogue, job: FhirJob) -> FhirResult:
    settings = Settings(batch=60, concurrency=2, checkpoint_every=0.0, retry_for=0.2, backoff=0.01)
    async with TrustCenter(rogue.connection, settings) as center:
        return await pseudonymize_fhir(center, job)


async def test_a_file_is_done_line_by_line(rogue: Rogue, tmp_path: Path) -> None:
    rogue.handler = Pseudonyms().handle
    source, target = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
    source.write_bytes(lines(300))
    result = await run(rogue, FhirJob(source, target, "north", {"Encounter": "cases"}))
    assert (result.rows, result.failed, result.key_version) == (600, [], 1)
    assert result.dropped["Patient.name"] == 300
    assert result.dropped["Patient.identifier(insurance)"] == 300
    assert result.dropped["Observation.code.coding.display"] == 300
    written = target.read_text()
    assert '"value":1.10,' in written
    for word in ("Mustermann", "Erika", "4711-08", "A123456780", "pat-1", "enc-5", "Leipzig", "04109", "S-0815"):
        assert word not in written
    found = [json.loads(line) for line in written.splitlines()]
    assert [r["id"] for r in found[::2]] == [r["subject"]["reference"].removeprefix("Patient/") for r in found[1::2]]
    assert all("Encounter/P-cases-" in r["encounter"]["reference"] for r in found[1::2])


async def test_an_interrupted_file_goes_on(rogue: Rogue, tmp_path: Path) -> None:
    service = Pseudonyms()
    rogue.handler = service.handle
    source = tmp_path / "in.ndjson"
    source.write_bytes(lines(500))
    expected = await run(rogue, FhirJob(source, tmp_path / "whole", "north"))
    service.break_after = service.asked + 700
    with pytest.raises(UnreachableError):
        await run(rogue, FhirJob(source, tmp_path / "out", "north"))
    service.break_after = None
    result = await run(rogue, FhirJob(source, tmp_path / "out", "north", resume=True))
    assert result.resumed > 100
    assert (result.rows, result.dropped) == (expected.rows, expected.dropped)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.ndjson", "out", "whole"]


async def test_lines_that_fail_are_named_or_set_aside(rogue: Rogue, tmp_path: Path) -> None:
    rogue.handler = Pseudonyms().handle
    good, bad = json.dumps(PATIENT), json.dumps({**PATIENT, "id": "bad-1"})
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text(f'{good}\n\n{{"resourceType":\n{bad}\n{json.dumps({**PATIENT, "id": "a b"})}')
    with pytest.raises(RowsFailedError) as caught:
        await run(rogue, FhirJob(source, target, "north"))
    assert [(f.row, f.code, f.where) for f in caught.value.result.failed] == [
        (3, "fhir_not_json", ""),
        (4, "invalid_original", ""),
        (5, "fhir_refused", "Patient.id"),
    ]
    assert not target.exists()
    await run(rogue, FhirJob(source, target, "north", failed=tmp_path / "aside"))
    assert len(target.read_text().splitlines()) == 1
    assert [line[:6] for line in (tmp_path / "aside").read_text().splitlines()] == ['{"reso'] * 3


async def test_a_missing_domain_is_named_before_anything_is_read(rogue: Rogue, tmp_path: Path) -> None:
    service = Pseudonyms()
    rogue.handler = service.handle
    source = tmp_path / "in"
    source.write_bytes(lines(1))
    with pytest.raises(RemoteError) as caught:
        await run(rogue, FhirJob(source, tmp_path / "out", "north", {"Encounter": "missing"}))
    assert caught.value.code == "not_found"
    assert service.asked == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


@pytest.mark.parametrize(
    "options",
    [
        {"domains": {"Nobody": "north"}},
        {"domains": {"Bundle": "north"}},
        {"systems": frozenset({"http://fhir.de/sid/gkv/kvid-10"})},
        {"pseudonym_system": "no address"},
    ],
)
async def test_options_that_cannot_be_are_refused(rogue: Rogue, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(LocalFileError):
        await run(rogue, FhirJob(tmp_path / "in", tmp_path / "out", "north", **options))
    assert rogue.asked == []
