"""`trustcenter pseudonym check`: offline, from arguments or stdin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Cli = Callable[..., Any]
GOOD = "7DKLPHW5FV25H6RLDXVRM8Z6P7M4"  # known answer of the suite


def test_right_wrong_and_malformed(cli: Cli) -> None:
    done = cli("pseudonym", "check", GOOD, GOOD[:-1] + "5", "x", GOOD.lower())
    assert done.code == 1
    assert done.out.splitlines() == [
        "1  ok",
        f"2  wrong_check_characters  did you mean {GOOD}",
        "3  malformed",
        "4  malformed",
    ]


def test_all_right_is_zero(cli: Cli) -> None:
    assert cli("pseudonym", "check", GOOD).code == 0


def test_stdin_in_json_with_lines_that_are_not_utf8(cli: Cli) -> None:
    done = cli("pseudonym", "check", "--json", stdin=GOOD.encode() + b"\r\n\xff\xfe\n" + GOOD.encode())
    assert done.code == 1
    assert [entry["verdict"] for entry in done.json] == ["ok", "malformed", "ok"]
    assert [entry["line"] for entry in done.json] == [1, 2, 3]


def test_nothing_is_an_empty_list(cli: Cli) -> None:
    done = cli("pseudonym", "check", "--json", stdin="")
    assert (done.code, done.json) == (0, [])


def test_numbers_go_on_over_batches(cli: Cli) -> None:
    done = cli("pseudonym", "check", stdin=f"{GOOD}\n" * 10_001 + "x\n")
    assert done.out.splitlines()[-1] == "10002  malformed"
