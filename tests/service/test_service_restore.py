"""Files that went back in time, or belong to somebody else, are refused at start; nothing is written."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from tests_support import launch, make_instance, ok, run_cli

pytestmark = pytest.mark.files


class Center:
    """An instance that is started and stopped by the test."""

    def __init__(self, base: Path) -> None:
        self.dir, self.base = base / "center", base
        self.connect = ("--connect", self.dir / "operator.toml")

    def session(self, *commands: tuple) -> None:
        """Serve, run commands, stop cleanly."""
        process, _ = launch(self.dir, self.base / "log")
        try:
            for command in commands:
                ok(*command)
        finally:
            process.terminate()
            assert process.wait(60) == 0

    def refusal(self) -> subprocess.CompletedProcess[str]:
        done = run_cli("serve", self.dir, timeout=30)
        assert done.returncode == 3, (done.returncode, done.stdout, done.stderr)
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Center(tmp_path_factory.mktemp("template"))
    make_instance(made.dir)
    made.session(
        ("site", "add", "north", *made.connect),
        ("domain", "create", "north", "--site", "north", *made.connect),
        ("site", "token", "north", "-o", made.base / "north.toml", *made.connect),
    )
    return made.base


@pytest.fixture
def center(template: Path, tmp_path: Path) -> Center:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Center(tmp_path)


def pseudonymize(center: Center, numbers: range, name: str) -> tuple:
    source = center.base / f"{name}.csv"
    source.write_text("pid\n" + "".join(f"{number}\n" for number in numbers))
    return (
        "pseudonymize", source, "--column", "pid", "--domain", "north", "-o", center.base / f"{name}-out.csv",
        "--connect", center.base / "north.toml",
    )  # fmt: skip


def test_an_older_database_is_refused_and_the_newest_goes_on(center: Center) -> None:
    shutil.copytree(center.dir / "registrar", center.base / "old")
    center.session(pseudonymize(center, range(100), "first"))
    shutil.copytree(center.dir / "registrar", center.base / "new")
    shutil.rmtree(center.dir / "registrar")
    shutil.copytree(center.base / "old", center.dir / "registrar")
    assert "stale_database" in center.refusal().stderr
    assert run_cli("doctor", center.dir).returncode == 3

    shutil.rmtree(center.dir / "registrar")
    shutil.copytree(center.base / "new", center.dir / "registrar")
    center.session(pseudonymize(center, range(150), "second"))
    first = (center.base / "first-out.csv").read_text().splitlines()
    second = (center.base / "second-out.csv").read_text().splitlines()
    assert second[: len(first)] == first
    assert len(set(second)) == 151


def test_an_older_key_store_beside_a_newer_database_is_refused(center: Center) -> None:
    shutil.copytree(center.dir / "registrar-keys", center.base / "old-keys")
    center.session(("keys", "rotate", "north", "--yes", *center.connect))
    for path in (center.base / "old-keys").glob("*.keys"):
        shutil.copy(path, center.dir / "registrar-keys" / path.name)
    assert "stale_key_store" in center.refusal().stderr


def test_an_edited_key_state_is_refused(center: Center) -> None:
    conn = sqlite3.connect(center.dir / "registrar" / "registrar.db")
    conn.execute("UPDATE key_version SET state = 'suspended' WHERE purpose = 'pseudonym'")
    conn.commit()
    conn.close()
    assert "key_state_forged" in center.refusal().stderr


def test_a_tampered_or_truncated_key_store_is_refused(center: Center) -> None:
    path = center.dir / "registrar-keys" / "registrar.keys"
    good = path.read_bytes()
    for damaged in (good[:-1], good[:40], good[:-20] + bytes([good[-20] ^ 1]) + good[-19:], b""):
        path.write_bytes(damaged)
        center.refusal()
        assert path.read_bytes() == damaged
    path.write_bytes(good)
    center.session()


def test_a_wrong_passphrase_is_told_apart(center: Center) -> None:
    (center.dir / "passphrase").write_text("not the passphrase at all\n")
    assert "wrong_passphrase" in center.refusal().stderr


def test_a_head_of_another_instance_is_refused(center: Center, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_instance(other)
    shutil.copy(other / "registrar-keys" / "head.json", center.dir / "registrar-keys" / "head.json")
    assert "head_damaged" in center.refusal().stderr
    (center.dir / "registrar-keys" / "head.json").unlink()
    assert "head_missing" in center.refusal().stderr
