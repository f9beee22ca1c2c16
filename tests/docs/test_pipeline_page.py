"""The pages on pipelines and migration run as they stand there, against the live service."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import Live, run_cli

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every block of a page."""
    return re.findall(r"```(\w*)\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def run_page(page: str, folder: Path) -> str:
    """Run programs and commands of a page one after the other in a folder; what they print."""
    environment = {**os.environ, "NO_COLOR": "1", "TRUSTCENTER_CONNECT": str(folder / "uk-nord.toml")}
    printed = []
    for language, text in blocks(page):
        if language == "python":
            commands = [[sys.executable, "-c", text]]
        else:
            lines = text.replace("\\\n", " ").splitlines()
            commands = [[sys.executable, "-m", *shlex.split(line)] for line in lines if line.startswith("trustcenter ")]
        for command in commands:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, env=environment)
            assert done.returncode == 0, (command[2:], done.stderr)
            printed.append(done.stdout)
    return "".join(printed)


@pytest.fixture
def site(live: Live, tmp_path: Path) -> Path:
    """A folder with the connection of a site and of an operator."""
    connect = ("--connect", live.operator)
    if "uk-nord" not in run_cli("site", "list", "--json", *connect).stdout:
        assert run_cli("site", "add", "uk-nord", "--kind", "diz", *connect).returncode == 0
        for name in ("uk-nord", "uk-nord-cases"):
            assert run_cli("domain", "create", name, "--site", "uk-nord", *connect).returncode == 0
    assert run_cli("site", "token", "uk-nord", "-o", tmp_path / "uk-nord.toml", *connect).returncode == 0
    (tmp_path / "operator.toml").symlink_to(live.operator)
    return tmp_path


def test_the_pipeline_page_runs(site: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (site / "lab.csv").write_text("pid;birth;value\n1001;12.08.1964;1,5\n1002;31.12.1950;2\n", encoding="utf-8")
    pq.write_table(pa.table({"pid": [1001, 1002], "value": [1.5, 2.0]}), site / "lab.parquet")
    resources = [
        {"resourceType": "Patient", "id": "p1"},
        {"resourceType": "Encounter", "id": "e1", "status": "finished", "subject": {"reference": "Patient/p1"}},
    ]
    (site / "input.ndjson").write_text("".join(json.dumps(resource) + "\n" for resource in resources))
    printed = run_page("pipeline.md", site).splitlines()
    assert printed[:4] == ["[True, True, False] [(2, 'invalid_original')]", "1000 True", "True", "unknown_domain 404"]
    assert (site / "lab-coarse.csv").read_text().splitlines()[1].split(";")[1] == "1964-07"
    assert (site / "lab-from-python.csv").read_bytes() == (site / "lab-pseudonymous.csv").read_bytes()
    assert (site / "lab-again.csv").read_bytes() == (site / "lab-pseudonymous.csv").read_bytes()
    assert [line.split(";")[3] for line in (site / "lab-checked.csv").read_text().splitlines()] == [
        *("validity", "ok", "ok"),
    ]
    assert len((site / "output-current.ndjson").read_text().splitlines()) == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_lines_for_curl_run(site: Path) -> None:
    """Pasted into a shell one after the other; the token stands in no command line."""
    lines = "".join(text for _, text in blocks("pipeline.md") if "curl" in text)
    done = subprocess.run(["sh", "-eu", "-c", lines], cwd=site, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer, status, end = done.stdout.replace("}200", "}\n200").splitlines()
    assert (len(json.loads(answer)["pseudonyms"]), status) == (2, "200")
    assert json.loads(end) == {"done": True, "count": 3}
    assert (site / "uk-nord.curl").stat().st_mode & 0o077 == 0
    assert "tc1_" not in lines


def test_the_migration_page_runs(site: Path) -> None:
    (site / "gpas.csv").write_text("original,pseudonym\n1001,ALT001\n1002,ALT002\n1003,ALT003\n")
    (site / "data.csv").write_text("psn,value\nALT002,1\nALT001,2\n")
    (site / "daily.csv").write_text("pid,value\n1001,1\n1004,2\n")
    run_page("migrate-from-gpas.md", site)

    def column(name: str, at: int = 0) -> list[str]:
        return [line.split(",")[at] for line in (site / name).read_text().splitlines()[1:]]

    assert column("outcome-old.csv", 1) == column("outcome-new.csv", 1) == ["imported"] * 3
    assert column("dry-run.csv", 1) == ["new"] * 3
    assert column("again.csv", 1) == ["present"] * 3
    assert column("daily-old.csv")[0] == "ALT001"
    assert column("daily-new.csv")[0] == column("data-new.csv")[1]
    assert column("data-checked.csv", 2) == column("data-new-checked.csv", 2) == ["ok", "ok"]
