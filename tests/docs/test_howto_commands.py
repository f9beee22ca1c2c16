"""Every command line of the pages is one that the program takes: its command, options and arguments are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from trustcenter.cli import main

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs" / "how-to").glob("*.md"), *(ROOT / "docs").glob("tutorial*.md"), ROOT / "README.md"])


def commands(page: Path) -> list[list[str]]:
    """The command lines in the code blocks of a page, fenced or indented, without those that leave something out."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    lines += re.findall(r"^    (?:ExecStart=)?(?:/opt/trustcenter/bin/)?(trustcenter .*)", text, flags=re.MULTILINE)
    found = [re.sub(r"\s#.*", "", line) for line in lines if line.startswith("trustcenter ")]
    return [shlex.split(re.split(r" [|<>&] ?", line)[0])[1:] for line in found if "…" not in line and "..." not in line]


def parse(arguments: list[str]) -> None:
    """Follow the groups and take the options of the command, without running anything.

    Raises:
        click.UsageError: no such command or option, or an argument is missing.
    """
    command: click.Command = main
    context = click.Context(main, info_name="trustcenter", **main.context_settings)
    while isinstance(command, click.Group):
        name, inner, arguments = command.resolve_command(context, arguments)
        assert inner is not None, name
        command, context = inner, click.Context(inner, info_name=name, parent=context)
    options, rest, _ = command.make_parser(context).parse_args(list(arguments))
    assert not rest, rest
    required = [p for p in command.params if p.required and not p.envvar and isinstance(p, click.Option)]
    missing = [p.name for p in required if p.name not in options]
    assert not missing, missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_those_of_the_program(page: Path) -> None:
    for arguments in commands(page):
        if "--help" in arguments or arguments == ["--version"]:
            continue
        try:
            parse(arguments)
        except (click.UsageError, AssertionError) as error:
            pytest.fail(f"trustcenter {' '.join(arguments)}: {error or error.args}")


def test_what_is_not_there_is_found() -> None:
    for wrong in (
        "study secret shar sepsis",
        "study secret card sepsis",
        "study secret card sepsis --kez own.key",
        "x",
    ):
        with pytest.raises((click.UsageError, AssertionError)):
            parse(wrong.split())
