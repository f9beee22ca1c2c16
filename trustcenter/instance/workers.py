"""Worker processes for what computes: the event loop never does.

Each worker has a pipe of its own. `concurrent.futures` shares locks between its workers, and one that is killed while
it holds a lock may leave the others, and the service, waiting for ever; here a death is seen on one pipe only.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from trustcenter.errors import InternalError

from . import worker

T = TypeVar("T")


@dataclass(frozen=True)
class _Worker:
    """A process, and our end of its pipe."""

    process: Any
    pipe: Connection

    @classmethod
    def start(cls) -> _Worker:
        # "spawn", not "fork": a forked worker would inherit keys, sockets and the database's threads.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def call(self, work: tuple[Callable[..., Any], tuple[Any, ...]]) -> tuple[bool, Any]:
        """Have something computed; whether it went well, and what came of it.

        Raises:
            EOFError, OSError: the process died.
        """
        self.pipe.send(work)
        found: tuple[bool, Any] = self.pipe.recv()
        return found

    def end(self) -> None:
        """End it, whatever it is at; what it computes is pure. Twice is harmless."""
        with contextlib.suppress(ValueError):  # it was closed before
            self.process.kill()
            self.process.join()
            self.process.close()
        self.pipe.close()


class Workers:
    """As many processes as the configuration says, started when they are needed and kept."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = asyncio.Semaphore(count)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker-pipe")
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()

    async def compute(self, function: Callable[..., T], *args: Any) -> T:
        """Run a pure function of a module in a worker process; cancelling ends the process.

        Raises:
            InternalError: the process died or had too little memory. The next work gets a fresh one.
            Exception: whatever the function raised.
        """
        loop = asyncio.get_running_loop()
        async with self._free:
            one = self._idle.pop() if self._idle else await loop.run_in_executor(self._threads, _Worker.start)
            self._busy.add(one)
            whole = False
            try:
                good, value = await loop.run_in_executor(self._threads, one.call, (function, args))
                whole = True
            except (EOFError, OSError):
                raise _died() from None
            finally:
                self._busy.discard(one)
                if whole:
                    self._idle.append(one)
                else:
                    with contextlib.suppress(ValueError):
                        one.process.kill()  # the thread that waits for its answer sees the end of the pipe
                    await asyncio.shield(loop.run_in_executor(self._threads, one.end))
        if good:
            found: T = value
            return found
        if isinstance(value, MemoryError):
            raise _died()
        raise value

    async def stop(self) -> None:
        """End all processes."""
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        for one in workers:
            await asyncio.to_thread(one.end)
        self._threads.shutdown(wait=False)


def _died() -> InternalError:
    return InternalError(
        "a worker process died", code="worker_died", hint="more memory, or fewer workers in config.toml"
    )


def _serve(pipe: Connection) -> None:
    """A worker: until its parent closes the pipe, or dies. An interrupt is its parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.end_with_parent()
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, function(*args))
        except Exception as error:
            answer = (False, error)
        pipe.send(answer)
