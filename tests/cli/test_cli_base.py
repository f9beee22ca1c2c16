"""The frame of all commands: help, laziness, usage errors, surprises, interruption."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from trustcenter.cli import main, output
from trustcenter.cli.base import LazyGroup
from trustcenter.client.errors import RemoteError
from trustcenter.messages.api import Problem

Cli = Callable[..., Any]
PATIENT = "PATIENT-4711"
EXPECTED = """
init serve demo doctor site/add site/list site/token staff/keygen staff/add staff/list domain/create
domain/list domain/show study/create study/list study/show study/register study/upload study/link study/result
study/release keys/list keys/rotate pseudonymize translate pseudonym/check linkage/synth linkage/schema
linkage/secret linkage/encode linkage/match linkage/evaluate recipient/keygen recipient/open audit/export
audit/verify audit/checkpoint
""".split()  # noqa: SIM905 - a list of forty would be a page


def every_command() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []

    def walk(path: list[str], command: click.Command) -> None:
        found.append(("/".join(path), command))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk([*path, name], inner)

    walk([], main)
    return found[1:]


def test_the_commands_are_those_that_were_agreed() -> None:
    assert set(EXPECTED) <= {name for name, _ in every_command()}


@pytest.mark.parametrize(("name", "command"), every_command())
def test_every_command_explains_itself(name: str, command: click.Command, cli: Cli) -> None:
    done = cli(*name.split("/"), "--help")
    assert done.code == 0
    assert done.err == ""
    assert (command.help or "").strip()
    assert all(p.help for p in command.params if isinstance(p, click.Option)), "an option without help"


def test_the_table_says_what_the_commands_say() -> None:
    context = click.Context(main)
    for name, (home, short) in main.commands_at.items():
        if not home.startswith("trustcenter.cli.operate.local:"):
            command = main.get_command(context, name)
            assert command is not None
            assert (command.help or "").split("\n")[0] == short


def test_examples_keep_their_lines(cli: Cli) -> None:
    assert "\n    trustcenter site token uk-nord --list\n" in cli("site", "token", "--help").out
    assert "\b" not in cli("study", "--help").out


def _python(code: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **more)


@pytest.mark.parametrize("arguments", [["--help"], ["site", "--help"], ["study", "upload", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    heavy = ("numba", "numpy", "aiohttp", "rich", "cryptography", "sqlite_utils", "msgspec", "asyncio.events")
    done = _python(
        "import sys\nfrom trustcenter.cli import main\n"
        f"main({arguments}, prog_name='trustcenter', standalone_mode=False)\n"
        f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    assert done.stderr.strip().splitlines()[-1] in ("[]", "['asyncio.events']")


def test_the_version_is_one_line(cli: Cli) -> None:
    done = cli("--version")
    assert (done.code, done.out) == (0, "trustcenter 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "says", "hint"),
    [
        ([PATIENT], "no such command", "trustcenter --help"),
        (["sit"], "no such command", "did you mean site"),
        (["site", "tokn"], "no such command", "did you mean token"),
        (["domain", "list", f"--{PATIENT}"], "no such option", "--help"),
        (["pseudonymize", "a.csv", "--colum", PATIENT], "no such option", "did you mean --column"),
        (["pseudonymize", "a.csv", "--column", "c"], "missing", "--help"),
        (["domain", "show"], "missing NAME", "--help"),
        (["domain", "show", "a", PATIENT], "too many arguments", "--help"),
        (["site", "add", "x", "--kind", PATIENT], "invalid value for --kind", "one of: diz"),
        (["site", "token", "x", "--expires-days", PATIENT], "invalid value", "at least 1 and at most 730"),
        (["domain", "show", "a", "--connect"], "option --connect is not complete", "--help"),
        (["audit", "export", PATIENT, "-o", "x"], "invalid value", "registrar"),
    ],
    ids=lambda value: None,
)
def test_usage_errors_name_no_value(cli: Cli, arguments: list[str], says: str, hint: str) -> None:
    done = cli(*arguments)
    lines = done.err.splitlines()
    assert done.code == 1
    assert done.out == ""
    assert lines[0].startswith("error: ")
    assert says in lines[0]
    assert lines[1].startswith("hint: ")
    assert hint in lines[1]
    assert PATIENT not in done.err


@pytest.mark.parametrize("group", ["site", "study", "linkage", "recipient"])
def test_a_group_alone_shows_its_help_and_fails(cli: Cli, group: str) -> None:
    done = cli(group)
    assert done.code == 1
    assert "Usage: trustcenter" in done.err


def test_commands_that_need_a_connection_say_so(cli: Cli) -> None:
    done = cli("domain", "list")
    assert done.code == 1
    assert "[no_connection]" in done.err
    assert "TRUSTCENTER_CONNECT" in done.err


# --- surprises -------------------------------------------------------------------------------------


@click.command()
def broken() -> None:
    """Raise what nobody expects."""
    raise ValueError(PATIENT)


@click.command()
def stopped() -> None:
    """Be interrupted."""
    raise KeyboardInterrupt


@click.command()
def no_disk() -> None:
    """Meet an operating system error."""
    raise OSError(28, "No space left on device", f"/data/{PATIENT}/out.csv")


def _small() -> LazyGroup:
    here = __name__
    sys.modules.setdefault(here, sys.modules[__name__])
    return LazyGroup("small", sections={"Commands": {n: (f"{here}:{n}", "") for n in ("broken", "stopped", "no_disk")}})


def test_a_surprise_is_internal_without_a_value() -> None:
    done = CliRunner().invoke(_small(), ["broken"])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: internal error [internal]\nhint: ")
    assert "ValueError" in done.stderr
    assert PATIENT not in done.output


def test_an_interruption_is_130_and_a_line() -> None:
    done = CliRunner().invoke(_small(), ["stopped"])
    assert done.exit_code == 130
    assert "error: interrupted" in done.stderr


def test_an_error_of_the_system_is_a_line() -> None:
    done = CliRunner().invoke(_small(), ["no_disk"])
    assert done.exit_code == 1
    assert done.stderr == "error: no space left on device (out.csv) [local_file]\n"


def test_the_real_program_ends_with_130_on_ctrl_c() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "trustcenter", "pseudonym", "check"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    # Two whole batches of the checker: once output comes, the program is at work, not still starting.
    process.stdin.write("x\n" * 30_000)
    process.stdin.flush()
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.strip() == "error: interrupted"


def test_a_closed_pipe_is_not_an_error_worth_a_traceback() -> None:
    program = f"yes x | head -50000 | {sys.executable} -m trustcenter pseudonym check | head -1"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1  malformed\n"
    assert done.stderr == ""


def test_no_terminal_no_prompt_and_no_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trustcenter.cli", "staff", "keygen", "-o", str(tmp_path / "a.key")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "--passphrase-file" in done.stderr


def test_json_and_messages_are_apart() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trustcenter", "linkage", "schema", "list", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert {entry["name"] for entry in json.loads(done.stdout)} >= {"de-person/1", "febrl/1"}
    assert done.stderr == ""


@pytest.mark.parametrize(("status", "code", "hints"), [(500, "internal_error", 1), (503, "stopping", 2), (404, "x", 1)])
def test_a_mistake_of_the_service_is_told_with_one_hint_that_names_the_request(
    status: int, code: str, hints: int, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"type": "t", "title": "t", "status": status, "code": code, "detail": "d", "request_id": "00aa11bb22cc33dd"}
    output.failure(RemoteError.of(msgspec.convert({**told, "hint": "the log has it under this request_id"}, Problem)))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hint: ")]
    assert len(lines) == hints
    assert ("00aa11bb22cc33dd" in lines[-1]) == (status >= 500)


def test_numbers_are_shown_as_people_write_them(capsys: pytest.CaptureFixture[str]) -> None:
    output.fields({"level": 0.1 + 0.2, "edges": 3})
    assert capsys.readouterr().out == "level  0.3\nedges  3\n"
    output.table([["2026-11-28T18:13:32.884796Z", None]], ("created", "revoked"))
    assert capsys.readouterr().out == "created               revoked\n2026-11-28T18:13:32Z  -\n"


def test_an_option_that_is_missing_beside_another_is_told_with_its_choices(cli: Cli) -> None:
    done = cli("study", "clearing", "sepsis", "--task", "0f3c5a", "--answer", "same")
    assert done.code == 1
    assert "hint: --reason is one of: evidence-strong, " in done.err


def test_a_command_that_crashes_leaves_no_core_file() -> None:
    """Its memory holds keys; so may that of the processes that it starts, which have its limits."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard == 0:
        pytest.skip("no process writes core files here")
    script = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_CORE, ({hard}, {hard}))\n"
        "from trustcenter.cli import main\n"
        "try:\n    main(['--version'])\n"
        "finally:\n    print(resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
