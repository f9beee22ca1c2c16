"""A rotation from plan to destruction by commands, against a real service; and the key store's passphrase."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests_support import Live

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def places(live: Live, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Connection files and keys of an operator, two approvers and a site with 3 pseudonyms."""
    from tests_support import run_cli

    base = tmp_path_factory.mktemp("people")
    found = {"base": base, "operator": live.operator, "north": base / "north.toml"}

    def run(*arguments: str | Path) -> str:
        done = run_cli(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    op = ("--connect", live.operator)
    run("site", "add", "north", *op)
    run("site", "token", "north", "-o", found["north"], *op)
    run("domain", "create", "turning", "--site", "north", *op)
    key = base / "anna.key"
    public = run("staff", "keygen", "-o", key, "--no-passphrase").strip()
    run("staff", "add", "anna", "--role", "approver", "--public-key", public, "-o", base / "anna.toml", *op)
    found |= {"anna": base / "anna.toml", "anna.key": key}
    patients = base / "patients.csv"
    patients.write_text("PID\n1\n2\n3\n")
    run(
        "pseudonymize",
        patients,
        "--column",
        "PID",
        "--domain",
        "turning",
        "-o",
        base / "old.csv",
        "--connect",
        found["north"],
    )
    return found


def test_a_rotation_by_commands(cli: Cli, places: dict[str, Path]) -> None:
    base, op, north = places["base"], ("--connect", places["operator"]), ("--connect", places["north"])
    public = cli("recipient", "keygen", "-o", base / "north.key", "--no-passphrase")
    (base / "north.pub").write_text(public.out)
    fingerprint = public.err.split("fingerprint ")[1].split(":")[0]
    wrong = cli("site", "set-key", "north", "--public", base / "north.pub", "--fingerprint", "AAAA-AAAA", *op)
    assert (wrong.code, "[wrong_fingerprint]" in wrong.err) == (1, True)
    set_key = cli("site", "set-key", "north", "--public", base / "north.pub", "--fingerprint", fingerprint, *op)
    assert set_key.code == 0, set_key.err

    plan = cli("keys", "create", "turning", "--dry-run", "--json", *op).json
    assert (plan["state"], plan["rotation"]) == ("planned", None)
    unasked = cli("keys", "create", "turning", *op)
    assert (unasked.code, "[not_confirmed]" in unasked.err) == (1, True)
    made = cli("keys", "create", "turning", "--yes", "--json", *op).json
    ident = made["rotation"]
    second = cli("keys", "rotate", "turning", "--yes", *op)
    assert second.code == 1
    assert ident in second.err
    assert "[rotation_under_way]" in second.err
    assert cli("keys", "activate", "turning", "--yes", "--json", *op).json["version"] == 2
    assert cli("keys", "rotation", "abort", ident, "--yes", *op).code == 1
    assert cli("keys", "rotation", "resume", ident, "--json", *op).json["stage"] == "changed"
    assert cli("keys", "rotation", "verify", ident, "--json", *op).json["done"] == 3

    party = ("--party", "site:north")
    done = cli("keys", "rotation", "map", ident, *party, "-o", base / "map.sealed", *north)
    assert done.code == 0, done.err
    opened = cli(
        *("keys", "rotation", "open-map", base / "map.sealed", "--rotation", ident, *party),
        *("--key", base / "north.key", "-o", base / "map.csv", "--json"),
    ).json
    assert opened["pairs"] == 3
    assert oct((base / "map.csv").stat().st_mode & 0o777) == "0o600"
    lines = (base / "map.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == set((base / "old.csv").read_text().splitlines()[1:])
    other = cli(
        *("keys", "rotation", "open-map", base / "map.sealed", "--rotation", "0" * 32, *party),
        *("--key", base / "north.key", "-o", base / "other.csv"),
    )
    assert (other.code, (base / "other.csv").exists()) == (3, False)

    for said in ("--yes", "--dry-run"):
        early = cli("keys", "rotation", "finalize", ident, said, *op)
        assert (early.code, "[not_acknowledged]" in early.err) == (1, True)
    assert cli("keys", "rotation", "rollback", ident, "--dry-run", "--json", *op).json["stage"] == "verified"
    shown = cli("keys", "rotation", "acknowledge", ident, "--sha256", opened["sha256"], "--json", *north).json
    assert shown["parties"][0]["acknowledged_by"] == "north"
    assert cli("keys", "rotation", "finalize", ident, "--dry-run", "--json", *op).json["stage"] == "verified"
    assert cli("keys", "rotation", "finalize", ident, "--yes", "--json", *op).json["stage"] == "finalized"
    states = {
        k["version"]: k["state"]
        for k in cli("keys", "show", "turning", "--json", *op).json["keys"]
        if k["purpose"] == "pseudonym"
    }
    assert states == {1: "deactivated", 2: "active"}
    for said in ("--yes", "--dry-run"):
        refused = cli("keys", "destroy", "turning", "--version", "1", said, *op)
        assert (refused.code, "[not_due]" in refused.err) == (1, True)
    assert "keys destroy" in cli("keys", "destroy", "--help").out


def test_a_leaked_key_by_commands_two_people_hand_out_its_map(cli: Cli, places: dict[str, Path]) -> None:
    base, op = places["base"], ("--connect", places["operator"])
    asked = ("keys", "compromise", "turning", "--version", "2", "--reason", "stolen disk", "--report", base / "r.md")
    assert cli(*asked, "--dry-run", *op).code == 0
    assert not (base / "r.md").exists()
    report = cli(*asked, "--yes", "--json", *op).json
    assert (report["replaced_by"], report["must_translate"]) == (3, ["site:north"])
    text = (base / "r.md").read_text()
    assert "stolen disk" in text
    assert "What no rotation heals" in text
    ident, party = report["rotation"], "site:north"
    target = base / "leaked.sealed"
    denied = cli("keys", "rotation", "map", ident, "--party", party, "-o", target, *op)
    assert (denied.code, "[delivery_needs_approval]" in denied.err) == (4, True)
    verified = cli("keys", "rotation", "verify", ident, *op)
    assert f"keys propose deliver {ident} --party {party}" in verified.err
    made = cli("keys", "propose", "deliver", ident, "--party", party, "--json", *op).json
    (waiting,) = cli("keys", "proposals", "--json", *op).json  # where an id that was lost is found again
    assert (waiting["proposal"], waiting["kind"], waiting["party"]) == (made["proposal"], "deliver", party)
    sign = ("keys", "approve", made["proposal"], "--key", places["anna.key"])
    by_itself = cli(*sign, "--yes", *op)
    assert by_itself.code != 0
    done = cli(*sign, "--yes", "--json", "--connect", places["anna"])
    assert done.code == 0, done.err
    assert done.json["approved_by"] == "anna"
    assert "nothing waits" in cli("keys", "proposals", "--connect", places["anna"]).err
    assert [one["proposal"] for one in cli("keys", "proposals", "--all", "--json", *op).json] == [made["proposal"]]
    assert cli("keys", "rotation", "map", ident, "--party", party, "-o", target, *op).code == 0


def test_lookup_and_data_keys_are_rotated_in_the_background(cli: Cli, places: dict[str, Path]) -> None:
    base, op = places["base"], ("--connect", places["operator"])
    job = ("--column", "PID", "--domain", "sealed", "--connect", places["north"])
    assert cli("domain", "create", "sealed", "--site", "north", *op).code == 0
    assert cli("pseudonymize", base / "patients.csv", *job, "-o", base / "before.csv").code == 0
    for purpose in ("lookup", "data"):
        done = cli("keys", "rotate", "sealed", "--purpose", purpose, "--yes", "--json", *op).json
        show = ("keys", "rotation", "show", done["rotation"], "--json", *op)
        while (shown := cli(*show).json)["stage"] == "rewriting":
            pass
        assert (shown["stage"], shown["done"], shown["parties"]) == ("changed", 3, [])
        assert cli("keys", "rotation", "verify", done["rotation"], "--json", *op).json["done"] == 3
        assert (
            cli("keys", "rotation", "finalize", done["rotation"], "--yes", "--json", *op).json["stage"] == "finalized"
        )
    assert cli("pseudonymize", base / "patients.csv", *job, "-o", base / "after.csv").code == 0
    assert (base / "after.csv").read_bytes() == (base / "before.csv").read_bytes()


def test_schedules_are_shown_when_due(cli: Cli, places: dict[str, Path]) -> None:
    op = ("--connect", places["operator"])
    assert "[bad_schedule]" in cli("keys", "rotate", "turning", "--every", "yearly", *op).err
    (due,) = cli("keys", "rotate", "turning", "--every", "365d", "--json", *op).json
    assert (due["domain"], due["days"], due["overdue"]) == ("turning", 365, False)
    assert len(cli("keys", "list", "--due", "--json", *op).json) == 1
    sealing = ("keys", "rotate", "--room", "comparator", "--purpose", "sealing")
    due = cli(*sealing, "--every", "365d", "--json", *op).json
    assert {(one["room"], one["purpose"]) for one in due} == {(None, "pseudonym"), ("comparator", "sealing")}
    assert "keys rekey" in cli(*sealing, "--yes", *op).err


def test_a_room_s_own_keys_by_the_same_commands(cli: Cli, places: dict[str, Path]) -> None:
    op = ("--connect", places["operator"])
    for wrong in (("keys", "rotate"), ("keys", "rotate", "turning", "--room", "registrar"), ("keys", "show")):
        assert "[domain_or_room]" in cli(*wrong, *op).err
    assert "[bad_purpose]" in cli("keys", "rotate", "--room", "registrar", "--purpose", "data", *op).err
    for room, beside in (("registrar", "state"), ("comparator", "receipt")):
        command = ("keys", "rotate", "--room", room)
        plan = cli(*command, "--dry-run", "--json", *op).json
        assert (plan["state"], plan["purposes"], plan["rotation"]) == ("planned", ["audit", beside], None)
        assert "[not_confirmed]" in cli(*command, *op).err
        done = cli(*command, "--yes", "--json", *op).json
        assert (done["from_fingerprint"], done["state"]) == (plan["from_fingerprint"], "done")
        ident = done["rotation"]
        assert cli("keys", "rotation", "resume", ident, "--json", *op).json["stage"] == "finalized"
        for step in ("abort", "rollback"):
            assert "[forward_only]" in cli("keys", "rotation", step, ident, "--yes", *op).err
        destroy = ("keys", "destroy", "--room", room, "--version", "1")
        for said in ("--yes", "--dry-run"):
            assert "[not_due]" in cli(*destroy, said, *op).err
        assert "[usage]" in cli(*destroy, "--purpose", "data", "--yes", *op).err
        assert ident in cli("keys", "rotation", "list", *op).out
        shown = cli("keys", "show", "--room", room, "--json", *op).json
        assert [one["rotation"] for one in shown["rotations"]] == [ident]
        states = {(key["purpose"], key["version"]): key["state"] for key in shown["keys"]}
        assert (states["audit", 1], states[beside, 2], states["sealing", 1]) == ("deactivated", "active", "active")


def test_suspend_and_activate(cli: Cli, places: dict[str, Path]) -> None:
    op, base = ("--connect", places["operator"]), places["base"]
    cli("domain", "create", "resting", "--site", "north", *op)
    assert cli("keys", "suspend", "resting", "--yes", "--json", *op).json["state"] == "suspended"
    done = cli(
        *("pseudonymize", base / "patients.csv", "--column", "PID", "--domain", "resting", "-o", base / "x.csv"),
        *("--connect", places["north"]),
    )
    assert (done.code, "[no_active_key]" in done.err) == (1, True)
    assert cli("keys", "activate", "resting", "--yes", "--json", *op).json["state"] == "active"
    assert cli("keys", "deactivate", "resting", "--dry-run", *op).code == 0
    assert cli("keys", "deactivate", "resting", "--yes", "--json", *op).json["state"] == "deactivated"
    for said in ("--yes", "--dry-run"):
        assert cli("keys", "activate", "resting", said, *op).code == 1


def test_the_key_stores_get_another_passphrase_and_the_service_goes_on(cli: Cli, live: Live, tmp_path: Path) -> None:
    used, old, new = live.dir / "passphrase", tmp_path / "old", tmp_path / "new"
    old.write_bytes(used.read_bytes())
    new.write_text("another passphrase of length\n")
    for path in (old, new):
        path.chmod(0o600)
    command = ("keys", "rekey", live.dir, "--passphrase-file", old, "--new-passphrase-file", new)
    assert cli(*command, "--dry-run", "--json").json[0]["state"] == "would be"
    used.write_bytes(new.read_bytes())
    done = cli(*command, "--yes", "--json")
    assert [one["state"] for one in done.json] == ["sealed", "sealed"]
    again = cli(*command, "--yes", "--json")
    assert [one["state"] for one in again.json] == ["sealed before", "sealed before"]
    made = cli("domain", "create", "after-rekey", "--site", "north", "--connect", live.operator)
    assert made.code == 0, made.err  # new keys, in the store under the new passphrase
    assert live.stop() == 0
    live.start()
    used.write_bytes(old.read_bytes())
    assert cli("doctor", live.dir).code != 0
    used.write_bytes(new.read_bytes())
    assert cli("keys", "list", "--json", "--connect", live.operator).code == 0


def test_the_inventory_needs_no_service(cli: Cli) -> None:
    found = cli("keys", "inventory", "--json").json
    assert any("MLKEM768" in item["algorithm"] for item in found)


def test_a_key_store_is_backed_up_and_the_backup_tested(cli: Cli, live: Live, tmp_path: Path) -> None:
    target = tmp_path / "keys.tc"
    assert cli("keys", "backup", live.dir, "--room", "registrar", "-o", target).code == 0
    done = cli("keys", "restore", target, "--test")
    assert done.code == 0, done.err


def test_leaked_keys_of_a_room_by_command(cli: Cli, places: dict[str, Path], tmp_path: Path) -> None:
    op, said = ("--connect", places["operator"]), ("--reason", "stolen disk")
    for wrong in (("turning",), ("turning", "--room", "registrar"), ("--room", "registrar", "--version", "1")):
        assert cli("keys", "compromise", *wrong, *said, *op).code == 1
    asked = ("keys", "compromise", "--room", "comparator", *said, "--report", tmp_path / "r.md")
    before = cli("keys", "show", "--room", "comparator", "--json", *op).json
    assert "comparator" in cli(*asked, "--dry-run", *op).out
    assert cli("keys", "show", "--room", "comparator", "--json", *op).json["keys"] == before["keys"]
    assert not (tmp_path / "r.md").exists()
    assert "[not_confirmed]" in cli(*asked, *op).err
    report = cli(*asked, "--yes", "--json", *op).json
    assert (report["room"], report["domain"], report["replaced_by"]) == ("comparator", None, report["version"] + 1)
    assert "keys list" in (tmp_path / "r.md").read_text()
