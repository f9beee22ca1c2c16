"""What a site writes into the file of questions is looked at before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests_support import Outcome

Cli = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["4711,", "4712,"], "no row has an answer"),
        (["4711,", "4712,yes"], "an answer is one of: right, changed, mixed, unsure (row 2)"),
    ],
)
def test_an_answer_is_one_of_the_list_and_one_is_there(cli: Cli, tmp_path: Path, rows: list[str], message: str) -> None:
    key, look = tmp_path / "site.key", tmp_path / "look.csv"
    assert cli("linkage", "secret", "--site-key", "-o", key).code == 0
    look.write_text("\n".join(["pid,answer", *rows]) + "\n", encoding="utf-8")
    done = cli("study", "questions", "sepsis", "--input", look, "--id-column", "pid", "--site-key", key, "--answers")
    assert done.code == 1
    assert message in done.err
    assert "471" not in done.err


def test_rows_without_an_answer_stay_for_later(cli: Cli, tmp_path: Path) -> None:
    key, look = tmp_path / "site.key", tmp_path / "look.csv"
    assert cli("linkage", "secret", "--site-key", "-o", key).code == 0
    look.write_text("pid,answer\n4711,right\n4712,\n", encoding="utf-8")
    done = cli("study", "questions", "sepsis", "--input", look, "--id-column", "pid", "--site-key", key, "--answers")
    assert "[no_connection]" in done.err  # the file is taken
