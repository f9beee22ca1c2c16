"""The page on linking two files runs as it stands there, on files as a hospital's spreadsheet writes them."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from tests_support import ok

from linkage.tables import default_mapping

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "link-files.md"
GERMAN = {"id": "PatID", "surname": "Nachname", "given_name": "Vorname", "birth_date": "Geburtsdatum",
          "sex": "Geschlecht", "street": "Strasse", "house_number": "Hausnummer", "postcode": "PLZ",
          "town": "Ort"}  # fmt: skip


def export(source: Path, target: Path, encoding: str) -> None:
    """A table as a spreadsheet of a German house writes it."""
    with source.open(encoding="utf-8", newline="") as file, target.open("w", encoding=encoding, newline="") as out:
        rows = list(csv.DictReader(file))
        writer = csv.writer(out, delimiter=";")
        writer.writerow(GERMAN.values())
        writer.writerows([row[name].encode(encoding, "replace").decode(encoding) for name in GERMAN] for row in rows)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ok(
        "linkage",
        "synth",
        "made",
        "--site",
        "klinik=300",
        "--site",
        "praxis=120:practice",
        "--overlap",
        "0.4",
        "--seed",
        "2",
    )
    export(Path("made/klinik.csv"), Path("klinik-export.csv"), "cp1252")
    export(Path("made/praxis.csv"), Path("praxis.csv"), "utf-8")
    blocks = re.findall(r"```\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in "".join(blocks).splitlines():
        if line.startswith("trustcenter "):
            ok(*shlex.split(line)[1:])
        else:
            assert line == "iconv -f WINDOWS-1252 -t UTF-8 klinik-export.csv > klinik.csv"
            Path("klinik.csv").write_text(Path("klinik-export.csv").read_text(encoding="cp1252"), encoding="utf-8")
    with Path("joined/persons.csv").open(encoding="utf-8", newline="") as file:
        persons = list(csv.DictReader(file))
    assert list(persons[0]) == ["source", "record_number", "id", "person"]
    shared = [row["person"] for row in persons if row["source"] == "praxis"]
    assert len({row["person"] for row in persons if row["source"] == "klinik"}.intersection(shared)) > 30
    assert "Errors to expect" in Path("report.html").read_text(encoding="utf-8")


def test_columns_of_the_page_are_recognised() -> None:
    told = re.search(r"\(`Nachname`.*?…\)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert told is not None
    named = re.findall(r"`(\w+)`", told[0])
    assert len(default_mapping(named)) == len(named) == 7
