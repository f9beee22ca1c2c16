"""Chunks for a batch system and the index on disk, through the program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trustcenter.cli.linkage.machines import resumable

Cli = Callable[..., Any]


@pytest.fixture
def rows(cli: Cli, tmp_path: Path) -> dict[str, Path]:
    """Directories of three encoded sources of 200 patients, half in common."""
    sites = ("north", "south", "west")
    args = [x for s in sites for x in ("--site", f"{s}=200")]
    assert cli("linkage", "synth", tmp_path / "data", *args, "--overlap", "0.5").code == 0
    assert cli("linkage", "secret", "--study", "demo", "-o", tmp_path / "study.secret").code == 0
    made = {}
    for site in sites:
        assert cli("linkage", "secret", "--site-key", "-o", tmp_path / f"{site}.key").code == 0
        done = cli(
            *("linkage", "encode", tmp_path / "data" / f"{site}.csv", "--schema", "de-person/1", "--id-column", "id"),
            *("--study-secret", tmp_path / "study.secret", "--site-key", tmp_path / f"{site}.key"),
            *("-o", tmp_path / site),
        )
        assert done.code == 0
        made[site] = tmp_path / site
    return made


def bare(path: Path) -> list[list[str]]:
    """A table without its columns of ids."""
    header, *lines = [line.split(",") for line in path.read_text().splitlines()]
    return [[v for name, v in zip(header, line, strict=True) if not name.startswith("id")] for line in lines]


def test_plan_chunks_and_match(cli: Cli, tmp_path: Path, rows: dict[str, Path]) -> None:
    work = tmp_path / "work"
    files = [rows["north"] / "rows.tcrows", rows["south"] / "rows.tcrows"]
    made = cli("linkage", "plan", *files, "--schema", "de-person/1", "--work", work, "--json")
    assert (made.code, made.json["cuts"], made.json["cuts_done"], made.json["rows"]) == (0, 2, 0, 6000)
    early = cli("linkage", "chunk", work, "join")
    assert early.code == 1
    assert "bad_plan" in early.err
    early_edges = cli("linkage", "plan", "--work", work, "--edges", tmp_path / "all.tcedges")
    for task in ("1", "0", "1"):
        assert cli("linkage", "chunk", work, "cut", "--task", task, "--of", "2", "--json").json == {"chunks": 1}
    assert cli("linkage", "chunk", work, "join").code == 0
    state = cli("linkage", "plan", "--work", work, "--json").json
    assert (state["cuts_done"], state["joins_done"]) == (2, state["joins"])
    both = (rows["north"], rows["south"])
    assert cli("linkage", "match", *both, "-o", tmp_path / "kept", "--work", work).code == 0
    assert cli("linkage", "match", *both, "-o", tmp_path / "anew").code == 0
    assert (tmp_path / "kept" / "pairs.csv").read_bytes() == (tmp_path / "anew" / "pairs.csv").read_bytes()
    # Who compares hands over edges; who decides has maps only.
    edges = tmp_path / "all.tcedges"
    assert "[bad_plan]" in early_edges.err
    written = cli("linkage", "plan", "--work", work, "--edges", edges, "--json")
    assert written.json["edges"] > 300
    assert "[output_exists]" in cli("linkage", "plan", "--work", work, "--edges", edges).err
    for site in ("north", "south"):
        (tmp_path / f"{site}-map").mkdir()
        (rows[site] / "map.tcmap").rename(tmp_path / f"{site}-map" / "map.tcmap")
    maps = (tmp_path / "north-map", tmp_path / "south-map")
    assert cli("linkage", "match", *maps, "-o", tmp_path / "apart", "--edges", edges).code == 0
    for name in ("persons.csv", "pairs.csv"):  # but for the site's ids, which are not there
        assert bare(tmp_path / "apart" / name) == bare(tmp_path / "kept" / name)
    assert cli("linkage", "match", *maps, "-o", tmp_path / "x", "--edges", edges, "--workers", "2").code == 1
    assert cli("linkage", "plan", *files, "--work", work).code == 1
    assert cli("linkage", "plan", "--work", tmp_path / "none").code == 1
    assert cli("linkage", "chunk", work, "cut", "--task", "2", "--of", "2").code == 1


@pytest.mark.parametrize("work", [None, Path("spool")])
def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str], work: Path | None) -> None:
    with pytest.raises(KeyboardInterrupt), resumable(work, "compared"):
        raise KeyboardInterrupt
    assert ("the same command goes on" in capsys.readouterr().err) == (work is not None)


def test_index_from_build_to_compact(cli: Cli, tmp_path: Path, rows: dict[str, Path]) -> None:
    index, new = tmp_path / "index", rows["west"] / "rows.tcrows"
    known = [rows["north"] / "rows.tcrows", rows["south"] / "rows.tcrows"]
    made = cli("linkage", "index", "build", index, *known, "--schema", "de-person/1", "--json")
    assert (made.code, made.json["rows"], made.json["sources"]) == (0, 6000, ["north", "south"])
    found = cli("linkage", "index", "look-up", index, new, "-o", tmp_path / "new.tcedges", "--json")
    assert found.code == 0
    assert found.json["edges"] > 300
    assert cli("linkage", "index", "show", index, "--verify", "--json").json["rows"] == 6000
    assert cli("linkage", "index", "add", index, new, "--json").json["rows"] == 9000
    again = cli("linkage", "index", "add", index, new, "--json")
    assert (again.json["applied"], again.json["rows"]) == (False, 9000)
    from linkage.rows import read_rows

    refs = read_rows(new)[1]["ref"]
    gone = tmp_path / "gone.txt"
    gone.write_text("\n".join(bytes(r).hex() for r in refs[:1000]) + "\n")
    assert cli("linkage", "index", "add", index, "--retire", gone, "--json").json["retired"] == 1000
    whole = cli("linkage", "index", "compact", index, "--json").json
    assert (whole["rows"], whole["retired"], whole["segments"]) == (8000, 0, 1)
    from linkage.executors import read_edges

    edges = read_edges(tmp_path / "new.tcedges")[1]
    assert len(edges) == found.json["edges"]
    assert (tmp_path / "new.tcedges").stat().st_mode & 0o777 == 0o600
    # With the edges of before they decide as a comparison of all rows does.
    before, maps = tmp_path / "before.tcedges", [rows[site] for site in ("north", "south", "west")]
    assert cli("linkage", "plan", *known, "--schema", "de-person/1", "--work", tmp_path / "spool").code == 0
    for kind in ("cut", "join"):
        assert cli("linkage", "chunk", tmp_path / "spool", kind).code == 0
    assert cli("linkage", "plan", "--work", tmp_path / "spool", "--edges", before).code == 0
    both = ("--edges", before, "--edges", tmp_path / "new.tcedges")
    assert cli("linkage", "match", *maps, "-o", tmp_path / "all").code == 0
    assert cli("linkage", "match", *maps, "-o", tmp_path / "now", *both).code == 0
    for name in ("pairs.csv", "persons.csv"):
        assert (tmp_path / "now" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    assert "(edges 2) [mixed_sources]" in cli("linkage", "match", *maps, "-o", tmp_path / "x", *both[:2], *both[:2]).err


def test_index_refuses(cli: Cli, tmp_path: Path, rows: dict[str, Path]) -> None:
    index, file = tmp_path / "index", rows["north"] / "rows.tcrows"
    assert cli("linkage", "index", "show", tmp_path / "none").code == 1
    assert cli("linkage", "index", "build", index, file, "--schema", "febrl/1").code == 1
    assert cli("linkage", "index", "build", index, file, "--schema", "de-person/1").code == 0
    assert "not empty" in cli("linkage", "index", "build", index, file, "--schema", "de-person/1").err
    assert cli("linkage", "index", "add", index).code == 1
    assert cli("linkage", "index", "add", index, file, file).code == 1
    for text in ("zz", "00ff"):
        (tmp_path / "refs").write_text(text)
        bad = cli("linkage", "index", "add", index, "--retire", tmp_path / "refs")
        assert bad.code == 1
        assert "bad_refs" in bad.err
