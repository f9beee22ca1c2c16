"""`site import`: the shipped template and files of one's own, against the live service."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trustcenter.cli import main


def run(live: Any, *arguments: str | Path) -> Any:
    words = ["site", "import", *(str(a) for a in arguments), "--json", "--connect", str(live.operator)]
    return CliRunner().invoke(main, words, prog_name="trustcenter")


def names(done: Any) -> list[str]:
    assert done.exit_code == 0, done.stderr
    return [site["name"] for site in json.loads(done.stdout)]


def test_the_template_has_four_consortia_and_six_hubs() -> None:
    from trustcenter.cli.members.site_import import _rows, _site

    rows = _rows(None)
    counts = Counter(row[3] for row in rows)
    assert set(counts) == {"difuture", "highmed", "miracum", "smith", "hub"}
    assert counts["hub"] == 6
    assert len(rows) - 6 > 30
    assert len({row[0] for row in rows}) == len(rows)
    for position, row in enumerate(rows):
        _site(row, position)


def test_import_is_repeatable_and_leaves_what_is_there(live, tmp_path: Path) -> None:
    foreseen = names(run(live, "--group", "difuture", "--dry-run"))
    assert names(run(live, "--group", "difuture")) == foreseen
    assert "ukt" in foreseen
    assert names(run(live, "--group", "difuture")) == []
    assert names(run(live, "--only", "ukf")) == ["ukf"]
    own = tmp_path / "own.csv"
    own.write_text("name,kind,title,group\nukf,hospital,Other,x\ncare-one,care,Pflege Eins,x\n", encoding="utf-8")
    assert names(run(live, own)) == ["care-one"]


@pytest.mark.parametrize("row", ["Care One,care,Title,x", "care-two,clinic,Title,x"])
def test_a_row_that_is_no_institution_admits_nobody(live, tmp_path: Path, row: str) -> None:
    own = tmp_path / "own.csv"
    own.write_text(f"name,kind,title,group\ncare-three,care,Title,x\n{row}\n", encoding="utf-8")
    done = run(live, own)
    assert done.exit_code == 1
    assert "row 2" in done.stderr
    listed = CliRunner().invoke(main, ["site", "list", "--json", "--connect", str(live.operator)])
    assert "care-three" not in listed.stdout
