"""Writes docs/reference/cli.md from the commands themselves: `python -m trustcenter.cli.reference > FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from . import main

_WIDTH = 100
_HEAD = """\
# The command line

Written by `python -m trustcenter.cli.reference` from the commands' own help; a test compares the two.

* Data go to stdout, messages to stderr: `error: …` and `hint: …` lines, with a stable code in brackets.
* `--json` on every reading command; an empty list is `[]`.
* Exit codes: 0 done, 1 usage or local, 2 server or remote, 3 verification failed, 4 refused by policy,
  130 interrupted.
* Commands that speak to a service need a connection file (TOML, mode 0600: `url`, `ca`, `token`, and `site` or
  `staff`), given with `--connect FILE` or in the environment variable `TRUSTCENTER_CONNECT`.
* Rows of CSV files are counted from 1, the first line below the header. Messages never repeat a value of a file
  or of the command line.
* Outputs are written beside their target with mode 0600 and take its name when they are complete. Nothing is
  overwritten without `--force`, secrets and keys never.
* Without a terminal nothing is asked and nothing is drawn; `NO_COLOR` switches bars off on a terminal too.
* Completion for bash: `eval "$(_TRUSTCENTER_COMPLETE=bash_source trustcenter)"` (also `zsh_source`, `fish_source`).
"""


def commands() -> Iterator[tuple[list[str], click.Context]]:
    """Every command with its path, in the order of the help."""

    def walk(
        path: list[str], command: click.Command, parent: click.Context | None
    ) -> Iterator[tuple[list[str], click.Context]]:
        context = click.Context(command, parent=parent, info_name=path[-1], **command.context_settings)
        yield path, context
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None and not inner.hidden:
                    yield from walk([*path, name], inner, context)

    yield from walk(["trustcenter"], main, None)


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for path, context in commands():
        context.terminal_width = context.max_content_width = _WIDTH
        text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
        parts.append(f"{'#' * min(len(path) + 1, 4)} {' '.join(path)}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
