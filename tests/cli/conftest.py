"""Running commands in this process, and what must hold for every outcome."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests_support import Outcome, run_here


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run `trustcenter` with arguments, without a connection from outside the test."""
    monkeypatch.delenv("TRUSTCENTER_CONNECT", raising=False)
    return run_here


@pytest.fixture(scope="session")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic sites, encoded, matched and explained: made once, and only read."""
    base = tmp_path_factory.mktemp("matched")
    sites = ("--site", "north=300", "--site", "south=200")
    assert run_here("linkage", "synth", base / "data", *sites, "--overlap", "0.5").code == 0
    assert run_here("linkage", "secret", "--study", "demo", "-o", base / "study.secret").code == 0
    for site in ("north", "south"):
        assert run_here("linkage", "secret", "--site-key", "-o", base / f"{site}.key").code == 0
        done = run_here(
            *("linkage", "encode", base / "data" / f"{site}.csv", "--schema", "de-person/1", "--id-column", "id"),
            *("--study-secret", base / "study.secret", "--site-key", base / f"{site}.key", "-o", base / site),
        )
        assert done.code == 0, done.err
    done = run_here("linkage", "match", base / "north", base / "south", "-o", base / "joined", "--explain")
    assert done.code == 0, done.err
    return base


@pytest.fixture
def joined(matched: Path, tmp_path: Path) -> Path:
    """The folder of `matched`, to do with as a test likes."""
    shutil.copytree(matched, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """A small CSV file of patients with a semicolon, quotes and umlauts."""
    path = tmp_path / "patients.csv"
    path.write_text(
        'PID;NACHNAME;VORNAME;GEBURTSDATUM;PLZ;NOTE\n4711;Müller;Änne;1950-01-02;04109;"says ""hi""; twice"\n'
        "4712;Özil;Max;1961-03-04;04229;\n",
        encoding="utf-8",
    )
    return path
