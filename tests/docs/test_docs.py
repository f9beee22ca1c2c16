"""Docs that cannot drift: links, generated pages, configuration keys, and what must never stand in the tree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from trustcenter import config

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "linkage").rglob("*.md")])


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_generated_pages_are_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target
    for target in re.findall(r"\b(docs/[\w./-]+\.md)\b", text):
        assert (ROOT / target).exists(), target


def test_pages_named_in_the_code_exist() -> None:
    for path in tracked():
        if path.suffix == ".py" and path.parts[len(ROOT.parts)] in ("keys", "linkage", "trustcenter"):
            for target in re.findall(r"\b(docs/[\w./-]+\.md)\b", path.read_text(encoding="utf-8")):
                assert (ROOT / target).exists(), (path, target)


def test_every_configuration_key_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    for section in ("server", "files", "limits"):
        for field in msgspec.structs.fields(type(getattr(config.Config(), section))):
            assert f"`{section}.{field.name}`" in text
            if isinstance(field.default, (int, float)):
                assert re.search(rf"`{section}\.{field.name}` \| `?{re.escape(str(field.default))}`? \|", text), (
                    field.name
                )


def test_constraints_name_no_index_and_pin_with_hashes() -> None:
    text = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "index" not in text.lower().replace("--hash", "")
    for line in text.replace("\\\n", " ").splitlines():
        assert not line.strip() or ("==" in line and "--hash=sha256:" in line), line[:60]


def test_the_tree_speaks_of_itself_alone() -> None:
    forbidden = (
        "../sha" + "red",
        "pypi" + ".org",
        "files.python" + "hosted",
        "registry.npm" + "js",
        "deb.debian" + ".org",
    )
    for path in tracked():
        if path.suffix in (".py", ".md", ".toml", ".txt", ".json", "") and path.stat().st_size < 2**20:
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not [word for word in forbidden if word in text], path


def test_top_level_is_as_designed() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    allowed = {"pyproject.toml", "README.md", "trustcenter", "linkage", "keys", "tests", "docs", "Makefile", "LICENSE"}
    assert {name for name in top if not name.startswith(".")} == allowed
