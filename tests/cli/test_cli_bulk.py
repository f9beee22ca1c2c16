"""Import, further pseudonyms, validation, anonymisation and deletion of whole files, against the real service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trustcenter.cli import main

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def site(live: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The connection of a site with domains of several sorts."""
    path = tmp_path_factory.mktemp("site") / "north.toml"
    drawn = ("--alphabet", "symbol32", "--length", "8", "--prefix", "psn")
    for command in (
        ("site", "add", "north", "--kind", "diz"),
        ("site", "token", "north", "-o", str(path)),
        ("domain", "create", "north", "--site", "north"),
        ("domain", "create", "old", "--site", "north", *drawn),
        ("domain", "create", "loose", "--site", "north", "--deletable"),
        ("domain", "create", "many", "--site", "north", "--multi"),
    ):
        done = CliRunner().invoke(main, [*command, "--connect", str(live.operator)], prog_name="trustcenter")
        assert done.exit_code == 0, done.stderr
    return "--connect", path


def listing(path: Path) -> list[str]:
    head, *lines = path.read_text().splitlines()
    assert head == "row,outcome"
    return [line.split(",", 1)[1] for line in lines]


def test_an_import_foreseen_done_and_repeated(cli: Cli, site: Any, tmp_path: Path) -> None:
    source = tmp_path / "gpas.csv"
    source.write_text("original;pseudonym\nP-1;psnA1\nP-2;psnA2\n;psnA3\nP-4;psnA1\nP-1;psnA9\n")
    job = ("import", source, "--from", "gpas", "--domain", "old", *site, "--json")
    foreseen = cli(*job, "-o", tmp_path / "dry.csv", "--dry-run", "--skip-failed", tmp_path / "dry-failed.csv")
    assert (foreseen.code, foreseen.json["counts"]) == (0, {"new": 4}), foreseen.err
    done = cli(*job, "-o", tmp_path / "out.csv", "--skip-failed", tmp_path / "failed.csv", "--report", tmp_path / "r")
    assert (done.code, done.json["counts"], done.json["failures"]) == (0, {"imported": 2}, 3), done.err
    told = ["imported", "imported", "empty_value", "pseudonym_taken", "original_has_another"]
    assert listing(tmp_path / "out.csv") == told
    assert (tmp_path / "failed.csv").read_text() == "original;pseudonym\n;psnA3\nP-4;psnA1\nP-1;psnA9\n"
    assert (tmp_path / "r").read_text().splitlines()[1:] == [f"{n},{code}" for n, code in enumerate(told[2:], 3)]
    for name, more, first in (("again", (), "present"), ("dry-again", ("--dry-run",), "present")):
        again = cli(*job, "-o", tmp_path / f"{name}.csv", *more)
        assert again.code == 1
        assert "[rows_failed]" in again.err
        assert listing(tmp_path / f"{name}.csv") == [first, first, *told[2:]]
    assert not any(value in done.err + again.err for value in ("P-1", "psnA"))


def test_old_and_new_side_by_side(cli: Cli, site: Any, tmp_path: Path) -> None:
    source = tmp_path / "export.csv"
    source.write_text("MPI,PSN\nQ-1,alt-1\nQ-2,alt-2\n")
    job = ("import", source, "--original", "mpi", "--pseudonym", "psn", "--domain", "north", *site)
    assert cli(*job, "-o", tmp_path / "out.csv").code == 0
    dry = cli(*job, "-o", tmp_path / "dry.csv", "--dry-run", "--json")
    assert (dry.code, dry.json["counts"]) == (0, {"known": 2})
    for name, verb, column in (("fresh", "pseudonymize", "mpi"), ("old", "translate", "psn")):
        cli(verb, source, "--column", column, "--domain", "north", "-o", tmp_path / f"{name}.csv", *site)
    fresh = [line.split(",")[0] for line in (tmp_path / "fresh.csv").read_text().splitlines()[1:]]
    assert [line.split(",")[1] for line in (tmp_path / "old.csv").read_text().splitlines()[1:]] == fresh


