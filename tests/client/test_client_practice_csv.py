"""CSV exports with their charsets and joined columns, records with gaps; all readers give rows that link alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from linkage.encode import Secrets, encode
from linkage.errors import LinkageError
from linkage.normalise import prepare
from linkage.schema import load
from linkage.tables import Table
from trustcenter.client.errors import LocalFileError
from trustcenter.client.practice import read_export

GERMAN = "PatNr;Name;Vorname;Geb.-Datum;Geschlecht;PLZ/Ort;Straße\r\n1;Müller;Jörg;12.08.1964;M;24103 Kiel;Markt 1\r\n"


SECRETS = Secrets(b"\x07" * 32, b"\x08" * 32, "s", 1)


def test_a_german_windows_export(tmp_path: Path) -> None:
    file = tmp_path / "Export.csv"
    file.write_bytes(GERMAN.encode("cp1252"))
    table = read_export(file, charset="cp1252").table
    assert table.ids == ["1"]
    assert {name: column[0] for name, column in table.columns.items()} == {
        "given_name": "Jörg",
        "surname": "Müller",
        "birth_date": "12.08.1964",
        "sex": "M",
        "street": "Markt 1",
        "postcode": "24103",
        "town": "Kiel",
    }
    with pytest.raises(LocalFileError) as caught:
        read_export(file)
    assert caught.value.code == "bad_encoding"
    assert "cp1252" in caught.value.hint


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_the_charset(tmp_path: Path, charset: str) -> None:
    file = tmp_path / "export.csv"
    file.write_text('ID,"Name, Vorname"\n7,"Müller, Jörg"\n', encoding=charset)
    table = read_export(file).table
    assert (table.ids, table.columns) == (["7"], {"given_name": ["Jörg"], "surname": ["Müller"]})


def test_what_a_spreadsheet_leaves_around_a_table_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text(
        'sep=;\r\nPatNr;"Name, Vorname, Titel";Nachname;Vorname;Versicherten-Nr.\r\n'
        '1;;"Müller";"Jörg\nMaria";A123456780\r\n;;;;\r\n ; ;;;\r\n',
        encoding="utf-8-sig",
    )
    table = read_export(file).table
    assert table.ids == ["1"]
    assert table.columns == {
        "given_name": ["Jörg\nMaria"],
        "surname": ["Müller"],
        "insured_number": ["A123456780"],
    }


@pytest.mark.parametrize("beginning", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1", b"%PDF-1.7", b"\x1f\x8b\x08"])
def test_a_file_of_another_program_is_told_by_its_beginning(tmp_path: Path, beginning: bytes) -> None:
    file = tmp_path / "Geheim.xlsx"
    file.write_bytes(beginning + b"Geheim")
    with pytest.raises(LocalFileError) as caught:
        read_export(file)
    assert caught.value.code == "not_an_export"


def test_text_in_two_bytes_is_told_with_the_option_that_this_command_has(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text("PatNr;Name\n1;Müller\n", encoding="utf-16-le")
    with pytest.raises(LocalFileError) as caught:
        read_export(file)
    assert "--charset utf-16" in caught.value.hint
    assert read_export(file, charset="utf-16").table.ids == ["1"]


def test_columns_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text("Akte|N1|N2\n5|Çelik|İpek\n", encoding="utf-8")
    table = read_export(file, id_column="Akte", mapping={"surname": "N1", "given_name": "N2"}).table
    assert (table.ids, table.columns) == (["5"], {"given_name": ["İpek"], "surname": ["Çelik"]})


def test_a_rescue_service_has_gaps_and_the_address_of_a_scene(tmp_path: Path) -> None:
    file = tmp_path / "rescue.csv"
    file.write_text(
        "id;Nachname;Vorname;Geburtsdatum;Geschlecht;PLZ;Ort;Strasse;KVNR\n"
        "1;;;1950;m;24103;Kiel;Markt 1;\n2;Unbekannt;;;w;24103;Kiel;Markt 1;A123456780\n",
        encoding="utf-8",
    )
    found = read_export(file, scene=True)
    assert found.table.columns == {
        "surname": ["", "Unbekannt"],
        "birth_date": ["1950", ""],
        "sex": ["m", "w"],
        "insured_number": ["", "A123456780"],
    }
    assert found.warnings == {"address:scene_left_out": 2}


def test_an_insurer_has_numbers_dates_and_all_given_names_in_one_field(tmp_path: Path) -> None:
    file = tmp_path / "payer.csv"
    file.write_text(
        "id;KVNR;Vornamen;Nachname;Geburtsdatum\n1;G789012344;Anna Maria;Kaya;00.00.1970\n", encoding="utf-8"
    )
    table = read_export(file).table
    prepared = prepare(load("de-person/1"), table.select(load("de-person/1").columns))
    assert prepared.values["birth_date"] == ["1970"]
    assert table.columns["insured_number"] == ["G789012344"]


@pytest.mark.parametrize(
    "text",
    ["", "Name\nGeheim\n", "id;Name\n1;Geheim;x\n", 'id;Name\n1;"Geheim\n', "id;x\n1;Geheim\n",
     "id;id;Name\n1;2;Geheim\n", "id;Name\n;Geheim\n", "id;Name\n1;Geheim\n1;Geheim\n", "id;Name\n1;\n"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_without_its_content(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Geheim.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises((LocalFileError, LinkageError)) as caught:
        read_export(file, format="csv")
    assert "Geheim" not in f"{caught.value.message} {caught.value.hint} {caught.value.where}"


def test_every_format_of_one_patient_gives_the_same_rows(tmp_path: Path) -> None:
    def line(field: str, content: str) -> bytes:
        raw = content.encode("latin-1")
        return f"{len(raw) + 9:03d}{field}".encode() + raw + b"\r\n"

    pairs = [("8000", "6301"), ("9206", "3"), ("3000", "1"), ("3101", "Müller"), ("3102", "Jörg"), ("3103", "12081964"),
             ("3106", "24103 Kiel"), ("3107", "Markt 1"), ("3110", "1"), ("3119", "A123456780")]  # fmt: skip
    (tmp_path / "a.gdt").write_bytes(b"".join(line(*pair) for pair in pairs))
    (tmp_path / "b.csv").write_text(
        "PatNr;Name;Vorname;Geburtsdatum;Geschlecht;PLZ/Ort;Straße;KVNR\n"
        "1;Müller;Jörg;12.08.1964;M;24103 Kiel;Markt 1;A123456780\n",
        encoding="utf-8",
    )
    patient = {
        "resourceType": "Patient",
        "id": "1",
        "identifier": [{"system": "http://fhir.de/sid/gkv/kvid-10", "value": "A123456780"}],
        "name": [{"use": "official", "family": "Müller", "given": ["Jörg"]}],
        "birthDate": "1964-08-12",
        "gender": "male",
        "address": [{"line": ["Markt 1"], "postalCode": "24103", "city": "Kiel"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(patient), encoding="utf-8")
    schema = load("de-person/1")

    def rows(table: Table) -> object:
        made = encode(
            schema,
            prepare(schema, table.select(schema.columns)),
            table.ids,
            Secrets(b"\x07" * 32, b"\x08" * 32, "s", 1),
        )
        return made.rows

    a, b, c = (rows(read_export(tmp_path / name).table) for name in ("a.gdt", "b.csv", "c.json"))
    assert np.array_equal(np.asarray(a), np.asarray(b))
    assert np.array_equal(np.asarray(a), np.asarray(c))
