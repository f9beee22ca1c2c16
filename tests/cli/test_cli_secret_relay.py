"""The commands around a study secret against the real service, and a site that loses its machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trustcenter.cli import main


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="trustcenter")


def ok(*arguments: str | Path) -> Any:
    done = run(*arguments)
    assert done.exit_code == 0, done.stderr
    return done


def shown(*arguments: str | Path) -> Any:
    return json.loads(ok(*arguments, "--json").stdout)


class Machine:
    """A site's folder, with the connection that its operator handed over."""

    def __init__(self, live: Any, folder: Path, site: str) -> None:
        self.site, self.folder = site, folder
        folder.mkdir()
        self.connect = folder / "connection.toml"
        ok("site", "token", site, "-o", self.connect, "--connect", live.operator)
        ok("recipient", "keygen", "-o", folder / "own.key", "--no-passphrase")

    def __call__(self, *command: str | Path, key: bool = True) -> tuple[str | Path, ...]:
        return (*command, *(("--key", self.folder / "own.key") if key else ()), "--connect", self.connect)

    def card(self) -> str:
        return str(shown(*self("study", "secret", "card", "sepsis"))["fingerprint"])

    def pin(self, other: Machine, *more: str) -> Any:
        command = ("study", "secret", "pin", "sepsis", other.site, "--fingerprint", other.card().lower(), *more)
        return run(*self(*command))

    def upload(self, patients: Path) -> Any:
        return shown(
            *("study", "upload", "sepsis", patients, "--id-column", "id", "--site-key", self.folder / "site.key"),
            *("--study-secret", self.folder / "study.secret", "--connect", self.connect),
        )


