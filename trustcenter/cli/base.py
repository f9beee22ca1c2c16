"""The root group: commands loaded on call, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from trustcenter.errors import CommandLineError, exit_code

from . import output

INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are named by "module:attribute" and imported when they are needed.

    The short help of each is in the table, so that listing the commands imports none of them;
    tests/cli/test_cli_base.py holds the table against the commands. Sections are headings of the help, nothing else.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, tuple[str, str]]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections
        self.commands_at = {name: told for table in sections.values() for name, told in table.items()}
        _keep_examples(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table, which is the order of use."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.commands_at:
            return None
        module, _, attribute = self.commands_at[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(attribute)
        _keep_examples(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but with our names for "did you mean"."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=self.commands_at, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        for heading, table in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, short) for name, (_, short) in table.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; never a traceback, never a value in a message."""
        extra["complete_var"] = complete_var
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        _leave_no_core_file()
        try:
            ended = super().main(args, prog_name, standalone_mode=False, **extra)
            code = ended if isinstance(ended, int) else 0
        except BaseException as error:
            code = report(error)
        sys.exit(code)


def _leave_no_core_file() -> None:
    """Have the system write no memory to the disk when a command, or a process that it starts, crashes.

    Keys, passphrases and identities lie in it. Whoever reads the memory of a running process is not kept off by this.
    """
    with suppress(ImportError, OSError, ValueError):  # Windows has no such module; a filter of calls may forbid it
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _keep_examples(command: click.Command) -> None:
    """Mark paragraphs that begin with "Example:" so that click leaves their lines alone."""
    if command.help:
        text = inspect.cleandoc(command.help).replace("\b\n", "").replace("\\b\n", "")
        command.help = re.sub(r"(?m)^(?=Examples?:$)", "\b\n", text)
    if isinstance(command, click.Group) and not isinstance(command, LazyGroup):
        for inner in command.commands.values():
            _keep_examples(inner)


def report(error: BaseException) -> int:
    """Say on stderr what happened; the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, (click.Abort, KeyboardInterrupt, EOFError)):
        output.error("interrupted")
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(getattr(error, "kind", None), str) and isinstance(getattr(error, "message", None), str):
        output.failure(error)
        return exit_code(error)
    if isinstance(error, OSError) and error.strerror:
        output.error(error.strerror, code="local_file", where=Path(error.filename).name if error.filename else "")
        return 1
    if isinstance(error, MemoryError):
        output.error("out of memory", code="out_of_memory", hint="use smaller files, or a larger machine")
        return 1
    output.error(
        "internal error",
        code="internal",
        hint=f"a mistake of ours; please report: {type(error).__name__} at {_place(error)}",
    )
    return 2


def _place(error: BaseException) -> str:
    """File and line of the innermost frame of ours. The text of an unknown exception may hold a value."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = Path(frame.filename).parts
        for package in ("trustcenter", "linkage", "keys"):
            if package in parts:
                inside = parts[len(parts) - 1 - parts[::-1].index(package) :]
                return f"{'/'.join(inside)}:{frame.lineno}"
    return "unknown place"


def _usage(error: click.ClickException) -> int:
    """Click's errors, without the value that was given: it may be a patient's id."""
    ctx = getattr(error, "ctx", None)
    hint = f"{ctx.command_path} --help" if ctx is not None else "trustcenter --help"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message() + "\n", err=True)
        output.error("a command is missing", code=CommandLineError.code)
        return 1
    if isinstance(error, (click.exceptions.NoSuchCommand, click.NoSuchOption)):
        what = "option" if isinstance(error, click.NoSuchOption) else "command"
        if error.possibilities:
            hint = f"did you mean {' or '.join(error.possibilities)}? see {hint}"
        output.error(f"no such {what}", code=CommandLineError.code, hint=hint)
    elif isinstance(error, click.MissingParameter):
        output.error(f"missing {_name(error)}", code=CommandLineError.code, hint=hint)
    elif isinstance(error, click.BadParameter):
        output.error(f"invalid value for {_name(error)}", code=CommandLineError.code, hint=_expected(error) or hint)
    elif "unexpected extra argument" in error.message:
        output.error("too many arguments", code=CommandLineError.code, hint=hint)
    elif isinstance(error, click.BadOptionUsage):
        output.error(f"the option {error.option_name} is not complete", code=CommandLineError.code, hint=hint)
    else:
        output.error("the command line is not valid", code=CommandLineError.code, hint=hint)
    return 1


def _name(error: click.BadParameter) -> str:
    if error.param is None:
        return "parameter"
    return error.param.get_error_hint(error.ctx).strip("'").replace("' / '", "/")


def _expected(error: click.BadParameter) -> str:
    kind = error.param.type if error.param is not None else None
    if isinstance(kind, click.Choice):
        return "one of: " + ", ".join(str(choice) for choice in kind.choices)
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        number = "whole number" if isinstance(kind, click.IntRange) else "number"
        bounds = [f"at least {kind.min}"] * (kind.min is not None) + [f"at most {kind.max}"] * (kind.max is not None)
        return f"a {number}, {' and '.join(bounds)}"
    if kind is click.INT:
        return "a whole number"
    return ""
