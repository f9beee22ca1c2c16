"""The README's pipeline runs as it stands there, against the live service."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests_support import Live, run_cli

ROOT = Path(__file__).parents[2]


def test_the_pipeline_of_the_readme_runs(live: Live, tmp_path: Path) -> None:
    connect = ("--connect", live.operator)
    assert run_cli("site", "add", "uk-nord", *connect).returncode == 0
    assert run_cli("domain", "create", "uk-nord", "--site", "uk-nord", *connect).returncode == 0
    assert run_cli("site", "token", "uk-nord", "-o", tmp_path / "uk-nord.toml", *connect).returncode == 0
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 25
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["1001", "1002", "1003"]
    assert all(len(line.split()[1]) == 28 for line in lines[:3])
    assert lines[3] == "1 3"
