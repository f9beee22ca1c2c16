"""`trustcenter reidentify` with the real program against the live service: outputs, exit codes, no half files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tests_support import ok, run_cli


@pytest.fixture(scope="module")
def house(live: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a site, an approver and an auditor, and 30 pseudonyms of the site in psn.csv."""
    base = tmp_path_factory.mktemp("house")
    operator = ("--connect", live.operator)

    for site in ("north", "south"):
        ok("site", "add", site, *operator)
        ok("site", "token", site, "-o", base / f"{site}.toml", *operator)
        ok("domain", "create", site, "--site", site, *operator)
    for name in ("anna", "bernd"):
        public = ok("staff", "keygen", "-o", base / f"{name}.key", "--no-passphrase").strip()
        ok(
            *("staff", "add", name, "--role", "approver", "--public-key", public),
            *("-o", base / f"{name}.toml", *operator),
        )
    (base / "pid.csv").write_text("pid;note\r\n" + "".join(f"PID-{n % 20:04};n{n}\r\n" for n in range(30)))
    ok(
        *("pseudonymize", base / "pid.csv", "--column", "pid", "--domain", "north", "-o", base / "psn.csv"),
        *("--connect", base / "north.toml"),
    )
    return base


def cli(house: Path, who: str, *arguments: str | Path) -> Any:
    done = run_cli("reidentify", *arguments, "--connect", house / f"{who}.toml")
    assert "Traceback" not in done.stderr
    assert "PID-" not in done.stderr + done.stdout
    return done


def request(house: Path, source: Path | None = None) -> str:
    done = cli(
        house, "north", "request", source or house / "psn.csv", "--column", "pid", "--domain", "north",
        "--reason", "a finding", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["state"], made["pseudonyms"]) == ("requested", 20)
    return str(made["reidentification"])


def approve(house: Path, ident: str) -> Any:
    return cli(house, "anna", "approve", ident, "--personal-key", house / "anna.key", "--yes")


def fetch(house: Path, ident: str, target: Path, *more: str | Path, source: Path | None = None) -> Any:
    return cli(
        house, "north", "fetch", ident, source or house / "psn.csv", "--column", "pid", "-o", target, *more
    )  # fmt: skip


def test_request_approve_fetch_gives_the_first_file_again(house: Path, tmp_path: Path) -> None:
    ident = request(house)
    refused = fetch(house, ident, tmp_path / "out.csv")
    assert (refused.returncode, "[ticket_needed]" in refused.stderr) == (4, True)
    signed = approve(house, ident)
    assert signed.returncode == 0, signed.stderr
    assert "reason: a finding" in signed.stderr
    assert "pseudonyms: 20" in signed.stderr
    done = fetch(house, ident, tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_bytes() == (house / "pid.csv").read_bytes()
    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o600
    assert "30 rows, 20 originals; fetches left: 4" in done.stderr
    beside = fetch(house, ident, tmp_path / "both.csv", "--into", "original", "--json")
    assert json.loads(beside.stdout) == {"rows": 30, "originals": 20, "fetches_left": 3, "state": "approved"}
    with (tmp_path / "both.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter=";"))
    assert rows[0]["original"] == "PID-0000"
    assert rows[0]["pid"] != "PID-0000"


def test_a_row_outside_of_the_ticket_leaves_no_output(house: Path, tmp_path: Path) -> None:
    head, *lines = (house / "psn.csv").read_text().splitlines()
    part = tmp_path / "part.csv"
    part.write_text("\n".join([head, *lines[:3]]) + "\n")
    done = cli(
        house, "north", "request", part, "--column", "pid", "--domain", "north", "--reason", "r", "--json"
    )  # fmt: skip
    ident = json.loads(done.stdout)["reidentification"]
    assert approve(house, ident).returncode == 0
    refused = fetch(house, ident, tmp_path / "out.csv")
    assert (refused.returncode, "[rows_not_in_ticket]" in refused.stderr) == (4, True)
    assert "rows 4 to 20: not_in_ticket" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.csv"]


def test_rows_that_are_no_pseudonyms_are_named_and_nothing_is_requested(house: Path, tmp_path: Path) -> None:
    before = json.loads(cli(house, "north", "list", "--all", "--json").stdout)
    head, *lines = (house / "psn.csv").read_text().splitlines()
    source = tmp_path / "in.csv"
    source.write_text("\n".join([head, lines[0], "PID-0001;x", lines[1], "PID-0001;y"]) + "\n")
    done = cli(
        house, "north", "request", source, "--column", "pid", "--domain", "north", "--reason", "r"
    )  # fmt: skip
    assert done.returncode == 1
    assert "row 2: unknown_pseudonym\nrow 4: unknown_pseudonym\n" in done.stderr
    assert "error: rows without a live pseudonym: 2 of 4" in done.stderr
    source.write_text(f"{head}\n;x\n")
    done = cli(house, "north", "request", source, "--column", "pid", "--domain", "north", "--reason", "r")
    assert (done.returncode, "row 1: empty_value" in done.stderr) == (1, True)
    assert json.loads(cli(house, "north", "list", "--all", "--json").stdout) == before


def test_deny_list_and_show(house: Path, tmp_path: Path) -> None:
    ident = request(house)
    assert ident in cli(house, "anna", "list").stdout
    assert "salt" in json.loads(cli(house, "bernd", "show", ident, "--json").stdout)
    assert cli(house, "anna", "deny", ident, "--reason", "no vote").returncode == 0
    assert ident not in cli(house, "anna", "list").stdout
    listed = json.loads(cli(house, "north", "list", "--all", "--json").stdout)
    assert {one["reidentification"]: one["denial"] for one in listed}[ident] == "no vote"
    assert cli(house, "south", "list", "--all", "--json").stdout == "[]\n"
    late = approve(house, ident)
    assert (late.returncode, "[reidentification_closed]" in late.stderr) == (1, True)
    assert fetch(house, ident, tmp_path / "out.csv").returncode == 4
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_key_a_wrong_role_and_no_confirmation(house: Path) -> None:
    ident = request(house)
    wrong = cli(house, "anna", "approve", ident, "--personal-key", house / "bernd.key", "--yes")
    assert (wrong.returncode, "[bad_signature]" in wrong.stderr) == (3, True)
    own = cli(house, "north", "approve", ident, "--personal-key", house / "anna.key", "--yes")
    assert (own.returncode, "[forbidden]" in own.stderr) == (4, True)
    unasked = cli(house, "anna", "approve", ident, "--personal-key", house / "anna.key")
    assert (unasked.returncode, "[not_confirmed]" in unasked.stderr) == (1, True)
    assert cli(house, "anna", "deny", ident, "--reason", "enough").returncode == 0


def test_an_output_in_the_way_costs_no_fetch(house: Path, tmp_path: Path) -> None:
    ident = request(house)
    approve(house, ident)
    taken = tmp_path / "out.csv"
    taken.write_text("mine")
    for target, more in ((taken, ()), (house / "psn.csv", ("--force",)), (tmp_path / "new.csv", ("--into", "note"))):
        assert fetch(house, ident, target, *more).returncode == 1
    assert taken.read_text() == "mine"
    assert json.loads(cli(house, "north", "show", ident, "--json").stdout)["fetches_left"] == 5
