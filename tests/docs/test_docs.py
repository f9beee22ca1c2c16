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


def anchors(page: Path) -> set[str]:
    """What a link can lead to within a page, by the rules of the usual renderers."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    titles = re.findall(r"(?m)^#{1,6} +(.+)$", text)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", title).lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or there.suffix != ".md" or anchor in anchors(there), (target, anchor)
    for target in re.findall(r"\b(docs/[\w./-]+\.md)\b", text):
        assert (ROOT / target).exists(), target


def test_pages_named_in_the_code_exist() -> None:
    for path in tracked():
        if path.suffix == ".py" and path.parts[len(ROOT.parts)] in ("keys", "linkage", "trustcenter"):
            for target in re.findall(r"\b(docs/[\w./-]+\.md)\b", path.read_text(encoding="utf-8")):
                assert (ROOT / target).exists(), (path, target)


def test_code_named_on_the_pages_exists() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for named in re.findall(r"`((?:[a-z_]+/)+\w+\.py)`", text):
            assert (ROOT / named).exists() or (ROOT / "trustcenter" / named).exists(), (page, named)
        for named in re.findall(r"`((?:keys|linkage|trustcenter)(?:\.[a-z_0-9]+)+)`", text):
            *above, last = named.split(".")
            home = ROOT.joinpath(*above)
            module = home.with_suffix(".py") if home.with_suffix(".py").exists() else home / "__init__.py"
            there = (home / last).is_dir() or (home / f"{last}.py").exists()
            assert there or re.search(rf"\b{last}\b", module.read_text(encoding="utf-8")), (page, named)


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
