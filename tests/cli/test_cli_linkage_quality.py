"""`linkage check` and `linkage dedupe` as a data manager types them, up to an encoding without the duplicates."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
OPTIONS = ("--schema", "de-person/1", "--id-column", "id")
TWICE = 15


@pytest.fixture
def source(cli: Cli, tmp_path: Path) -> Path:
    """300 synthetic patients, 15 of them twice under another id, with the house number left out."""
    assert cli("linkage", "synth", tmp_path / "data", "--site", "north=300", "--errors", "light").code == 0
    with (tmp_path / "data" / "north.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows += [{**r, "id": f"D{r['id']}", "house_number": ""} for r in rows[:TWICE]]
    path = tmp_path / "north.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_check_tells_counts_in_three_forms(cli: Cli, source: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = cli("linkage", "check", source, *OPTIONS, "--html", page)
    assert done.code == 0
    assert "fewer than 3 live rows" in done.out
    assert "linkage dedupe" in done.err
    assert page.read_text(encoding="utf-8").count("<svg") >= 5
    told = json.loads(cli("linkage", "check", source, *OPTIONS, "--json").out)
    assert told["format"] == "trustcenter/source-check/3"
    assert told["records"] == 300 + TWICE
    assert told["same_in_all"] <= 2, "only who lacks the house number anyway"
    assert told["same_person"] >= TWICE - 2
    again = cli("linkage", "check", source, *OPTIONS, "--html", page)
    assert again.code == 1
    assert "output_exists" in again.err


def test_from_the_list_to_an_encoding_without_duplicates(cli: Cli, source: Path, tmp_path: Path) -> None:
    listing, clean = tmp_path / "pairs.csv", tmp_path / "clean"
    assert cli("linkage", "dedupe", source, *OPTIONS, "--list", listing).code == 0
    with listing.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["decision"] = "same" if row["id_b"] == f"D{row['id_a']}" else "different"
    assert sum(row["decision"] == "same" for row in rows) >= TWICE - 1
    with listing.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    done = cli("linkage", "dedupe", source, *OPTIONS, "--confirmed", listing, "-o", clean, "--json")
    assert done.code == 0
    removed = json.loads(done.out)["removed"]
    names = json.loads((clean / "duplicates.json").read_bytes())["ids"]
    assert len(names) == removed >= TWICE - 1
    assert all(one.startswith("D") for one in names), "the record without a house number goes"
    declared = json.loads((clean / "declaration.json").read_bytes())
    assert (declared["removed"], declared["accepted"], declared["records"]) == (removed, 0, 300 + TWICE)
    assert not any(one in (clean / "declaration.json").read_text() for one in names)

    assert cli("linkage", "secret", "--study", "demo", "-o", tmp_path / "study.secret").code == 0
    assert cli("linkage", "secret", "--site-key", "-o", tmp_path / "site.key").code == 0
    encoded = cli(
        *("linkage", "encode", source, *OPTIONS, "--duplicates", clean / "duplicates.json", "--json"),
        *("--study-secret", tmp_path / "study.secret", "--site-key", tmp_path / "site.key", "-o", tmp_path / "enc"),
    )
    assert encoded.code == 0
    assert json.loads(encoded.out)["records"] == 300 + TWICE - removed


def test_without_a_person_the_rule_joins(cli: Cli, source: Path, tmp_path: Path) -> None:
    done = cli("linkage", "dedupe", source, *OPTIONS, "--accept-matches", "-o", tmp_path / "clean", "--json")
    assert done.code == 0
    assert json.loads(done.out)["removed"] >= TWICE - 2


@pytest.mark.parametrize("options", [(), ("--accept-matches",), ("--confirmed", "x")])
def test_what_belongs_together(cli: Cli, source: Path, options: tuple[str, ...]) -> None:
    done = cli("linkage", "dedupe", source, *OPTIONS, *options)
    assert done.code == 1
    assert "[usage]" in done.err


def test_a_value_is_never_echoed(cli: Cli, source: Path, tmp_path: Path) -> None:
    bad = tmp_path / "pairs.csv"
    bad.write_text("decision,id_a,id_b\nsame,Geheimrat,1\n", encoding="utf-8")
    done = cli("linkage", "dedupe", source, *OPTIONS, "--confirmed", bad, "-o", tmp_path / "clean")
    assert done.code == 1
    assert "row 1" in done.err
    assert "Geheimrat" not in done.err + done.out
    assert not (tmp_path / "clean").exists()


def test_records_that_are_all_alike_are_told(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "same.csv"
    path.write_text("id,surname,given_name,birth_date\n" + "".join(f"{i},Weber,Jan,1950-01-02\n" for i in range(300)))
    done = cli("linkage", "dedupe", path, *OPTIONS, "--list", tmp_path / "pairs.csv")
    assert done.code == 0
    assert "300 records are equal to another one in every field" in done.err
