"""The table of failures: every row names a code that exists and that some test provokes."""

from __future__ import annotations

import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest_operate import Center

from trustcenter.errors import VerificationError
from trustcenter.instance.parts import recompute_log

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "failures.md"
CODES = re.findall(r"(?m)^\| `([a-z_]+)` \|", PAGE.read_text(encoding="utf-8"))


def test_the_table_is_not_empty() -> None:
    assert len(CODES) > 15
    assert len(CODES) == len(set(CODES))


@pytest.mark.parametrize("code", CODES)
def test_every_code_exists_and_is_named_by_a_test(code: str) -> None:
    assert f"| `{code}` |" in (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    named = {code, _class_of(code)}
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if any(re.search(rf"\b{re.escape(name)}\b", text) for name in named if name):
            return
    raise AssertionError("no test names it")


# What a site, a recipient, an auditor or a programmer meets, or what stands on a page of its own.
ELSEWHERE = {
    "bad_receipt", "bad_signature", "map_incomplete", "rows_file_damaged", "sealed_to_another_key",
    "secret_file_damaged", "untrusted_service", "wrong_receipt", "wrong_statement", "busy", "client_closed",
    "stream_cut", "unreachable", "seal_broken",
    "entry_missing", "head_not_extended", "log_origin_changed", "other_proof",  # of a site's client: verify-a-log.md
    "separation_weakened",  # the same
    "wrong_card", "card_exchanged", "share_not_from_sender", "envelope_exchanged", "secret_of_another_study",
    "share_replayed", "secret_version_over", "secret_of_another_version", "secret_exchanged", "secret_not_as_committed",
    "secret_for_another_schema", "secret_share_invalid",  # of sites: agree-on-a-study-secret.md
    "not_a_map", "not_this_map",  # of sites and practices: rotate-keys.md, practice.md
    "map_broken",  # a defect of ours that the check of a map would catch: no content of the store leads to it
    "copy_differs", "schema_unknown",  # of `migrate`, which leaves the old instance as it was: postgresql.md
    "rooms_differ", "bad_parameters", "edges_damaged", "foreign_edges",  # of rooms apart: separate-rooms.md
    "foreign_refs", "number_too_far", "too_many_edges",  # the same
    "bad_room_signature", "foreign_step", "room_file_changed",  # of files carried by hand: room-files.md
    "other_room_file_version",  # the same: separate-rooms.md
    "not_from_registrar", "unsigned", "wrong_log_key", "changes_unreadable",  # of data recipients: studies.md
    "site_key_exchanged",  # of a site's sealed copy of its key: agree-on-a-study-secret.md
    "keys_verification", "verification_failed", "unavailable",  # bases of others
}  # fmt: skip


def test_every_failed_verification_and_outage_that_an_operator_can_meet_is_in_the_table() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    listed = re.findall(r"(?m)^\| `([a-z_]+)` \| (\d+) \| (\d) \|", page)
    met = {code for code, status, exit_code in listed if exit_code == "3" or status == "503"}
    assert len(met) > 30
    assert met - ELSEWHERE <= set(CODES), sorted(met - ELSEWHERE - set(CODES))


@pytest.mark.files
def test_incomplete_files_are_said(center: Center, tmp_path: Path) -> None:
    other = tmp_path / "keys.tc"
    head = center.dir / "registrar-keys" / "head.json"
    head.rename(tmp_path / "head.json")
    backup = ("backup", center.dir, "--room", "registrar", "--part")
    assert "keys_missing" in center.cli(*backup, "keys", "-o", other, expect=1).stderr
    (tmp_path / "head.json").rename(head)
    assert "directory_not_empty" in center.cli("init", center.dir, "--development", expect=1).stderr
    (center.dir / "reopen.json").write_bytes(b"{")
    sign = ("reopen", center.dir, "--sign", "anna", "--key", tmp_path / "none", "--yes", *center.secret)
    assert "proposal_damaged" in center.cli(*sign, expect=3).stderr
    with sqlite3.connect(center.dir / "registrar" / "registrar.db") as conn:
        conn.execute("DELETE FROM instance")
    assert "database_empty" in center.cli(*backup, "database", "-o", tmp_path / "db.tc", expect=3).stderr


def test_a_full_target_leaves_nothing_behind(center: Center, tmp_path: Path) -> None:
    folder = tmp_path / "target"
    folder.mkdir()
    command = [sys.executable, "-m", "trustcenter", "backup", center.dir, "--room", "registrar", "--part", "keys",
               "-o", folder / "keys.tc"]  # fmt: skip

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small, timeout=60)
    assert (done.returncode, "backup_not_written" in done.stderr) == (2, True), done.stderr
    assert list(folder.iterdir()) == []


def _class_of(code: str) -> str:
    pattern = rf'class (\w+)\([^)]*\):\n(?:(?!\nclass ).)*?    code[^=\n]* = "{code}"'
    for path in (ROOT / "keys" / "errors.py", ROOT / "trustcenter" / "errors.py"):
        match = re.search(pattern, path.read_text(encoding="utf-8"), re.DOTALL)
        if match:
            return match[1]
    return ""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Center:
    return Center(tmp_path_factory.mktemp("template"))