@pytest.fixture(scope="module")
def machines(live: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    base = tmp_path_factory.mktemp("machines")
    ok("linkage", "synth", base / "data", "--site", "south=70", "--site", "north=60")
    for site in ("north", "south"):
        ok("site", "add", site, "--connect", live.operator)
    (base / "dms.pub").write_text(ok("recipient", "keygen", "-o", base / "dms.key", "--no-passphrase").stdout)
    ok(
        *("study", "create", "sepsis", "--purpose", "Test", "--permit", "EC 1", "--site", "north", "--site", "south"),
        *("--recipient", f"dms={base / 'dms.pub'}", "--minimum-batch", "1", "--connect", live.operator),
    )
    return {site: Machine(live, base / site, site) for site in ("north", "south")}


@pytest.fixture(scope="module")
def shared(machines: dict[str, Machine]) -> dict[str, Machine]:
    """The lead made and shared the secret, and the other fetched it."""
    north, south = machines["north"], machines["south"]
    north.card()
    refused = run(*north("study", "secret", "share", "sepsis", "--study-secret", north.folder / "study.secret"))
    assert refused.exit_code == 4
    assert "[member_not_pinned]" in refused.stderr
    assert "study secret pin" in refused.stderr
    assert north.pin(south).exit_code == 0
    assert south.pin(north).exit_code == 0
    made = shown(*north("study", "secret", "share", "sepsis", "--study-secret", north.folder / "study.secret"))
    got = shown(*south("study", "secret", "fetch", "sepsis", "--lead", "north", "-o", south.folder / "study.secret"))
    assert got["fingerprint"] == made["state"]["secret"]
    return machines


def test_both_hold_the_same_secret_and_the_status_says_so(shared: dict[str, Machine], live: Any) -> None:
    north, south = shared["north"], shared["south"]
    for one in (north, south):
        assert (one.folder / "study.secret").stat().st_mode & 0o777 == 0o600
    assert (north.folder / "study.secret").read_bytes() == (south.folder / "study.secret").read_bytes()
    command = ("study", "secret", "status", "sepsis")
    tested = shown(*north(*command, "--study-secret", north.folder / "study.secret"))
    assert {m["site"]: (m["compared"], m["holds"]) for m in tested["members"]} == {
        "north": ("own", "yes"),
        "south": ("yes", "yes"),
    }
    assert [m["holds"] for m in shown(*command, "--connect", live.operator)["members"]] == ["said", "said"]
    assert "holds" in ok(*command, "--connect", live.operator).stdout
    again = ok(*south("study", "secret", "fetch", "sepsis", "--lead", "north", "-o", south.folder / "study.secret"))
    assert "fingerprint" in again.stdout, "interrupted before it confirmed, it is simply given again"


def test_what_is_refused_says_what_to_do(shared: dict[str, Machine], tmp_path: Path, live: Any) -> None:
    north, south = shared["north"], shared["south"]

    def fetch(lead: str, target: Path) -> Any:
        return run(*south("study", "secret", "fetch", "sepsis", "--lead", lead, "-o", target))

    wrong = run(*north("study", "secret", "pin", "sepsis", "south", "--fingerprint", "0000-0000-0000-0000-0000"))
    other = tmp_path / "other.secret"
    fresh = run(*north("study", "secret", "share", "sepsis", "--study-secret", other))
    ok("linkage", "secret", "--study", "sepsis", "-o", other)
    second = run(*north("study", "secret", "share", "sepsis", "--study-secret", other))
    later = tmp_path / "later.secret"
    ok("linkage", "secret", "--study", "sepsis", "--version", "2", "-o", later)
    version = run(*north("study", "secret", "share", "sepsis", "--study-secret", later))
    place = ("--key", tmp_path / "no.key", "--connect", north.connect)
    nowhere = run("study", "secret", "pin", "sepsis", "south", "--fingerprint", "x", *place)
    staff = run("study", "secret", "card", "sepsis", "--key", north.folder / "own.key", "--connect", live.operator)
    for done, code, exit_code in (
        (wrong, "wrong_card", 3),
        (fresh, "another_secret", 1),
        (second, "secret_exchanged", 3),
        (version, "wrong_study_secret", 1),
        (fetch("south", tmp_path / "x"), "secret_not_shared", 1),
        (fetch("north", other), "secret_file_exists", 1),
        (nowhere, "no_key_file", 1),
        (staff, "usage", 1),
    ):
        assert f"[{code}]" in done.stderr, (code, done.stderr)
        assert "hint: " in done.stderr
        assert done.exit_code == exit_code, (code, done.exit_code)
    assert not (tmp_path / "x").exists()


def test_a_site_that_lost_its_machine_goes_on_from_its_site_key(
    shared: dict[str, Machine], live: Any, tmp_path: Path
) -> None:
    north, south = shared["north"], shared["south"]
    patients = south.folder.parent / "data" / "south.csv"
    lines = patients.read_text(encoding="utf-8").splitlines(keepends=True)
    before = tmp_path / "before.csv"
    before.write_text("".join(lines[:61]), encoding="utf-8")
    ok("linkage", "secret", "--site-key", "-o", south.folder / "site.key")
    # Beforehand: a recovery key in the safe, and a sealed copy of the site key with the backups.
    recovery, copy = tmp_path / "recovery.key", tmp_path / "site.key.sealed"
    (tmp_path / "passphrase").write_text("a long passphrase in the safe\n")
    (tmp_path / "passphrase").chmod(0o600)
    protected = ("--passphrase-file", tmp_path / "passphrase")
    public = ok("recipient", "keygen", "-o", recovery, *protected).stdout.strip()
    seal = ("linkage", "site-key", "seal", south.folder / "site.key", "--site", "south", "--to", public)
    noted = shown(*seal, "-o", copy)["site_key"]
    kept = (south.folder / "site.key").read_bytes()
    assert south.upload(before)["sent"] == 60
    shutil.rmtree(south.folder)
    # A new machine: only the sealed copy, the recovery key and a fresh connection.
    anew = Machine(live, south.folder, "south")
    recover = ("linkage", "site-key", "recover", copy, "--key", recovery, "--fingerprint", noted.lower(), *protected)
    foreign = run(*recover, "--site", "north", "-o", anew.folder / "site.key")
    assert "[seal_broken]" in foreign.stderr
    # Somebody who can write where the copies lie has put in a key of his own, sealed to the same recovery key.
    ok("linkage", "secret", "--site-key", "-o", tmp_path / "other.key")
    ok("linkage", "site-key", "seal", tmp_path / "other.key", "--site", "south", "--to", public, "-o", tmp_path / "bad")
    exchanged = run(
        *(tmp_path / "bad" if a is copy else a for a in recover), "--site", "south", "-o", anew.folder / "x"
    )
    assert "[site_key_exchanged]" in exchanged.stderr
    assert exchanged.exit_code == 3
    unsaid = [a for a in recover if a not in ("--fingerprint", noted.lower())]
    assert "[fingerprint_needed]" in run(*unsaid, "--site", "south", "-o", anew.folder / "x").stderr
    assert not (anew.folder / "site.key").exists()
    assert not (anew.folder / "x").exists()
    ok(*recover, "--site", "south", "-o", anew.folder / "site.key")
    assert (anew.folder / "site.key").read_bytes() == kept
    fetch = anew("study", "secret", "fetch", "sepsis", "--lead", "north", "-o", anew.folder / "study.secret")
    assert "[sender_not_pinned]" in run(*fetch).stderr
    assert anew.pin(north).exit_code == 0
    assert "[sealed_to_another_card]" in run(*fetch).stderr, "what was sealed before opens no more"
    assert "[pinned_before]" in north.pin(anew).stderr, "the lead is not fooled by a new card"
    assert north.pin(anew, "--replace").exit_code == 0
    ok(*north("study", "secret", "share", "sepsis", "--study-secret", north.folder / "study.secret"))
    ok(*fetch)
    done = anew.upload(patients)
    assert (done["records"], done["sent"]) == (70, 10), "only what the centre does not hold yet"


def test_results_come_sealed_to_the_key_that_the_operator_registered(
    shared: dict[str, Machine], live: Any, tmp_path: Path
) -> None:
    north = shared["north"]
    patients = north.folder.parent / "data" / "north.csv"
    ok("linkage", "secret", "--site-key", "-o", north.folder / "site.key")
    north.upload(patients)
    fetch = ("study", "result", "sepsis", "--input", patients, "--id-column", "id")
    own = (*fetch, "--site-key", north.folder / "site.key")
    ok(*north(*own, "-o", tmp_path / "plain.csv", key=False))
    assert "[no_public_key]" in run(*north(*own, "-o", tmp_path / "sealed.csv")).stderr
    key = ok("recipient", "keygen", "-o", tmp_path / "other.key", "--no-passphrase")
    said = key.stderr.split("fingerprint ")[1].split(":")[0]
    register = ("site", "set-key", "north", "--connect", live.operator)
    ok(*register, "--public", key.stdout.strip(), "--fingerprint", said)
    assert "[sealed_to_another_key]" in run(*north(*own, "-o", tmp_path / "sealed.csv")).stderr
    assert not (tmp_path / "sealed.csv").exists()
    opened = ("--key", tmp_path / "other.key", "-o", tmp_path / "sealed.csv")
    ok(*north(*own, *opened, key=False))
    assert (tmp_path / "sealed.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    assert len((tmp_path / "plain.csv").read_text().splitlines()) == 61
