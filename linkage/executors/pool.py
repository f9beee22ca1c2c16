"""Worker processes without anything shared between them: each has a pipe of its own to its parent.

`concurrent.futures` shares locks between its workers; one that is killed while it holds a lock may leave the others,
and the parent, waiting for ever. Here the death of a worker is seen on its own pipe and hurts nobody else.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from linkage.errors import ChunkError

_BREAKS = 3  # times that one chunk may bring down its worker

Work = Callable[[str, str], Any]


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    item: str | None = None


def run(work: Work, place: str, items: Sequence[str], workers: int, done: Callable[[Any], None]) -> None:
    """Call `work(place, item)` for every item in worker processes, and `done` with each result in this one.

    Args:
        work: a function of a module, which the workers import.
        place: first argument of all calls.
        items: second arguments.
        workers: processes.
        done: may raise to cancel; the workers then end after what they are at.

    Raises:
        ChunkError: one item brought down several workers.
        Exception: whatever `work` or `done` raised; the first ends the run.
    """
    context = multiprocessing.get_context("forkserver")  # numba and threads do not survive a fork
    context.set_forkserver_preload(["linkage.executors.chunks", "linkage.kernels"])
    waiting = list(reversed(items))
    breaks = dict.fromkeys(items, 0)
    crew: list[_Worker] = []
    try:
        while waiting or any(w.item is not None for w in crew):
            while waiting and len(crew) < workers:
                crew.append(_start(context, work, place))
            for worker in crew:
                if waiting and worker.item is None:
                    _hand(worker, waiting.pop())
            for ready in wait([w.pipe for w in crew if w.item is not None]):
                worker = next(w for w in crew if w.pipe is ready)
                try:
                    good, value = worker.pipe.recv()
                except (EOFError, OSError):  # it died
                    crew.remove(worker)
                    _end(worker)
                    assert worker.item is not None
                    breaks[worker.item] += 1
                    if breaks[worker.item] == _BREAKS:
                        raise ChunkError(
                            "a chunk brought down several worker processes",
                            hint='is there memory enough for so many? a script needs `if __name__ == "__main__":`',
                            where=worker.item,
                        ) from None
                    waiting.append(worker.item)
                    continue
                worker.item = None
                if not good:
                    raise value
                done(value)
    finally:
        for worker in crew:
            worker.pipe.close()
        for worker in crew:
            _end(worker)


def _start(context: Any, work: Work, place: str) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, place), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _hand(worker: _Worker, item: str) -> None:
    worker.item = item
    with contextlib.suppress(OSError):  # it died while idle; its pipe then reads as ended
        worker.pipe.send(item)


def _end(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.join()
    worker.process.close()


def _serve(pipe: Connection, work: Work, place: str) -> None:
    """A worker: until its parent closes the pipe, or dies. An interrupt is its parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, work(place, item))
        except Exception as e:
            answer = (False, e)
        try:
            pipe.send(answer)
        except OSError:
            return
