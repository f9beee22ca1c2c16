"""The page on the library runs as it stands there, in a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "link-with-the-library.md"


def test_the_programs_of_the_page_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 7
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("joined: the best pair of both records")
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_front_door_is_what_the_page_says() -> None:
    """Every function in the table exists under the name it has there."""
    from importlib import import_module

    names = re.findall(r"\| `(linkage(?:\.\w+)+)\(", PAGE.read_text(encoding="utf-8"))
    assert len(names) >= 7
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert callable(getattr(import_module(module), attribute)), name
