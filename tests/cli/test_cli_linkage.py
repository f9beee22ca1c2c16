"""Record linkage without a service: the whole path, and every way to hold it wrong."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secrets(cli: Cli, base: Path, *sites: str, study: str = "demo") -> Path:
    assert cli("linkage", "secret", "--study", study, "-o", base / "study.secret").code == 0
    for site in sites:
        assert cli("linkage", "secret", "--site-key", "-o", base / f"{site}.key").code == 0
    return base / "study.secret"


def encode(cli: Cli, base: Path, site: str, source: Path | None = None, *more: str) -> Any:
    return cli(
        *("linkage", "encode", source or base / "data" / f"{site}.csv", "--schema", "de-person/1", "--id-column", "id"),
        *("--study-secret", base / "study.secret", "--site-key", base / f"{site}.key", "-o", base / f"enc-{site}"),
        *more,
    )


@pytest.fixture
def world(cli: Cli, tmp_path: Path) -> Path:
    """Two synthetic sites with their secrets, not yet encoded."""
    done = cli("linkage", "synth", tmp_path / "data", "--site", "north=300", "--site", "south=200", "--overlap", "0.5")
    assert done.code == 0
    secrets(cli, tmp_path, "north", "south")
    return tmp_path


def test_from_synthetic_sites_to_a_verdict(cli: Cli, world: Path) -> None:
    for site in ("north", "south"):
        done = encode(cli, world, site)
        assert done.code == 0
        assert "never both to one party" in done.err
        made = world / f"enc-{site}"
        assert sorted(p.name for p in made.iterdir()) == ["ids.csv", "map.tcmap", "rows.tcrows"]
        assert {mode(p) for p in made.iterdir()} == {0o600}
        assert mode(made) == 0o700
    done = cli("linkage", "match", world / "enc-north", world / "enc-south", "-o", world / "out", "--json")
    assert done.code == 0
    assert done.json["records"] == 500
    assert done.json["sources"] == ["north", "south"]
    with (world / "out" / "persons.csv").open(encoding="utf-8", newline="") as stream:
        persons = list(csv.DictReader(stream))
    assert len(persons) == 500
    assert len({row["person"] for row in persons}) == done.json["persons"]
    judged = cli("linkage", "evaluate", world / "out", "--truth", world / "data" / "truth.csv", "--json")
    assert judged.code == 0
    assert judged.json["overall"]["true"] == 100
    assert judged.json["overall"]["f1"] > 0.9
    table = cli("linkage", "evaluate", world / "out", "--truth", world / "data" / "truth.csv")
    assert [line for line in table.out.splitlines() if line.startswith("all")]
    assert "expected by the run itself" in table.out


def test_the_same_seed_gives_the_same_files(cli: Cli, tmp_path: Path) -> None:
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert cli("linkage", "synth", tmp_path / name, "--site", "x=50", "--seed", seed).code == 0
    first, again, other = ((tmp_path / n / "x.csv").read_bytes() for n in "abc")
    assert first == again
    assert first != other


def test_order_of_the_file_does_not_show(cli: Cli, world: Path) -> None:
    assert encode(cli, world, "north").code == 0
    header, *rows = (world / "data" / "north.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    turned = world / "north.csv"
    turned.write_text(header + "".join(reversed(rows)), encoding="utf-8")
    before = {n: (world / "enc-north" / n).read_bytes() for n in ("rows.tcrows", "map.tcmap")}
    assert encode(cli, world, "north", turned, "--force").code == 0
    assert {n: (world / "enc-north" / n).read_bytes() for n in before} == before


def test_no_name_and_no_id_is_in_what_leaves_the_site(cli: Cli, world: Path) -> None:
    assert encode(cli, world, "north").code == 0
    with (world / "data" / "north.csv").open(encoding="utf-8", newline="") as stream:
        values = {v.encode() for row in csv.DictReader(stream) for v in (row["id"], row["surname"]) if len(v) > 4}
    for name in ("rows.tcrows", "map.tcmap"):
        leaving = (world / "enc-north" / name).read_bytes()
        assert not [v for v in values if v in leaving]


def test_secrets_are_private_shown_by_fingerprint_and_never_overwritten(cli: Cli, tmp_path: Path) -> None:
    path = secrets(cli, tmp_path, "north")
    assert mode(path) == mode(tmp_path / "north.key") == 0o600
    shown = cli("linkage", "secret", "--show", path, "--json").json
    assert (shown["study"], shown["version"]) == ("demo", 1)
    material = path.read_text().split("material: ")[1].split("\n")[0]
    assert material not in cli("linkage", "secret", "--show", path).out
    before = path.read_bytes()
    assert cli("linkage", "secret", "--study", "demo", "-o", path).code == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--study", "demo"],
        ["--site-key"],
        ["--site-key", "--study", "demo", "-o", "x"],
        ["--show", "x", "-o", "y"],
    ],
)
def test_secret_needs_one_thing_to_do(cli: Cli, arguments: list[str]) -> None:
    assert cli("linkage", "secret", *arguments).code == 1


# --- bad input ---------------------------------------------------------------------------------------

HEAD = "id,given_name,surname,birth_date\n"
BAD = {
    "empty file": (b"", "empty"),
    "not UTF-8": (HEAD.encode() + b"1,Max,M\xfcller-4711,1950-01-01\n", "row 1"),
    "ragged row": (HEAD.encode() + b"1,Max,Meier,1950-01-01\n2,Eva-4711\n", "row 2"),
    "duplicate id": (HEAD.encode() + b"4711,A,B,1950-01-01\n4711,C,D,1950-01-01\n", "row 2"),
    "empty id": (HEAD.encode() + b",A,B-4711,1950-01-01\n", "row 1"),
    "open quote": (HEAD.encode() + b'1,"Max-4711,B,1950-01-01\n', "quot"),
    "no column of ours": (b"id,note\n1,4711\n", "recogni"),
    "no id column": (b"pid,surname\n1,4711\n", "id"),
    "no header": (b"1,Max,Meier-4711,1950-01-01\n", ""),
}


@pytest.mark.parametrize(("content", "says"), BAD.values(), ids=BAD)
def test_a_bad_table_is_named_by_place_and_nothing_is_left(cli: Cli, tmp_path: Path, content: bytes, says: str) -> None:
    secrets(cli, tmp_path, "north")
    source = tmp_path / "north.csv"
    source.write_bytes(content)
    done = encode(cli, tmp_path, "north", source)
    assert done.code == 1
    assert says in done.err
    assert "4711" not in done.err + done.out
    assert not (tmp_path / "enc-north").exists()


def test_encoding_refuses_other_secrets_paths_and_mappings(cli: Cli, world: Path) -> None:
    assert encode(cli, world, "north", None, "--study", "other").err.count("[wrong_study_secret]") == 1
    assert encode(cli, world, "north", None, "--map", "surname=nachname-4711").code == 1
    assert encode(cli, world, "north", None, "--map", "shoe_size=id").code == 1
    assert encode(cli, world, "north", world / "missing.csv").code == 1
    assert encode(cli, world, "north", None, "--delimiter", "#").code == 1
    os.chmod(world / "north.key", 0o644)  # noqa: PTH101 - the test is about the mode
    assert "[secret_file_permissions]" in encode(cli, world, "north").err
    assert not (world / "enc-north").exists()


def test_outputs_are_not_overwritten_without_force(cli: Cli, world: Path) -> None:
    assert encode(cli, world, "north").code == 0
    assert "[output_exists]" in encode(cli, world, "north").err
    assert encode(cli, world, "north", None, "--force").code == 0
    assert "[output_exists]" in cli("linkage", "synth", world / "data").err


def test_matching_refuses_what_does_not_belong_together(cli: Cli, world: Path) -> None:
    for site in ("north", "south"):
        assert encode(cli, world, site).code == 0
    north, south = world / "enc-north", world / "enc-south"
    out = world / "out"
    assert cli("linkage", "match", north, "-o", out).code == 1
    assert "(sources 1 and 2) [bad_plan]" in cli("linkage", "match", north, north, "-o", out).err
    assert "(directory 2) [bad_rows_file]" in cli("linkage", "match", north, world / "missing", "-o", out).err
    assert cli("linkage", "match", north, south, "-o", out, "--not-deduplicated", "west").code == 1
    assert cli("linkage", "match", north, south, "-o", out, "--schema", "febrl/1").code == 1
    other = world / "other"
    other.mkdir()
    secrets(cli, other, "south", study="another")
    done = cli(
        *("linkage", "encode", world / "data" / "south.csv", "--schema", "de-person/1", "--id-column", "id"),
        *("--study-secret", other / "study.secret", "--site-key", other / "south.key", "-o", other / "enc"),
    )
    assert done.code == 0
    done = cli("linkage", "match", north, other / "enc", "-o", out)
    assert "two sources are not of one study (directories 1 and 2) [mixed_sources]" in done.err
    assert not out.exists()


def test_sources_under_two_secrets_of_one_study_are_told_of(cli: Cli, world: Path) -> None:
    """Nothing in the files tells the secrets apart, but that no row of one meets a row of the other."""
    for site in ("north", "south"):
        assert encode(cli, world, site).code == 0
    sources = (world / "enc-north", world / "enc-south")
    assert "study secret" not in cli("linkage", "match", *sources, "-o", world / "right").err
    (world / "study.secret").unlink()
    secrets(cli, world)
    assert encode(cli, world, "south", None, "--force").code == 0
    done = cli("linkage", "match", *sources, "-o", world / "wrong")
    assert done.code == 0
    assert "no record of north resembles any of south: were both encoded under one study secret" in done.err


def test_a_changed_rows_file_is_a_failed_verification(cli: Cli, world: Path) -> None:
    for site in ("north", "south"):
        assert encode(cli, world, site).code == 0
    path = world / "enc-north" / "rows.tcrows"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    done = cli("linkage", "match", world / "enc-north", world / "enc-south", "-o", world / "out")
    assert done.code == 3
    assert "[rows_file_damaged]" in done.err


def test_evaluation_needs_ids_and_the_truth_of_all(cli: Cli, world: Path) -> None:
    for site in ("north", "south"):
        assert encode(cli, world, site).code == 0
    (world / "enc-south" / "ids.csv").unlink()
    match = ("linkage", "match", world / "enc-north", world / "enc-south", "-o")
    assert cli(*match, world / "out").code == 0
    truth = world / "data" / "truth.csv"
    assert "[no_ids]" in cli("linkage", "evaluate", world / "out", "--truth", truth).err
    assert encode(cli, world, "south", None, "--force").code == 0
    assert cli(*match, world / "out", "--force").code == 0
    short = world / "short.csv"
    short.write_text("".join(truth.read_text().splitlines(keepends=True)[:-1]))
    assert "1 of 500 records" in cli("linkage", "evaluate", world / "out", "--truth", short).err
    assert cli("linkage", "evaluate", world / "out", "--truth", world / "data" / "north.csv").code == 1


def test_schemas_are_listed_shown_and_fingerprinted(cli: Cli) -> None:
    listed = {s["name"]: s["fingerprint"] for s in cli("linkage", "schema", "list", "--json").json}
    assert cli("linkage", "schema", "fingerprint", "de-person/1").out.strip() == listed["de-person/1"]
    assert cli("linkage", "schema", "show", "de-person/1", "--json").json["name"] == "de-person/1"
    assert listed["de-person/1"] in cli("linkage", "schema", "show", "de-person/1").out
    assert "[unknown_schema]" in cli("linkage", "schema", "show", "no-such/1").err


def test_worker_processes_and_a_kept_directory_give_the_same(cli: Cli, world: Path) -> None:
    for site in ("north", "south"):
        assert encode(cli, world, site).code == 0
    both = (world / "enc-north", world / "enc-south")
    assert cli("linkage", "match", *both, "-o", world / "one").code == 0
    work = world / "work"
    assert cli("linkage", "match", *both, "-o", world / "two", "--workers", "2", "--work", work).code == 0
    stamps = {p.name: p.stat().st_mtime_ns for p in work.glob("*.part")}
    assert stamps
    assert mode(work) == 0o700
    assert {mode(p) for p in work.iterdir()} == {0o600}
    assert cli("linkage", "match", *both, "-o", world / "three", "--work", work).code == 0
    assert {p.name: p.stat().st_mtime_ns for p in work.glob("*.part")} == stamps
    for name in ("pairs.csv", "persons.csv"):
        assert len({(world / out / name).read_bytes() for out in ("one", "two", "three")}) == 1
    assert not [p for p in world.iterdir() if p.name.startswith(".")]
    other = cli("linkage", "match", both[1], both[0], "-o", world / "four", "--work", work)
    assert other.code == 1
    assert "bad_plan" in other.err