def test_only_what_exists(cli: Cli, site: Any, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("pid;x\nE-1;a\n")
    (tmp_path / "two.csv").write_text("pid;x\nE-1;a\nE-2;b\n")
    job = ("--column", "pid", "--domain", "north", *site)
    assert cli("pseudonymize", tmp_path / "one.csv", *job, "-o", tmp_path / "one-out.csv").code == 0
    failed = cli("pseudonymize", tmp_path / "two.csv", *job, "--existing", "-o", tmp_path / "two-out.csv")
    assert failed.code == 1
    assert "row 2: unknown_original" in failed.err
    assert not (tmp_path / "two-out.csv").exists()


def test_removal_is_foreseen_confirmed_and_seen(cli: Cli, site: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("pid\n" + "".join(f"D-{i}\n" for i in range(5)))
    psn = tmp_path / "psn.csv"
    assert cli("pseudonymize", source, "--column", "pid", "--domain", "loose", "-o", psn, *site).code == 0
    delete = ("delete", psn, "--column", "pid", "--domain", "loose", *site)
    asked = cli(*delete, "-o", tmp_path / "no.csv")
    assert asked.code != 0
    assert "[not_confirmed]" in asked.err
    assert cli(*delete, "-o", tmp_path / "dry.csv", "--dry-run").code == 0
    assert listing(tmp_path / "dry.csv") == ["would delete"] * 5
    assert cli(*delete, "-o", tmp_path / "out.csv", "--yes").code == 0
    assert listing(tmp_path / "out.csv") == ["deleted"] * 5
    valid = cli("validate", psn, "--column", "pid", "--domain", "loose", "-o", tmp_path / "valid.csv", "--json", *site)
    assert valid.json["counts"] == {"unknown_pseudonym": 5}
    gone = cli(*delete, "-o", tmp_path / "gone.csv", "--yes")
    assert (gone.code, listing(tmp_path / "gone.csv")) == (1, ["unknown_pseudonym"] * 5)
    refused = cli("delete", psn, "--column", "pid", "--domain", "north", "-o", tmp_path / "x.csv", "--yes", *site)
    assert (refused.code, "[not_deletable]" in refused.err) == (4, True)
    assert not (tmp_path / "x.csv").exists()


def test_anonymised_by_original(cli: Cli, site: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("pid\nA-1\nA-1\nA-2\n")
    job = ("--column", "pid", "--domain", "north", *site)
    assert cli("pseudonymize", source, *job, "-o", tmp_path / "before.csv").code == 0
    done = cli("anonymise", source, *job, "--originals", "-o", tmp_path / "out.csv", "--yes")
    assert (done.code, listing(tmp_path / "out.csv")) == (0, ["anonymised"] * 3), done.err
    assert cli("pseudonymize", source, *job, "-o", tmp_path / "after.csv").code == 0
    assert (tmp_path / "before.csv").read_text() != (tmp_path / "after.csv").read_text()
    kept = cli("validate", tmp_path / "before.csv", *job, "-o", tmp_path / "v.csv", "--json")
    assert kept.json["counts"] == {"ok": 3}


def test_further_pseudonyms_in_new_columns(cli: Cli, site: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text('pid;x\n"M-1";1\nM-1;2\n')
    job = ("additional", source, "--column", "pid", "--into", "psn", "--domain", "many", "--count", "2", *site)
    assert cli(*job, "-o", tmp_path / "out.csv").code == 0
    head, first, second = (tmp_path / "out.csv").read_text().splitlines()
    assert head == "pid;x;psn_1;psn_2"
    assert first.startswith('"M-1";1;"')
    cells = [cell.strip('"') for line in (first, second) for cell in line.split(";")[2:]]
    assert len(set(cells)) == 4
    single = cli(
        "additional", source, "--column", "pid", "--into", "p", "--domain", "north", "-o", tmp_path / "x", *site
    )
    assert (single.code, "[not_multi]" in single.err) == (4, True)


@pytest.mark.parametrize("command", ["import", "additional", "validate", "anonymise", "delete"])
def test_a_missing_domain_is_named_first(cli: Cli, site: Any, tmp_path: Path, command: str) -> None:
    source = tmp_path / "in.csv"
    source.write_text("pid;psn\n1;2\n" + "broken;" * 50 + "\n")
    more = {
        "import": ("--original", "pid", "--pseudonym", "psn"),
        "additional": ("--column", "pid", "--into", "new"),
        "validate": ("--column", "pid"),
    }.get(command, ("--column", "pid", "--yes"))
    done = cli(command, source, *more, "--domain", "none", "-o", tmp_path / "out.csv", *site)
    assert done.code == 1
    assert "domain" in done.err
    assert "row 2" not in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_an_import_needs_to_know_its_columns(cli: Cli, tmp_path: Path) -> None:
    done = cli("import", tmp_path / "in", "--original", "a", "--domain", "d", "-o", tmp_path / "out")
    assert (done.code, "[usage]" in done.err) == (1, True)
