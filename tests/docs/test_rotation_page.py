"""The table of guarantees names tests that exist, all of them, with the mark that they have."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security" / "rotation.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`( [†‡])?", PAGE)


def found_in(path: str) -> dict[str, str]:
    """Each test of a file, with its mark: " †" for faults, " ‡" for soak."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    everywhere = any("faults" in ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = " ".join(map(ast.unparse, node.decorator_list))
            found[node.name] = " ‡" if "soak" in marks else " †" if everywhere or "faults" in marks else ""
    return found


def test_every_test_that_is_named_exists_with_its_mark() -> None:
    assert NAMED
    for path, name, mark in NAMED:
        assert found_in(path).get(name) == mark, f"{path}::{name}"


def test_every_guarantee_has_a_row() -> None:
    assert re.findall(r"^\| R(\d+) ", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert re.findall(r"^\| I(\d+) ", PAGE, re.MULTILINE) == [str(number) for number in range(1, 8)]
    for path, name, _ in NAMED:
        number = re.match(r"test_r(\d+)_", name)
        if number:
            row = next(line for line in PAGE.splitlines() if line.startswith(f"| R{number[1]} "))
            assert name in row or "in_progress" in name, path


def test_nothing_that_bears_the_name_of_a_guarantee_or_of_bad_input_is_left_out() -> None:
    named = {name for _, name, _ in NAMED}
    for path in sorted((ROOT / "tests" / "rules").glob("test_rotation_*.py")):
        for name in found_in(path.relative_to(ROOT).as_posix()):
            if re.match(r"test_(r\d+|bad_input)_", name):
                assert name in named, name
