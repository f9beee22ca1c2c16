"""Worker processes: what they raise arrives, a killed one costs what it was at, cancelling ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from trustcenter.errors import InternalError
from trustcenter.instance.workers import Workers


def own_id() -> int:
    return os.getpid()


def refuse() -> None:
    raise ValueError("no")


def run_out() -> None:
    raise MemoryError


def end_badly() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep() -> None:
    time.sleep(600)


async def test_a_worker_that_dies_costs_what_it_was_at() -> None:
    workers = Workers(1)
    first = await workers.compute(own_id)
    assert first != os.getpid()
    with pytest.raises(ValueError, match="no"):
        await workers.compute(refuse)
    assert await workers.compute(own_id) == first
    for function in (run_out, end_badly):
        with pytest.raises(InternalError) as caught:
            await workers.compute(function)
        assert caught.value.code == "worker_died"
    second = await workers.compute(own_id)
    assert second != first

    task = asyncio.create_task(workers.compute(sleep))
    await asyncio.sleep(0)  # it has begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{second}").exists()
    assert await workers.compute(own_id) != second
    await workers.stop()
