"""The wheel holds what the program needs, and the program runs with runtime dependencies only."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Packages of the development set that no installed command may need. Put in the way of the import, they show
# at once what a fresh environment with runtime dependencies would show.
DEVELOPMENT = (
    "pytest", "hypothesis", "recordlinkage", "pandas", "scipy", "sklearn", "mypy", "trustme", "hatchling",
    "build", "jsonschema", "openapi_spec_validator", "importlinter", "pydantic",
)  # fmt: skip
BLOCKER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Blocked())
sys.path[:] = [{target!r}] + [entry for entry in sys.path if entry != {root!r}]
from trustcenter.cli import main
import trustcenter
assert trustcenter.__file__.startswith({target!r}), trustcenter.__file__
main()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", base, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = base.glob("*.whl")
    target = base / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = BLOCKER.format(names=set(DEVELOPMENT), target=str(installed), root=str(ROOT))
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=installed, timeout=120
    )


def test_the_wheel_holds_the_three_packages_and_their_data(installed: Path) -> None:
    names = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    for needed in (
        "keys/py.typed",
        "linkage/data/schemas/de-person-1.json",
        "linkage/data/densities/hyb15.json",
        "linkage/data/leipzig/LICENSE",
        "trustcenter/__main__.py",
    ):
        assert needed in names
    assert not any(name.startswith(("tests/", "docs/")) for name in names)
    metadata = next(path for path in installed.glob("*.dist-info") if path.is_dir())
    assert "trustcenter = trustcenter.cli:main" in (metadata / "entry_points.txt").read_text()


def test_the_program_runs_with_runtime_dependencies_only(installed: Path, tmp_path: Path) -> None:
    assert run(installed, "--version").stdout.startswith("trustcenter ")
    made = run(installed, "init", str(tmp_path / "center"), "--development", "--port", "0")
    assert made.returncode == 0, made.stderr
    checked = run(installed, "doctor", str(tmp_path / "center"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    synthetic = run(installed, "linkage", "synth", str(tmp_path / "synth"), "--site", "a=200", "--site", "b=200")
    assert synthetic.returncode == 0, synthetic.stderr
