"""Patients of MII, KBV and ISiK shape, as JSON, NDJSON, XML and a folder; and what is not taken for a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trustcenter.client.errors import LocalFileError
from trustcenter.client.practice import read_export

OWN = "http://hl7.org/fhir/StructureDefinition/humanname-own-name"
ADXP = "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-"
KVID = "http://fhir.de/sid/gkv/kvid-10"


def typed(code: str, value: str, system: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": {"coding": [{"code": code}]}, "value": value}
    return {**found, "system": system} if system else found


MII: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "resource-1",
    "identifier": [
        typed("MR", "4711", "https://www.example.org/fhir/sid/patienten"),
        typed("GKV", "A123456780", KVID),
    ],
    "name": [
        {"use": "maiden", "family": "Haffer"},
        {
            "use": "official",
            "family": "Freifrau an der Elster",
            "_family": {"extension": [{"url": OWN, "valueString": "Elster"}]},
            "given": ["Anna", "Maria"],
            "prefix": ["Dr."],
        },
    ],
    "gender": "other",
    "_gender": {
        "extension": [
            {"url": "http://fhir.de/StructureDefinition/gender-amtlich-de", "valueCoding": {"code": "D"}},
        ]
    },
    "birthDate": "1964-08-12",
    "address": [
        {"type": "postal", "line": ["Postfach 1"], "city": "Bonn", "postalCode": "53111"},
        {
            "type": "both",
            "line": ["Holstenstraße 12a", "Hinterhaus"],
            "_line": [
                {
                    "extension": [
                        {"url": ADXP + "streetName", "valueString": "Holstenstraße"},
                        {"url": ADXP + "houseNumber", "valueString": "12a"},
                    ]
                },
                None,
            ],
            "city": "Kiel",
            "postalCode": "24103",
        },
        {"use": "old", "line": ["Alter Weg 3"], "city": "Plön", "postalCode": "24306"},
    ],
}
EXPECTED = {
    "given_name": "Anna Maria",
    "surname": "Elster",
    "birth_date": "1964-08-12",
    "sex": "D",
    "street": "Holstenstraße",
    "house_number": "12a",
    "postcode": "24103",
    "town": "Kiel",
    "insured_number": "A123456780",
    "birth_name": "Haffer",
    "former_street": "Alter Weg 3",
    "former_postcode": "24306",
    "former_town": "Plön",
}
XML = f"""<?xml version="1.0" encoding="UTF-8"?>
<Bundle xmlns="http://hl7.org/fhir"><entry><resource><Patient><id value="kbv-1"/>
<meta><lastUpdated value="2025-01-01T00:00:00Z"/></meta>
<identifier><type><coding><code value="GKV"/></coding></type>
<system value="http://fhir.de/NamingSystem/gkv/kvid-10"/><value value="G789012344"/></identifier>
<name><use value="official"/><family value="von Müller"><extension url="{OWN}"><valueString value="Müller"/>
</extension></family><given value="Jörg"/></name><gender value="male"/>
<birthDate><extension url="http://hl7.org/fhir/StructureDefinition/data-absent-reason"><valueCode value="unknown"/>
</extension></birthDate>
<address><line value="Am Markt 1"/><city value="Ulm"/><postalCode value="89073"/></address>
</Patient></resource></entry></Bundle>"""


def values(table: Any, row: int = 0) -> dict[str, str]:
    return {name: column[row] for name, column in table.columns.items() if column[row]}


def test_a_patient_of_the_core_data_set(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(MII), encoding="utf-8")
    found = read_export(file)
    assert (found.format, found.table.ids, values(found.table)) == ("fhir", ["4711"], EXPECTED)
    chosen = read_export(file, id_system="https://www.example.org/fhir/sid/patienten")
    assert chosen.table.ids == ["4711"]


def test_a_bundle_and_ndjson_say_the_same_as_a_file(tmp_path: Path) -> None:
    second = {**MII, "identifier": [typed("MR", "4712")]}
    bundle, lines = tmp_path / "b.json", tmp_path / "p.ndjson"
    entries = [{"resource": MII}, {"resource": {"resourceType": "Encounter", "id": "e"}}, {"resource": second}]
    bundle.write_text(json.dumps({"resourceType": "Bundle", "entry": entries}, indent=1), encoding="utf-8")
    lines.write_text(json.dumps(MII) + "\n" + json.dumps(second) + "\n", encoding="utf-8")
    a, b = read_export(bundle).table, read_export(lines).table
    assert (a.ids, a.columns) == (b.ids, b.columns)
    assert a.ids == ["4711", "4712"]
    lines.write_text(json.dumps([MII, second]), encoding="utf-8")  # a list is no FHIR, but programs write it
    assert read_export(lines).table.columns == a.columns


def test_a_number_that_is_no_longer_used_is_not_the_own_one(tmp_path: Path) -> None:
    former = {**typed("MR", "17"), "use": "old"}
    file = tmp_path / "p.json"
    file.write_text(json.dumps({**MII, "identifier": [former, typed("MR", "4711")]}), encoding="utf-8")
    assert read_export(file).table.ids == ["4711"]


def test_a_folder_of_an_archive_export_in_xml(tmp_path: Path) -> None:
    (tmp_path / "M").mkdir()
    (tmp_path / "M" / "Müller_Jörg_1_AW.xml").write_text(XML, encoding="utf-8")
    older = XML.replace("2025-01-01", "2020-01-01").replace("Am Markt 1", "Gasse 2")
    (tmp_path / "M" / "Müller_Jörg_0_AW.xml").write_text(older, encoding="utf-8")
    found = read_export(tmp_path)
    assert found.table.ids == ["kbv-1"]
    assert values(found.table) == {
        "surname": "Müller",
        "given_name": "Jörg",
        "sex": "male",
        "street": "Am Markt 1",
        "postcode": "89073",
        "town": "Ulm",
        "insured_number": "G789012344",
    }
    assert found.warnings == {"patient:older_version": 1}


@pytest.mark.parametrize(
    ("identifier", "value"),
    [
        (typed("KVZ10", "A123456780", KVID), "A123456780"),
        (typed("PKV", "A123456780"), "A123456780"),
        (typed("PKV", "2011-X-33"), ""),
        (typed("GKV", "A123456780", "http://fhir.de/sid/gkv/pseudo-kvid"), ""),
        (typed("GKV", "A123456780", "http://fhir.de/sid/gkv/kvnr-30"), ""),
        (typed("MR", "A123456780"), ""),
    ],
)
def test_only_a_number_for_life_is_an_insured_number(tmp_path: Path, identifier: dict[str, Any], value: str) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps({**MII, "id": "own", "identifier": [identifier]}), encoding="utf-8")
    table = read_export(file).table
    assert table.columns.get("insured_number", [""]) == [value]


def test_merged_and_inactive_patients_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "p.ndjson"
    gone = [
        {**MII, "identifier": [], "id": "a", "active": False},
        {**MII, "identifier": [], "id": "b", "link": [{"type": "replaced-by", "other": {"reference": "Patient/x"}}]},
    ]
    file.write_text("".join(json.dumps(p) + "\n" for p in [*gone, MII]), encoding="utf-8")
    found = read_export(file)
    assert (found.table.ids, dict(found.warnings)) == (["4711"], {"patient:not_active": 2})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (json.dumps({**MII, "identifier": [], "id": ""}), "row_without_id"),
        (json.dumps({**MII, "identifier": [typed("MR", "1"), typed("MR", "2")]}), "row_without_id"),
        (json.dumps(MII) + "\n" + json.dumps(MII), "repeated_id"),
        (json.dumps({"resourceType": "Encounter"}), "no_patients"),
        ('{"resourceType": "Patient", "name": [{"family": "Geheim"', "bad_fhir"),
        ("<Patient", "bad_fhir"),
        ('<Patient xmlns="urn:x"/>', "bad_fhir"),
        ('<!DOCTYPE p [<!ENTITY e "Geheim">]><Patient xmlns="http://hl7.org/fhir"/>', "bad_fhir"),
        ("[" * 100_000, "bad_fhir"),
    ],
)
def test_what_cannot_be_read_is_refused_without_its_content(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "Geheim_Anna.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(LocalFileError) as caught:
        read_export(file, format="fhir")
    error = caught.value
    assert error.code == code
    assert "Geheim" not in f"{error.message} {error.hint} {error.where}"
    assert "Elster" not in f"{error.message} {error.hint} {error.where}"


@pytest.mark.parametrize(
    "odd",
    [
        {"name": "x"},
        {"name": [None, 3, {"given": "x", "family": 4}]},
        {"address": [{"line": [None, 3], "_line": ["x", None]}]},
        {"birthDate": 19640812, "gender": None},
        {"meta": [], "link": [1]},
    ],
)
def test_a_wrong_type_is_a_missing_value(tmp_path: Path, odd: dict[str, Any]) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps({**MII, **odd}), encoding="utf-8")
    assert read_export(file).table.ids == ["4711"]
