"""A work list as a file: what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from trustcenter.client.errors import LocalFileError
from trustcenter.client.study import clearing_file
from trustcenter.messages.api import ClearingTask

TASK = ClearingTask(
    task="0f" * 16,
    sites=["north", "south"],
    origin="run",
    edges=3,
    level=1.5,
    rivals=0,
    joined=True,
    records=2,
    decided=False,
    postponed=None,
    created="2026-11-28T17:43:25.122220Z",
    site_answers=["changed", "right"],
)


def test_an_exported_list_has_no_answers_yet(tmp_path: Path) -> None:
    target = tmp_path / "list.csv"
    clearing_file.write(target, [TASK])
    assert target.read_text().splitlines() == [
        "task,sites,origin,joined_now,records,edges,level,rivals,sites_say,waiting_since,answer,reason",
        f"{TASK.task},north+south,run,yes,2,3,1.5,0,changed+right,2026-11-28,,",
    ]
    assert clearing_file.read(target) == []


@pytest.mark.parametrize(
    ("answer", "reason", "message"),
    [
        ("perhaps", "no-rival", "an answer is one of: same, different"),
        ("same", "", "a reason is one of: evidence-strong"),
        ("same", "she told me", "a reason is one of: evidence-strong"),
    ],
)
def test_a_row_that_is_filled_in_wrongly_is_named(tmp_path: Path, answer: str, reason: str, message: str) -> None:
    source = tmp_path / "filled.csv"
    source.write_text(f"task;answer;reason\n{TASK.task};;\n{TASK.task};{answer};{reason}\n")  # as Excel writes it
    with pytest.raises(LocalFileError, match=message) as refused:
        clearing_file.read(source)
    assert refused.value.where == "row 2"
    assert "she told me" not in str(refused.value)
