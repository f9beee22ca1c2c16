"""Calling the real program: commands as subprocesses, and the service as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trustcenter.errors import InternalError


class StepFailedError(InternalError):
    """A command of the demo did not end well."""

    code = "demo_step_failed"


def _environment() -> dict[str, str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    environment.pop("TRUSTCENTER_CONNECT", None)
    return environment


def _line(arguments: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "trustcenter", *map(str, arguments)]


def call(*arguments: str | Path) -> str:
    """Run a command to its end; returns its stdout.

    Raises:
        StepFailedError: it ended with another code than 0. Its messages are passed on.
    """
    done = subprocess.run(_line(arguments), capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise StepFailedError(
            f"trustcenter {arguments[0]} ended with exit code {done.returncode}",
            hint="its messages stand above; run the demo with --keep DIR to look at the files",
        )
    return done.stdout


def call_all(commands: Sequence[Sequence[str | Path]]) -> list[str]:
    """Run commands of different parties side by side; returns their stdout in order.

    Raises:
        StepFailedError: one of them failed.
    """
    running = [
        subprocess.Popen(_line(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment())
        for command in commands
    ]
    outputs = [process.communicate() for process in running]
    for process, command, (_, errors) in zip(running, commands, outputs, strict=True):
        if process.returncode:
            sys.stderr.write(errors)
            raise StepFailedError(f"trustcenter {command[0]} ended with exit code {process.returncode}")
    return [out for out, _ in outputs]


@contextmanager
def service(directory: Path, log: Path) -> Iterator[str]:
    """The service as its own process; gives its address, and stops it cleanly at the end.

    Raises:
        StepFailedError: it does not start, or does not end with code 0.
    """
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            _line(["serve", directory]), stdout=subprocess.PIPE, stderr=stderr, text=True, env=_environment()
        )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise StepFailedError("the service did not start", hint="run the demo with --keep DIR and read service.log")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        process.stdout.close()
    if code:
        raise StepFailedError(f"the service ended with exit code {code}")