@pytest.fixture
def center(template: Center, tmp_path: Path) -> Center:
    shutil.copytree(template.base, tmp_path / "copy")
    return Center(tmp_path / "copy", tmp_path / "copy" / "center")


def test_a_taken_port_is_said(center: Center) -> None:
    port = int(re.findall(r"port = (\d+)", (center.dir / "config.toml").read_text())[0])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert "[port_taken]" in center.refusal(2)


def test_an_unknown_key_in_the_configuration_is_said(center: Center) -> None:
    with (center.dir / "config.toml").open("a") as stream:
        stream.write("\n[limits]\nbody_byte = 1\n")
    assert "[configuration_error]" in center.refusal(1)


@pytest.mark.files
def test_a_damaged_database_is_said(center: Center) -> None:
    path = center.dir / "registrar" / "registrar.db"
    path.write_bytes(b"\0" * 4096 + path.read_bytes()[4096:])
    assert "[store_damaged]" in center.refusal(3)
    assert "[store_damaged]" in center.cli("fsck", center.dir, *center.secret, expect=3).stderr
    assert "damaged" in center.doctor()["registrar database"]["text"]


@pytest.mark.files
def test_a_disk_that_is_full_after_a_crash_is_not_taken_for_a_damaged_database(center: Center, tmp_path: Path) -> None:
    """SQLite needs room for an index of the WAL even to read."""
    path = center.dir / "registrar" / "registrar.db"
    wal = path.with_name("registrar.db-wal")
    conn = sqlite3.connect(path)
    conn.executescript("PRAGMA journal_mode=wal; CREATE TABLE never_checkpointed (x)")
    found = path.read_bytes(), wal.read_bytes()
    conn.close()
    path.write_bytes(found[0])
    wal.write_bytes(found[1])

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    command = [sys.executable, "-m", "trustcenter", "fsck", center.dir, *center.secret]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small, timeout=60)
    assert (done.returncode, "[store_unavailable]" in done.stderr) == (2, True), done.stderr
    assert "restore" not in done.stderr


@pytest.mark.files
def test_databases_of_an_older_version_are_told_from_damaged_ones(center: Center) -> None:
    for room in ("registrar", "comparator"):
        with sqlite3.connect(center.dir / room / f"{room}.db") as conn:
            conn.execute("DELETE FROM schema_migration WHERE number = (SELECT max(number) FROM schema_migration)")
    found = center.doctor()
    assert {found[f"{room} schema"]["state"] for room in ("registrar", "comparator")} == {"warn"}
    assert not [name for name, finding in found.items() if finding["state"] == "fail"]
    assert "[store_older]" in center.cli("fsck", center.dir, *center.secret, expect=1).stderr


def test_a_passphrase_file_that_others_can_read_is_said(center: Center) -> None:
    (center.dir / "passphrase").chmod(0o644)
    assert "[unusable_passphrase]" in center.refusal(1)


@pytest.mark.files
def test_parts_of_two_instances_are_said(center: Center, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    other = Center(tmp_path / "second")
    other_passphrase = (other.dir / "passphrase").read_bytes()
    shutil.copy(other.dir / "comparator" / "comparator.db", center.dir / "comparator")
    assert "[foreign_comparator]" in center.refusal(3)
    (center.dir / "passphrase").write_bytes(other_passphrase)
    assert "[wrong_passphrase]" in center.refusal(3)


@pytest.mark.files
def test_a_changed_log_is_named_by_its_entry(center: Center) -> None:
    path = center.dir / "registrar" / "registrar.db"
    conn = sqlite3.connect(path)
    conn.executescript("DROP TRIGGER audit_entry_fixed; UPDATE audit_entry SET hash = randomblob(32) WHERE seq = 0")
    with pytest.raises(VerificationError) as caught:
        recompute_log(conn, "registrar")
    conn.close()
    assert (caught.value.code, caught.value.where) == ("log_damaged", "entry 0")


def test_every_command_in_the_pages_exists() -> None:
    from trustcenter.cli import main

    for name in ("failures", "backups", "systemd"):
        text = (ROOT / "docs" / "how-to" / f"{name}.md").read_text(encoding="utf-8")
        for command in re.findall(r"\btrustcenter ([a-z][a-z-]*)\b", re.sub(r"--\S+ trustcenter", "", text)):
            assert command in main.commands_at or command in ("by",), command


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / "systemd.md").read_text(encoding="utf-8")
    block = text[text.index("    [Unit]") : text.index("`LoadCredential=")]
    unit = tmp_path / "trustcenter.service"
    lines = [line[4:] for line in block.splitlines()]
    unit.write_text("\n".join(lines).replace("/opt/trustcenter/bin/trustcenter", "/bin/true") + "\n")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "trustcenter.service:" in line]
    unknown = [line for line in complaints if re.search("Unknown|Failed to parse|Invalid|ignoring", line)]
    assert not unknown, unknown
