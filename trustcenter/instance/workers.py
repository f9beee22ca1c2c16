"""Worker processes for what computes: the event loop never does."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from trustcenter.errors import InternalError

from . import worker

T = TypeVar("T")


class Workers:
    """As many processes as the configuration says, started with the first work."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    async def compute(self, function: Callable[..., T], *args: Any) -> T:
        """Run a pure function in a worker process.

        Raises:
            InternalError: the process died, mostly for lack of memory. The next work gets fresh processes.
        """
        if self._pool is None:
            # "spawn", not "fork": a forked worker would inherit keys, sockets and the database's threads.
            self._pool = ProcessPoolExecutor(
                max_workers=self.count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=worker.end_with_parent,
            )
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, functools.partial(function, *args))
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
            raise InternalError(
                "a worker process died", code="worker_died", hint="more memory, or fewer workers in config.toml"
            ) from None

    async def stop(self) -> None:
        """End the processes; what they have not begun is dropped."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)
