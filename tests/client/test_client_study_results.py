"""Results as files: every format says the same."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import get_args

import pytest

from trustcenter.client.errors import LocalFileError
from trustcenter.client.study.study_results import write
from trustcenter.messages.api import ResultLine
from trustcenter.messages.words import ResultFormat

ROWS = [
    ("7", ResultLine(record_number="00" * 16, pseudonym="AAAA", date_shift=-12)),
    ("8", ResultLine(record_number="11" * 16, pseudonym="BBBB", successor="AAAA")),
]
WANTED = [("7", "AAAA", None, -12), ("8", "BBBB", "AAAA", None)]


def read(path: Path, kind: str) -> list[tuple[object, ...]]:
    if kind == "csv":
        with path.open(newline="") as stream:
            lines = list(csv.DictReader(stream))
        return [
            (x["pid"], x["pseudonym"], x["successor"] or None, int(x["date_shift"]) if x["date_shift"] else None)
            for x in lines
        ]
    if kind == "fhir":
        bundle = json.loads(path.read_text())
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
        found = []
        for entry in bundle["entry"]:
            named = {p["name"]: p for p in entry["resource"]["parameter"]}
            assert named["context"]["valueIdentifier"]["value"] == "sepsis"
            found.append(
                (
                    named["original"]["valueIdentifier"]["value"],
                    named["pseudonym"]["valueIdentifier"]["value"],
                    named["successor"]["valueIdentifier"]["value"] if "successor" in named else None,
                    named["date-shift-days"]["valueInteger"] if "date-shift-days" in named else None,
                )
            )
        return found
    if kind == "parquet":
        import pyarrow.parquet as pq

        lines = pq.read_table(path).to_pylist()
    else:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(x["pid"], x["pseudonym"], x["successor"], x["date_shift"]) for x in lines]


@pytest.mark.parametrize("kind", get_args(ResultFormat))
def test_every_format_says_the_same(tmp_path: Path, kind) -> None:
    target = tmp_path / "result"
    write(target, kind, "pid", ROWS, "sepsis")
    assert read(target, kind) == WANTED
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(LocalFileError):
        write(target, kind, "pid", ROWS[:1], "sepsis")
    assert read(target, kind) == WANTED


def test_a_study_without_shifts_and_duplicates_gives_two_columns(tmp_path: Path) -> None:
    write(tmp_path / "r.csv", "csv", "pid", [("7", ResultLine(record_number="00" * 16, pseudonym="AAAA"))], "sepsis")
    assert (tmp_path / "r.csv").read_text() == "pid,pseudonym\n7,AAAA\n"
