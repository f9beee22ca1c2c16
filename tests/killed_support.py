"""Processes that are killed with SIGKILL at a given instant: forked from one that has imported everything already."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["killed_victims"])


def kill_at(victim: Callable[..., None], *arguments: Any, wait: float | None) -> tuple[float, list[Any]]:
    """Run a function of `killed_victims` in a process that is killed so long after it said "ready".

    Args:
        victim: gets what it says things with, and the arguments; says "ready", what it likes, and "done" at its end.
        arguments: of it.
        wait: seconds; None: until it says "done".

    Returns:
        How long it ran after "ready", and what else it said.
    """
    process, ours = _start(victim, arguments)
    said: list[Any] = []
    try:
        assert ours.recv() == "ready"
        began = time.perf_counter()
        if wait is None:
            while (word := ours.recv()) != "done":
                said.append(word)
        else:
            time.sleep(wait)
        return time.perf_counter() - began, said
    finally:
        process.kill()
        process.join(30)
        said += _rest(ours)


def run(victim: Callable[..., None], *arguments: Any) -> tuple[int | None, list[Any]]:
    """Let it run to its end, or to where it kills itself; its exit code, and what it said."""
    process, ours = _start(victim, arguments)
    said = _rest(ours)
    process.join(30)
    return process.exitcode, said


def _start(victim: Callable[..., None], arguments: tuple[Any, ...]) -> tuple[ForkServerProcess, Connection]:
    # The process that it is forked from finds our modules by this.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    ours, theirs = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=victim, args=(theirs, *arguments))
    process.start()
    theirs.close()
    return process, ours


def _rest(ours: Connection) -> list[Any]:
    """What it said until it was killed; the last word may be cut."""
    said = []
    with contextlib.suppress(EOFError, OSError):
        while True:
            said.append(ours.recv())
    return [word for word in said if word != "done"]
