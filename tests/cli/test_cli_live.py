"""The commands against the real service process over TLS."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests_support import ok

Cli = Callable[..., Any]
PEOPLE = {"anna": "approver", "bernd": "approver", "clara": "auditor"}


@dataclass
class World:
    """Files of two sites, a study and its people, around a live service."""

    live: Any
    base: Path

    def connect(self, name: str) -> tuple[str, Path]:
        return "--connect", self.live.operator if name == "operator" else self.base / f"{name}.toml"

    def patients(self, site: str) -> Path:
        return self.base / "data" / f"{site}.csv"

    def site_key(self, site: str) -> tuple[str, str, str, Path]:
        return "--id-column", "id", "--site-key", self.base / f"{site}.key"

    def upload(self, site: str, source: Path | None = None) -> tuple[str | Path, ...]:
        return (
            *("study", "upload", "sepsis", source or self.patients(site), *self.site_key(site)),
            *("--study-secret", self.base / "study.secret", *self.connect(site)),
        )


@pytest.fixture(scope="module")
def world(live: Any, tmp_path_factory: pytest.TempPathFactory) -> World:
    base = tmp_path_factory.mktemp("parties")
    made = World(live, base)
    operator = made.connect("operator")
    ok("linkage", "synth", base / "data", "--site", "north=120", "--site", "south=90", "--overlap", "0.5")
    ok("linkage", "secret", "--study", "sepsis", "-o", base / "study.secret")
    for site in ("north", "south"):
        ok("site", "add", site, "--kind", "hospital", *operator)
        ok("site", "token", site, "-o", base / f"{site}.toml", *operator)
        ok("domain", "create", site, "--site", site, *operator)
        ok("linkage", "secret", "--site-key", "-o", base / f"{site}.key")
    for name, role in PEOPLE.items():
        public = ok("staff", "keygen", "-o", base / f"{name}.key", "--no-passphrase").strip()
        ok("staff", "add", name, "--role", role, "--public-key", public, "-o", base / f"{name}.toml", *operator)
    (base / "dms.pub").write_text(ok("recipient", "keygen", "-o", base / "dms.key", "--no-passphrase"))
    ok(
        *("study", "create", "sepsis", "--purpose", "Test", "--permit", "EC 1", "--site", "north", "--site", "south"),
        *("--recipient", f"dms={base / 'dms.pub'}", *operator),
    )
    return made


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# --- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["site", "list"], {"north", "south"}),
        (["domain", "list"], {"north", "south"}),
        (["study", "list"], {"sepsis"}),
        (["staff", "list"], {"anna", "bernd", "clara"}),
    ],
)
def test_lists_are_json_or_a_table(cli: Cli, world: World, arguments: list[str], names: set[str]) -> None:
    done = cli(*arguments, "--json", *world.connect("operator"))
    assert done.code == 0, done.err
    assert names <= {entry["name"] for entry in done.json}
    table = cli(*arguments, *world.connect("operator"))
    assert all(any(line.startswith(name) for line in table.out.splitlines()) for name in names)


def test_an_empty_list_is_an_empty_list(cli: Cli, world: World) -> None:
    ok("site", "add", "empty", *world.connect("operator"))
    ok("site", "token", "empty", "-o", world.base / "empty.toml", *world.connect("operator"))
    done = cli("domain", "list", "--json", *world.connect("empty"))
    assert (done.code, done.out) == (0, "[]\n")
    assert cli("study", "list", "--json", *world.connect("empty")).out == "[]\n"
    assert cli("domain", "list", *world.connect("empty")).out == ""


def test_keys_and_single_things_are_shown(cli: Cli, world: World) -> None:
    keys = cli("keys", "list", "--json", *world.connect("operator"))
    assert keys.code == 0, keys.err
    keys = keys.json
    assert {"pseudonym", "lookup", "data"} <= {key["purpose"] for key in keys}
    shown = cli("domain", "show", "north", "--json", *world.connect("north")).json
    assert (shown["name"], shown["site"]) == ("north", "north")
    study = cli("study", "show", "sepsis", *world.connect("north"))
    assert re.search(r"(?m)^separation +none$", study.out)
    assert "hint: compare the fingerprint" in study.err


def test_tokens_are_listed_and_revoked(cli: Cli, world: World) -> None:
    operator = world.connect("operator")
    made = cli("site", "token", "south", "--expires-days", "1", "--json", *operator).json
    listed = cli("site", "token", "south", "--list", "--json", *operator).json
    assert made["token_id"] in {entry["token_id"] for entry in listed}
    assert made["token"] not in json.dumps(listed)
    assert cli("site", "token", "south", "--revoke", made["token_id"], *operator).code == 0
    again = cli("site", "token", "south", "--list", "--json", *operator).json
    assert [e["revoked"] is not None for e in again if e["token_id"] == made["token_id"]] == [True]


def test_connection_files_are_private(world: World) -> None:
    assert stat.S_IMODE((world.base / "north.toml").stat().st_mode) == 0o600


# --- refusals ----------------------------------------------------------------------------------------------


def test_who_may_not_is_told_with_exit_code_4(cli: Cli, world: World) -> None:
    done = cli("site", "list", *world.connect("north"))
    assert done.code == 4
    assert "[forbidden]" in done.err


def test_a_worthless_token_is_refused_with_exit_code_4(cli: Cli, world: World, tmp_path: Path) -> None:
    text = (world.base / "north.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("token"))
    forged = tmp_path / "forged.toml"
    forged.write_text(text.replace(line, 'token = "tc1_forged"'))
    forged.chmod(0o600)
    done = cli("domain", "list", "--connect", forged)
    assert (done.code, "tc1_forged" in done.err) == (4, False)


def test_a_connection_file_that_others_can_read_is_refused(cli: Cli, world: World, tmp_path: Path) -> None:
    path = tmp_path / "open.toml"
    shutil.copy(world.base / "north.toml", path)
    path.chmod(0o640)
    done = cli("domain", "list", "--connect", path)
    assert done.code == 1
    assert "[connection_file]" in done.err


def test_a_foreign_domain_does_not_exist(cli: Cli, world: World) -> None:
    foreign = cli("domain", "show", "south", *world.connect("north"))
    missing = cli("domain", "show", "no-such", *world.connect("north"))
    assert foreign.code == missing.code == 1
    assert foreign.err == missing.err


def test_a_repeated_name_is_a_conflict(cli: Cli, world: World) -> None:
    assert cli("site", "add", "north", *world.connect("operator")).code == 1


def test_the_environment_can_name_the_connection(cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTCENTER_CONNECT", str(world.base / "north.toml"))
    assert cli("domain", "show", "north").code == 0


# --- columns -----------------------------------------------------------------------------------------------


def pseudonymize(world: World, source: Path, target: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return (
        *("pseudonymize", source, "--domain", "north", "-o", target, *world.connect("north")),
        *(more or ("--column", "PID")),
    )


def test_a_column_is_replaced_in_place_and_everything_else_kept(cli: Cli, world: World, patients: Path) -> None:
    target = patients.with_name("out.csv")
    done = cli(*pseudonymize(world, patients, target))
    assert done.code == 0
    assert "2 rows" in done.err
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    before = patients.read_text(encoding="utf-8").splitlines()
    after = target.read_text(encoding="utf-8").splitlines()
    assert after[0] == before[0]
    assert [line.split(";", 1)[1] for line in after] == [line.split(";", 1)[1] for line in before]
    assert cli("pseudonym", "check", *[line.split(";")[0] for line in after[1:]]).code == 0


def test_a_repeated_run_gives_the_same_pseudonyms(cli: Cli, world: World, patients: Path) -> None:
    first, second = patients.with_name("a.csv"), patients.with_name("b.csv")
    assert cli(*pseudonymize(world, patients, first)).code == 0
    done = cli(*pseudonymize(world, patients, second, "--column", "PID", "--json"))
    assert done.json["created"] == 0
    assert first.read_bytes() == second.read_bytes()


def test_a_new_column_keeps_the_old_one(cli: Cli, world: World, patients: Path) -> None:
    target = patients.with_name("out.csv")
    assert cli(*pseudonymize(world, patients, target, "--column", "PID", "--into", "PSN")).code == 0
    lines = target.read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith(";NOTE;PSN")
    assert lines[1].startswith("4711;")


def test_rows_go_in_order_over_many_batches(cli: Cli, world: World, tmp_path: Path) -> None:
    source, target = tmp_path / "many.csv", tmp_path / "out.csv"
    numbers = [i * 7919 % 25_000 for i in range(60_000)]  # each original more than once
    source.write_text("id\n" + "".join(f"many-{i}\n" for i in numbers))
    done = cli(*pseudonymize(world, source, target, "--column", "id", "--json"))
    assert (done.json["rows"], done.json["created"]) == (60_000, 25_000)
    found: dict[int, set[str]] = {}
    for number, row in zip(numbers, rows(target), strict=True):
        found.setdefault(number, set()).add(row["id"])
    assert all(len(pseudonyms) == 1 for pseudonyms in found.values())
    assert len(set.union(*found.values())) == 25_000


BAD = {
    "unknown column": (b"PIDX,NAME\n4711,M\n", "[unknown_column]"),
    "empty file": (b"", "[empty_file]"),
    "not UTF-8": (b"PID,NAME\n1,x\n4711M\xfcller,y\n", "row 2: not_utf8"),
    "ragged": (b"PID,NAME\n4711,M\n4712\n", "row 2: bad_row"),
    "open quote": (b'PID,NAME\n4711,"M\n', "row 1: bad_row"),
    "twice the column": (b"PID,PID\n4711,4712\n", "[bad_column]"),
    "a header that is a patient": (b"4711,Mueller\n4712,Meier\n", "[unknown_column]"),
}


@pytest.mark.parametrize(("content", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_named_by_place_and_leaves_nothing(
    cli: Cli, world: World, tmp_path: Path, content: bytes, says: str
) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(content)
    done = cli(*pseudonymize(world, source, tmp_path / "out.csv"))
    assert done.code == 1
    assert says in done.err
    assert "4711" not in done.err
    assert "ller" not in done.err
    assert left(tmp_path) == ["in.csv"]


def test_rows_that_fail_stop_the_job_or_are_set_aside(cli: Cli, world: World, tmp_path: Path) -> None:
    source, target, aside = tmp_path / "in.csv", tmp_path / "out.csv", tmp_path / "failed.csv"
    long = "4711" * 100
    source.write_text(f"PID,N\nok-1,a\n{long},b\n,c\nok-2,d\n")
    done = cli(*pseudonymize(world, source, target))
    assert done.code == 1
    assert "[rows_failed]" in done.err
    assert [line.split(":")[0] for line in done.err.splitlines() if line.startswith("row ")] == ["row 2", "row 3"]
    assert long not in done.err
    assert not target.exists()
    done = cli(*pseudonymize(world, source, target, "--column", "PID", "--skip-failed", aside))
    assert done.code == 0
    assert [row["N"] for row in rows(target)] == ["a", "d"]
    assert aside.read_text() == f"PID,N\n{long},b\n,c\n"


def test_outputs_are_safe(cli: Cli, world: World, patients: Path) -> None:
    link = patients.with_name("link.csv")
    link.symlink_to(patients)
    before = patients.read_bytes()
    assert "[same_file]" in cli(*pseudonymize(world, patients, patients)).err
    assert "[same_file]" in cli(*pseudonymize(world, patients, link, "--column", "PID", "--force")).err
    target = patients.with_name("out.csv")
    target.write_text("precious")
    assert "[output_exists]" in cli(*pseudonymize(world, patients, target)).err
    assert target.read_text() == "precious"
    assert cli(*pseudonymize(world, patients, target, "--column", "PID", "--force")).code == 0
    assert patients.read_bytes() == before


def test_a_missing_domain_is_named_before_work_starts(cli: Cli, world: World, patients: Path) -> None:
    done = cli(
        *("pseudonymize", patients, "--column", "PID", "--domain", "no-such", "-o", patients.with_name("out.csv")),
        *world.connect("north"),
    )
    assert done.code == 1
    assert "domain" in done.err
    assert not patients.with_name("out.csv").exists()


def test_rotation_is_planned_confirmed_and_translated(cli: Cli, world: World, patients: Path) -> None:
    operator, north = world.connect("operator"), world.connect("north")
    ok("domain", "create", "turning", "--site", "north", *operator)
    old, new, again = (patients.with_name(f"{n}.csv") for n in ("old", "new", "again"))
    job = ("--column", "PID", "--domain", "turning")
    ok("pseudonymize", patients, *job, "-o", old, *north)
    plan = cli("keys", "rotate", "turning", "--dry-run", "--json", *operator).json
    assert (plan["from_version"], plan["to_version"], plan["pseudonyms"], plan["state"]) == (1, 2, 2, "planned")
    unasked = cli("keys", "rotate", "turning", *operator)
    assert unasked.code == 1
    assert "[not_confirmed]" in unasked.err
    assert cli("domain", "show", "turning", "--json", *north).json["key_version"] == 1
    assert cli("keys", "rotate", "turning", "--yes", "--json", *operator).json["state"] == "done"
    ok("translate", old, *job, "-o", new, *north)
    ok("pseudonymize", patients, *job, "-o", again, *north)
    assert new.read_bytes() == again.read_bytes() != old.read_bytes()
    whole = patients.with_name("map.csv")
    ok("translate", "--all", "--from-version", "1", "--domain", "turning", "-o", whole, *north)
    pairs = {row["old"]: row["new"] for row in rows(whole)}
    before = [line.split(";")[0] for line in old.read_text(encoding="utf-8").splitlines()[1:]]
    after = [line.split(";")[0] for line in new.read_text(encoding="utf-8").splitlines()[1:]]
    assert pairs == dict(zip(before, after, strict=True))
    forged = patients.with_name("forged.csv")
    forged.write_text("PID\nnonsense-4711\n")
    done = cli("translate", forged, *job, "-o", patients.with_name("x.csv"), *north)
    assert done.code == 1
    assert "row 1: " in done.err
    assert "4711" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [["--all"], ["--from-version", "1"], [], ["--all", "--from-version", "1", "--column", "c"], ["in.csv"]],
)
def test_translate_needs_a_file_or_all(cli: Cli, tmp_path: Path, arguments: list[str]) -> None:
    assert cli("translate", *arguments, "--domain", "d", "-o", tmp_path / "o").code == 1


# --- a whole study -----------------------------------------------------------------------------------------


def test_a_study_from_registration_to_the_opened_join_map(cli: Cli, world: World) -> None:
    base, operator = world.base, world.connect("operator")
    for site, count in (("north", 120), ("south", 90)):
        registered = base / f"{site}-registered.csv"
        source = ("study", "register", "sepsis", world.patients(site), *world.site_key(site))
        assert cli(*source, "-o", registered, *world.connect(site)).code == 0
        assert [r["id"] for r in rows(registered)] == [r["id"] for r in rows(world.patients(site))]
        sent = cli(*world.upload(site), "--json")
        assert sent.code == 0, sent.err
        assert (sent.json["records"], sent.json["sent"], sent.json["rows"]) == (count, count, count * 15)
        assert len(sent.json["receipts"]) == 1
        again = cli(*world.upload(site), "--json")
        assert (again.json["sent"], again.json["rows"], again.json["receipts"]) == (0, 0, [])
    run = cli("study", "link", "sepsis", "--json", *operator)
    assert run.code == 0, run.err
    assert run.json["state"] == "applied"
    assert run.json["counts"]["pairs"][0]["matches"] > 30
    shown = cli("study", "link", "sepsis", "--run", run.json["run"], *operator)
    assert "north + south" in shown.out
    for site in ("north", "south"):
        result = base / f"{site}-result.csv"
        job = ("study", "result", "sepsis", "--input", world.patients(site), *world.site_key(site), "-o", result)
        assert cli(*job, *world.connect(site)).code == 0
        assert rows(result) == rows(base / f"{site}-registered.csv")
    release = cli("study", "release", "sepsis", "--recipient", "dms", "--json", *operator).json["release"]
    sealed = base / "joinmap.sealed"
    fetch = ("study", "release", "sepsis", "--release", release, "--fetch", "-o", sealed, *operator)
    early = cli(*fetch)
    assert early.code == 4
    assert not sealed.exists()
    for name in ("anna", "bernd"):
        sign = ("study", "release", "sepsis", "--release", release, "--approve", "--personal-key", base / f"{name}.key")
        unasked = cli(*sign, *world.connect(name))
        assert "[not_confirmed]" in unasked.err
        assert f"release: {release}" in unasked.err
        assert cli(*sign, "--yes", *world.connect(name)).code == 0
    stolen = ("study", "release", "sepsis", "--release", release, "--approve", "--personal-key", base / "bernd.key")
    assert cli(*stolen, "--yes", *world.connect("anna")).code == 3
    state = cli("study", "release", "sepsis", "--release", release, "--json", *operator).json
    assert cli("study", "release", "sepsis", "--json", *operator).json == [state]
    assert cli("study", "release", "sepsis", "--approve", *operator).err.endswith("[usage]\n")
    assert (state["state"], sorted(state["approvals"])) == ("released", ["anna", "bernd"])
    assert cli(*fetch).code == 0
    opened = base / "joinmap.csv"
    log_key = ("--log-key", world.live.fingerprints["registrar"])
    unseal = ("recipient", "open", sealed, "--key", base / "dms.key", *log_key, "-o", opened)
    for wrong in (("--study", "other", "--release", release), ("--study", "sepsis", "--release", "0" * 32)):
        assert cli(*unseal, *wrong).code == 3
        assert not opened.exists()
    assert cli(*unseal, "--study", "sepsis", "--release", release).code == 0
    joined = rows(opened)
    assert len(joined) == 210
    known = {row["pseudonym"] for site in ("north", "south") for row in rows(base / f"{site}-result.csv")}
    assert {row["study_pseudonym"] for row in joined} == known
    assert 150 <= len({row["person"] for row in joined}) < 190


def test_uploads_are_refused_before_anything_is_sent(cli: Cli, world: World, tmp_path: Path) -> None:
    north = world.upload("north")
    assert cli(*north, "--require-separation", "process").code == 4
    assert cli(*north, "--not-deduplicated").code == 4
    few = tmp_path / "few.csv"
    few.write_text("".join(world.patients("north").read_text(encoding="utf-8").splitlines(keepends=True)[:40]))
    done = cli(*world.upload("north", few))
    assert done.code == 4
    assert "[batch_too_small]" in done.err
    ok("linkage", "secret", "--study", "sepsis", "--version", "2", "-o", tmp_path / "two.secret")
    ok("linkage", "secret", "--study", "other", "-o", tmp_path / "other.secret")
    for wrong in ("two", "other"):
        done = cli(*north, "--study-secret", tmp_path / f"{wrong}.secret")
        assert done.code == 1
        assert "[wrong_study_secret]" in done.err


def test_a_correction_sends_the_difference_only(cli: Cli, world: World, tmp_path: Path) -> None:
    operator = world.connect("operator")
    ok(
        *("study", "create", "small", "--purpose", "Test", "--permit", "EC 1", "--site", "north", "--site", "south"),
        *("--recipient", f"dms={world.base / 'dms.pub'}", "--minimum-batch", "1", *operator),
    )
    ok("linkage", "secret", "--study", "small", "-o", tmp_path / "small.secret")
    source = tmp_path / "north.csv"
    shutil.copy(world.patients("north"), source)
    job = (
        *("study", "upload", "small", source, *world.site_key("north"), "--study-secret", tmp_path / "small.secret"),
        *("--json", *world.connect("north")),
    )
    assert cli(*job).json["rows"] == 120 * 15
    table = rows(source)
    for row in table[5:15]:
        row["surname"] = "Hinterberger"
    with source.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    done = cli(*job)
    assert done.code == 0, done.err
    # All grams of a record are in all of its rows: the ten keep none but their dummies, and nobody else gets one.
    assert done.json["sent"] == 10
    assert 120 <= done.json["rows"] <= 150
    assert cli(*job).json["sent"] == 0


def test_duplicate_ids_are_named_by_row(cli: Cli, world: World, tmp_path: Path) -> None:
    source = tmp_path / "twice.csv"
    source.write_text("id,surname\nid-4711,A\nid-4711,B\n")
    for job in (
        ("study", "register", "sepsis", source, *world.site_key("north"), "-o", tmp_path / "out.csv"),
        ("study", "upload", "sepsis", source, *world.site_key("north"), "--study-secret", world.base / "study.secret"),
    ):
        done = cli(*job, *world.connect("north"))
        assert done.code == 1
        assert "(row 2) [bad_row]" in done.err
        assert "4711" not in done.err


def test_an_upload_that_stopped_before_its_map_is_simply_given_again(cli: Cli, world: World, tmp_path: Path) -> None:
    from keys.secretfiles import SiteKey, StudySecret
    from linkage.encode import Secrets
    from linkage.readtable import read_table
    from linkage.schema import load
    from trustcenter.client import Connection, TrustCenter
    from trustcenter.client import site as work

    ok(
        *("study", "create", "broken-off", "--purpose", "T", "--permit", "E", "--site", "north", "--site", "south"),
        *("--recipient", f"dms={world.base / 'dms.pub'}", *world.connect("operator")),
    )
    ok("linkage", "secret", "--study", "broken-off", "-o", tmp_path / "s.secret")
    shared, own = StudySecret.load(tmp_path / "s.secret"), SiteKey.load(world.base / "north.key")
    secrets = Secrets(shared.material, own.material, shared.study, shared.version)

    class Killed(TrustCenter):
        async def send_map(self, *_: Any) -> Any:
            raise KeyError

    async def job() -> None:
        async with Killed(Connection.load(world.base / "north.toml")) as center:
            study = await center.study("broken-off")
            table = read_table(world.patients("north"), id_column="id")
            with pytest.raises(KeyError):
                await work.upload(center, study, load(study.schema), table, secrets)

    asyncio.run(job())
    done = cli(
        *("study", "upload", "broken-off", world.patients("north"), *world.site_key("north")),
        *("--study-secret", tmp_path / "s.secret", *world.connect("north")),
    )
    assert done.code == 0, done.err


# --- audit ---------------------------------------------------------------------------------------------------


def test_logs_are_exported_and_verified_offline(cli: Cli, world: World, tmp_path: Path) -> None:
    clara = world.connect("clara")
    heads, bundles = {}, {}
    for room in ("registrar", "comparator"):
        heads[room] = tmp_path / f"{room}.checkpoint"
        heads[room].write_text(ok("audit", "checkpoint", room, *clara))
    ok("site", "add", "one-more", *world.connect("operator"))
    for room in ("registrar", "comparator"):
        bundles[room] = tmp_path / f"{room}.bundle"
        ok("audit", "export", room, "-o", bundles[room], *clara)
    keys = [part for fingerprint in world.live.fingerprints.values() for part in ("--key", fingerprint)]
    marks = [part for head in heads.values() for part in ("--checkpoint", head)]
    done = cli("audit", "verify", *bundles.values(), *keys, *marks, "--json")
    assert done.code == 0, done.err
    assert [report["checkpoints"] for report in done.json] == [1, 1]
    assert all(report["fingerprint_checked"] for report in done.json)
    plain = cli("audit", "verify", bundles["registrar"])
    assert plain.code == 0
    assert "hint: give --key" in plain.err
    other = cli("audit", "verify", bundles["registrar"], "--key", world.live.fingerprints["comparator"])
    assert other.code == 3
    lines = bundles["registrar"].read_bytes().splitlines(keepends=True)
    changed = tmp_path / "changed.bundle"
    changed.write_bytes(b"".join([*lines[:3], lines[3].replace(b"operator", b"operatos"), *lines[4:]]))
    assert changed.read_bytes() != bundles["registrar"].read_bytes()
    broken = cli("audit", "verify", changed)
    assert broken.code == 3
    assert "(entry 2)" in broken.err
    changed.write_bytes(b"".join([*lines[:5], *lines[6:]]))
    assert "(entry 4)" in cli("audit", "verify", changed).err
    foreign = tmp_path / "foreign.checkpoint"
    foreign.write_text("elsewhere.example/log\n1\nAAAA\n")
    assert cli("audit", "verify", bundles["registrar"], "--checkpoint", foreign).code == 3


def test_only_an_auditor_exports(cli: Cli, world: World, tmp_path: Path) -> None:
    done = cli("audit", "export", "registrar", "-o", tmp_path / "x", *world.connect("north"))
    assert done.code == 4
    assert left(tmp_path) == []


# --- the world outside ------------------------------------------------------------------------------------------


def test_an_interrupted_job_leaves_no_output(world: World, tmp_path: Path) -> None:
    source = tmp_path / "big.csv"
    source.write_text("id\n" + "".join(f"stop-{i}\n" for i in range(400_000)))
    command = pseudonymize(world, source, tmp_path / "out.csv", "--column", "id")
    process = subprocess.Popen(
        [sys.executable, "-m", "trustcenter", *map(str, command)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while len(left(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)  # until the partial output is there
    process.send_signal(2)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted"
    assert left(tmp_path) == ["big.csv"]


def test_a_restart_of_the_service_is_survived(world: World, tmp_path: Path) -> None:
    source, target = tmp_path / "big.csv", tmp_path / "out.csv"
    source.write_text("id\n" + "".join(f"gone-{i}\n" for i in range(200_000)))
    command = pseudonymize(world, source, target, "--column", "id")
    process = subprocess.Popen(
        [sys.executable, "-m", "trustcenter", *map(str, command)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while len(left(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    world.live.kill()
    world.live.start()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found = [row["id"] for row in rows(target)]
    assert len(found) == len(set(found)) == 200_000
