"""Calibration on the command line: a site's own counts, pooled and used; and what it refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
SCHEMA = ("--schema", "de-person/1")


@pytest.fixture
def site(cli: Cli, tmp_path: Path) -> Path:
    done = cli("linkage", "synth", tmp_path / "data", "--site", "north=900", "--site", "south=900", "--overlap", "0.5")
    assert done.code == 0
    return tmp_path


def count(cli: Cli, base: Path, name: str, *more: str) -> Any:
    source = base / "data" / f"{name}.csv"
    return cli("linkage", "calibrate", source, *SCHEMA, "--id-column", "id", "-o", base / f"{name}.json", *more)


def test_counts_of_two_sites_are_pooled_and_decide(cli: Cli, site: Path) -> None:
    done = count(cli, site, "north", "--json")
    assert done.code == 0, done.err
    assert 250 <= done.json["matches"] <= 350, "a third of the records is on both sides; small cells are drawn"
    cells = [n for row in json.loads((site / "north.json").read_text("utf-8"))["pairs"]["match"]["own"] for n in row]
    assert not {1, 2, 3, 4} & set(cells)
    assert {0, 5} < set(cells)
    assert count(cli, site, "south", "--errors", "heavy", "--seed", "2").code == 0
    names = (site / "data" / "north.csv").read_text("utf-8").splitlines()[1:]
    text = (site / "north.json").read_text("utf-8")
    assert not any(line.split(",")[2] in text for line in names if len(line.split(",")[2]) > 4)
    pools = [part for name in ("north", "south") for part in ("--pool", site / f"{name}.json")]
    done = cli("linkage", "calibrate", *SCHEMA, *pools, "--shipped", "-o", site / "study.json", "--json")
    assert done.code == 0, done.err
    assert "own" in done.json["grades"]
    assert "heavy" in done.json["grades"]
    one, other, both = (
        json.loads((site / f"{n}.json").read_text("utf-8"))["pairs"]["match"]["own"]
        for n in ("north", "south", "study")
    )
    assert [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(one, other, strict=True)] == both

    assert cli("linkage", "secret", "--study", "s", "-o", site / "s.secret").code == 0
    for name in ("north", "south"):
        assert cli("linkage", "secret", "--site-key", "-o", site / f"{name}.key").code == 0
        keys = ("--study-secret", site / "s.secret", "--site-key", site / f"{name}.key")
        source = site / "data" / f"{name}.csv"
        done = cli("linkage", "encode", source, *SCHEMA, "--id-column", "id", *keys, "-o", site / f"enc-{name}")
        assert done.code == 0, done.err
    hashes = set()
    for more in ((), ("--densities", site / "study.json")):
        done = cli("linkage", "match", site / "enc-north", site / "enc-south", "-o", site / "out", "--force", *more)
        assert done.code == 0, done.err
        hashes.add(json.loads((site / "out" / "run.json").read_text("utf-8"))["densities_sha256"])
        done = cli("linkage", "evaluate", site / "out", "--truth", site / "data" / "truth.csv", "--json")
        assert done.code == 0, done.err
    assert len(hashes) == 2, "what a run was decided with is in its record"

    frozen = site / "out" / "parameters.json"
    recorded = json.loads((site / "out" / "run.json").read_text("utf-8"))["parameters_sha256"]
    assert hashlib.sha256(frozen.read_bytes()).hexdigest() == recorded
    again = ("linkage", "match", site / "enc-north", site / "enc-south", "-o", site / "again")
    done = cli(*again, "--parameters", frozen)
    assert done.code == 0, done.err
    for name in ("pairs.csv", "persons.csv", "parameters.json"):
        assert (site / "again" / name).read_bytes() == (site / "out" / name).read_bytes(), name
    done = cli(*again, "--force", "--parameters", frozen, "--careful")
    assert (done.code, "in place of" in done.err) == (1, True)
    assert cli(*again, "--force", "--parameters", site / "out" / "run.json").code == 1


def test_the_same_seed_gives_the_same_counts(cli: Cli, site: Path) -> None:
    assert count(cli, site, "north").code == 0
    first = (site / "north.json").read_bytes()
    assert count(cli, site, "north", "--force").code == 0
    assert (site / "north.json").read_bytes() == first
    assert count(cli, site, "north", "--force", "--seed", "other").code == 0
    assert (site / "north.json").read_bytes() != first


def test_what_is_refused(cli: Cli, site: Path) -> None:
    assert count(cli, site, "north").code == 0
    again = count(cli, site, "north")
    assert (again.code != 0, "exists" in again.err) == (True, True)
    out = ("-o", site / "x.json")
    source = site / "data" / "north.csv"
    for words, text in (
        ((*SCHEMA, *out), "nothing to count"),
        ((source, *SCHEMA, *out), "column of the ids"),
        ((*SCHEMA, "--pool", site / "nowhere.json", *out), "no such file"),
        ((*SCHEMA, "--pool", source, *out), "not a table of densities"),
        (("--schema", site / "fine.json", "--pool", site / "north.json", *out), "other passes"),
    ):
        if text == "other passes":
            schema = cli("linkage", "schema", "show", "de-person/1", "--json").json
            schema |= {"name": "mine/1", "profile": "mine", "passes": schema["passes"][:4]}
            (site / "fine.json").write_text(json.dumps(schema), "utf-8")
        done = cli("linkage", "calibrate", *words)
        assert (done.code != 0, text in done.err) == (True, True), (text, done.err)
    assert not (site / "x.json").exists()


def test_a_small_source_is_told_to_use_what_ships(cli: Cli, tmp_path: Path) -> None:
    assert cli("linkage", "synth", tmp_path / "data", "--site", "north=150").code == 0
    done = count(cli, tmp_path, "north")
    assert done.code != 0
    assert "fewer than 200" in done.err
