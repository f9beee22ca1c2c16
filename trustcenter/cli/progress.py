"""How far a long job is: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import output

_EVERY = 10.0  # seconds between two lines where there is no terminal

Tick = Callable[[int, int], None]


@contextmanager
def progress(label: str) -> Iterator[Tick]:
    """A function to call with (done, total)."""
    if output.lively():
        with _bar(label) as tick:
            yield tick
    else:
        yield _lines(label)


@contextmanager
def _bar(label: str) -> Iterator[Tick]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=None)

        def tick(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tick


def _lines(label: str) -> Tick:
    started = said = time.monotonic()

    def tick(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < _EVERY or not total or not done:
            return
        said = now
        left = (now - started) * (total - done) / done
        output.note(f"{label}: {100 * done // total} %, about {left:.0f} s left")

    return tick
