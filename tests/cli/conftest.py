"""Running commands in this process, and what must hold for every outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trustcenter.cli import main


@dataclass
class Outcome:
    """Exit code, data and messages of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        import json

        return json.loads(self.out)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run `trustcenter` with arguments; checks what no outcome may show."""
    monkeypatch.delenv("TRUSTCENTER_CONNECT", raising=False)

    def run(*arguments: str | Path, stdin: str | bytes | None = None) -> Outcome:
        found = CliRunner().invoke(main, [str(a) for a in arguments], input=stdin, prog_name="trustcenter")
        outcome = Outcome(found.exit_code, found.stdout, found.stderr)
        assert "Traceback" not in outcome.err + outcome.out
        assert "\x1b" not in outcome.err + outcome.out, "control characters without a terminal"
        assert "[internal]" not in outcome.err, outcome.err
        if outcome.code:
            assert any(line.startswith("error: ") for line in outcome.err.splitlines()) or outcome.out
        return outcome

    return run


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
