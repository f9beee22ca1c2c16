"""The example of the pipeline page runs as it stands there, against the live service."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests_support import Live, run_cli

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_page_runs(live: Live, tmp_path: Path) -> None:
    connect = ("--connect", live.operator)
    assert run_cli("site", "add", "uk-nord", "--kind", "diz", *connect).returncode == 0
    assert run_cli("domain", "create", "uk-nord", "--site", "uk-nord", *connect).returncode == 0
    assert run_cli("site", "token", "uk-nord", "-o", tmp_path / "uk-nord.toml", *connect).returncode == 0
    text = (ROOT / "docs" / "how-to" / "pipeline.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[True, True, False] [(2, 'invalid_original')]", "1000 True"]
