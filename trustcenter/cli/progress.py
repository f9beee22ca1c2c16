"""How far a long job is: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from . import output

_EVERY = 10.0  # seconds between two lines where there is no terminal

Tick = Callable[[int, int], None]
StageTick = Callable[[str, int, int], None]

# What the functions below the command line call their stages, as people are told.
_WORDS: Final = {
    "read": "reading",
    "encode": "encoding",
    "compare": "comparing",
    "count": "counting",
    "map": "reading maps",
    "edges": "resolving edges",
    "decide": "deciding",
    "cluster": "forming persons",
    "explain": "explaining",
    "write": "writing",
}


@contextmanager
def progress(label: str) -> Iterator[Tick]:
    """A function to call with (done, total)."""
    with stages() as tick:
        yield lambda done, total: tick(label, done, total)


@contextmanager
def stages() -> Iterator[StageTick]:
    """A function to call with (stage, done, total): a job of several stages, each with a time left of its own."""
    if output.lively():
        with _bar() as tick:
            yield tick
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[StageTick]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}
    with bar:

        def tick(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    bar.update(earlier, visible=False)
                tasks[stage] = bar.add_task(_WORDS.get(stage, stage), total=None)
            bar.update(tasks[stage], completed=done, total=total or None)

        yield tick


def _lines() -> StageTick:
    said = time.monotonic()
    marks: dict[str, tuple[float, int]] = {}

    def tick(stage: str, done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        # Since the last line: what an earlier run did is passed over quickly, and says nothing of the rest.
        since, before = marks.setdefault(stage, (now if marks else said, 0))
        if now - said < _EVERY or not done:
            return
        said = now
        marks[stage] = now, done
        word = _WORDS.get(stage, stage)
        if not total:  # nobody knows the end of a pipe
            output.note(f"{word}: {done} so far")
            return
        left = (now - since) * (total - done) / max(done - before, 1)
        output.note(f"{word}: {100 * done // total} %, about {left:.0f} s left")

    return tick
