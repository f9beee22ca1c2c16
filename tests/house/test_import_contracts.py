"""The direction of imports is a test, not goodwill."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp  # what import-linter reads imports with

ROOT = Path(__file__).parents[2]


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "4 kept, 0 broken" in done.stdout


def test_no_imports_run_in_a_circle() -> None:
    """Files can be read one after the other: none needs, through others, itself. Imports for types count as well."""
    graph = grimp.build_graph("keys", "linkage", "trustcenter", cache_dir=None)
    assert "trustcenter.registrar.pseudonyms.issue" in graph.find_modules_that_directly_import("keys.states")
    TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()
