"""Charsets, Parquet and FHIR through the command, against the real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trustcenter.cli import main

Cli = Callable[..., Any]
PATIENT = {
    "resourceType": "Patient",
    "id": "pat-4711",
    "identifier": [
        {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
            "system": "https://hospital.example/sid/patient",
            "value": "H-4711",
        }
    ],
    "name": [{"family": "Mustermann"}],
    "birthDate": "1964-08-12",
}
ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "enc-1",
    "status": "finished",
    "subject": {"reference": "Patient/pat-4711"},
}


@pytest.fixture(scope="module")
def site(live: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The connection of a site with two domains."""
    path = tmp_path_factory.mktemp("site") / "north.toml"
    for command in (
        ("site", "add", "north", "--kind", "diz"),
        ("site", "token", "north", "-o", str(path)),
        ("domain", "create", "north", "--site", "north"),
        ("domain", "create", "north-cases", "--site", "north"),
    ):
        done = CliRunner().invoke(main, [*command, "--connect", str(live.operator)], prog_name="trustcenter")
        assert done.exit_code == 0, done.stderr
    return "--connect", path


def test_a_charset_that_is_said_gives_the_pseudonyms_of_the_text(cli: Cli, site: Any, tmp_path: Path) -> None:
    job = ("--column", "PID", "--domain", "north", *site)
    found = {}
    for encoding in ("utf-8", "latin-1", "cp1252"):
        source, target = tmp_path / f"{encoding}.csv", tmp_path / f"{encoding}-out.csv"
        source.write_bytes("PID;Näme\nMü-1;Größe\n".encode(encoding))
        done = cli("pseudonymize", source, *job, "-o", target, "--encoding", encoding)
        assert done.code == 0, done.err
        found[encoding] = target.read_bytes().decode(encoding)
    assert len(set(found.values())) == 1
    refused = cli("pseudonymize", tmp_path / "cp1252.csv", *job, "-o", tmp_path / "x.csv")
    assert refused.code == 1
    assert "row 1: not_utf8" in refused.err
    assert "--encoding" in refused.err


def test_parquet_and_csv_give_the_same_pseudonyms(cli: Cli, site: Any, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"pid": [4711, 4712], "x": [1.5, None]}), tmp_path / "in.parquet")
    (tmp_path / "in.csv").write_text("pid\n4711\n4712\n")
    for name in ("parquet", "csv"):
        source, target = tmp_path / f"in.{name}", tmp_path / f"out.{name}"
        done = cli("pseudonymize", source, "--column", "pid", "--domain", "north", "-o", target, *site)
        assert done.code == 0, done.err
    assert pq.read_table(tmp_path / "out.parquet")["pid"].to_pylist() == (tmp_path / "out.csv").read_text().split()[1:]


def test_fhir_resources_are_pseudonymised(cli: Cli, site: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
    source.write_text(f"{json.dumps(PATIENT)}\n{json.dumps(ENCOUNTER)}\n")
    job = ("pseudonymize", source, "--fhir", "--domain", "north", "--domain-for", "Encounter=north-cases", "-o", target)
    done = cli(*job, "--json", *site)
    assert done.code == 0, done.err
    assert (done.json["rows"], done.json["dropped"]) == (2, {"Patient.name": 1})
    assert "dropped Patient.name: 1" in done.err
    patient, encounter = (json.loads(line) for line in target.read_text().splitlines())
    assert encounter["subject"]["reference"] == f"Patient/{patient['id']}"
    ids = [patient["id"], encounter["id"], patient["identifier"][0]["value"]]
    assert cli("pseudonym", "check", *ids).code == 0
    assert len(set(ids)) == 3
    assert not any(word in target.read_text() for word in ("-4711", "Mustermann", "enc-1", "1964-08-12"))
    # The number of the hospital has one pseudonym, wherever it comes from.
    (tmp_path / "in.csv").write_text("pid\nH-4711\n")
    assert (
        cli(
            "pseudonymize", tmp_path / "in.csv", "--column", "pid", "--domain", "north", *site, "-o", tmp_path / "o"
        ).code
        == 0
    )
    assert (tmp_path / "o").read_text() == f"pid\n{ids[2]}\n"


def test_rows_that_fail_side_by_side_are_named_in_one_line(cli: Cli, site: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("pid,x\nnone,1\nnone,2\nnone,3\n,4\nnone,5\n,6\n,7\n")
    done = cli("translate", source, "--column", "pid", "--domain", "north", "-o", tmp_path / "out.csv", *site)
    assert done.code == 1
    assert [line for line in done.err.splitlines() if line.startswith("row")] == [
        "rows 1 to 3: unknown_pseudonym",
        "row 4: empty_value",
        "row 5: unknown_pseudonym",
        "rows 6 to 7: empty_value",
    ]


def test_json_is_no_table(cli: Cli, site: Any, tmp_path: Path) -> None:
    (tmp_path / "in.ndjson").write_text(json.dumps(PATIENT) + "\n")
    job = ("pseudonymize", tmp_path / "in.ndjson", "--column", "id", "--domain", "north", "-o", tmp_path / "out")
    done = cli(*job, *site)
    assert done.code == 1
    assert "--fhir" in done.err


def test_a_refused_line_is_named_without_its_values(cli: Cli, site: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text(json.dumps(PATIENT) + "\n" + json.dumps({**PATIENT, "birthDate": "Mustermann 4711"}) + "\n")
    done = cli("pseudonymize", source, "--fhir", "--domain", "north", "-o", tmp_path / "out", *site)
    assert done.code == 1
    assert "line 2, Patient.birthDate: fhir_refused" in done.err
    assert "4711" not in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.ndjson"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--column", "pid", "--domain-for", "Patient=d"],
        ["--fhir", "--column", "pid"],
        ["--fhir", "--encoding", "latin-1"],
        ["--fhir", "--domain-for", "Patient"],
        ["--fhir", "--domain-for", "Patient=a", "--domain-for", "Patient=b"],
    ],
)
def test_options_that_do_not_go_together(cli: Cli, tmp_path: Path, options: list[str]) -> None:
    done = cli("pseudonymize", tmp_path / "in", "--domain", "d", "-o", tmp_path / "out", *options)
    assert done.code == 1
    assert "[usage]" in done.err


def test_a_missing_domain_of_a_type_is_named_first(cli: Cli, site: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text("not even JSON\n")
    job = (
        "pseudonymize",
        source,
        "--fhir",
        "--domain",
        "north",
        "--domain-for",
        "Encounter=none",
        "-o",
        tmp_path / "o",
    )
    done = cli(*job, *site)
    assert done.code == 1
    assert "domain" in done.err
    assert "not_json" not in done.err
