"""The page about the command line is what the commands say of themselves."""

from __future__ import annotations

import re
from pathlib import Path

from trustcenter.cli import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), (
        "renew it: python -m trustcenter.cli.reference > docs/reference/cli.md"
    )


def test_every_command_has_a_section() -> None:
    headings = set(re.findall(r"^#+ (trustcenter.*)$", PAGE.read_text(encoding="utf-8"), re.M))
    assert headings == {" ".join(path) for path, _ in reference.commands()}
