"""`linkage evaluate` as a data manager types it: truth, labels, neither; page, charts, sheet."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

Cli = Callable[..., Any]


def test_the_whole_report(cli: Cli, joined: Path) -> None:
    out, truth = joined / "joined", joined / "data" / "truth.csv"
    encoded = ("--encoded", joined / "south", "--encoded", joined / "north")
    report, charts = joined / "report.html", joined / "charts"
    done = cli(
        *("linkage", "evaluate", out, "--truth", truth, *encoded),
        *("--report", report, "--charts", charts, "--json"),
    )
    assert done.code == 0
    assert done.json["overall"]["f1"] > 0.9
    assert done.json["format"] == "trustcenter/linkage-evaluation/1"
    assert done.json["passes"]["of"] == "true pairs"
    assert done.json["parameters"]["schema"] == "de-person/1"
    assert len(done.json["parameters"]["densities_sha256"]) == 64
    (expected,) = done.json["projected"]
    assert expected["pairs"][0] == done.json["parameters"]["counts"]["matches"]
    assert 0 < expected["missed"] < 0.1
    text = report.read_text(encoding="utf-8")
    assert "Errors to expect" in text
    assert text.count("<svg") == 8
    with (joined / "data" / "north.csv").open(encoding="utf-8", newline="") as file:
        assert not [row["id"] for row in csv.DictReader(file) if row["id"] in text]
    assert len(list(charts.iterdir())) == 8
    for path in charts.iterdir():
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    again = cli("linkage", "evaluate", out, "--report", report)
    assert "[output_exists]" in again.err


def test_a_sheet_is_blind_and_comes_back(cli: Cli, joined: Path) -> None:
    out, sheet = joined / "joined", joined / "sheet.csv"
    assert cli("linkage", "evaluate", out, "--sheet", sheet, "--sheet-size", "60").code == 0
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert list(rows[0]) == ["decision", "source_a", "record_a", "id_a", "source_b", "record_b", "id_b"]
    first = sheet.read_bytes()
    assert cli("linkage", "evaluate", out, "--sheet", sheet, "--sheet-size", "60", "--force").code == 0
    assert sheet.read_bytes() == first
    assert "[no_labels]" in cli("linkage", "evaluate", out, "--labels", sheet).err
    with (joined / "data" / "truth.csv").open(encoding="utf-8", newline="") as file:
        person = {(row["site"], row["id"]): row["person"] for row in csv.DictReader(file)}
    for row in rows:
        same = person[row["source_a"], row["id_a"]] == person[row["source_b"], row["id_b"]]
        row["decision"] = "same" if same else "different"
    assert {row["decision"] for row in rows} == {"same", "different"}
    write(sheet, rows)
    done = cli("linkage", "evaluate", out, "--labels", sheet, "--json")
    assert done.code == 0
    assert (done.json["basis"], done.json["labelled"]) == ("labels", 60)
    truth = cli("linkage", "evaluate", out, "--truth", joined / "data" / "truth.csv", "--json").json
    assert done.json["overall"]["precision"] == pytest.approx(truth["overall"]["precision"], abs=0.05)


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_without_truth_it_says_so(cli: Cli, joined: Path) -> None:
    done = cli("linkage", "evaluate", joined / "joined")
    assert done.code == 0
    assert "from the posteriors alone" in done.err


def test_what_does_not_fit_is_refused(cli: Cli, joined: Path) -> None:
    out, truth, sheet = joined / "joined", joined / "data" / "truth.csv", joined / "sheet.csv"
    assert cli("linkage", "evaluate", out, "--sheet", sheet, "--sheet-size", "4").code == 0
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert "[usage]" in cli("linkage", "evaluate", out, "--truth", truth, "--labels", sheet).err
    assert "[usage]" in cli("linkage", "evaluate", out, "--png").err
    refused = cli("linkage", "evaluate", out, "--truth", sheet)
    assert "[unknown_column]" in refused.err
    assert "site, id, person" in refused.err
    for change in ({"decision": "Geheim-4711"}, {"decision": "same", "record_a": "Geheim-4711"}):
        write(sheet, [rows[0], {**rows[1], **change}])
        done = cli("linkage", "evaluate", out, "--labels", sheet)
        assert "row 2" in done.err
        assert "[bad_label]" in done.err
        assert "4711" not in done.err
    assert "[mixed_sources]" in cli("linkage", "evaluate", out, "--encoded", joined / "north").err
    (out / "run.json").write_text("{}")
    assert "[bad_run]" in cli("linkage", "evaluate", out).err
    (out / "run.json").unlink()
    assert "[no_run]" in cli("linkage", "evaluate", out).err
