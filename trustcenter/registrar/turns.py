"""How long jobs of the registrar leave time to those who wait: while small requests arrive, half of it is theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TypeVar

from trustcenter.store import Connection

from .context import Context

T = TypeVar("T")


def small_requests(context: Context) -> bool:
    """Whether small requests have arrived lately."""
    return context.singles is not None and context.singles.busy()


async def give_way(context: Context, took: float) -> None:
    """After work of so many seconds: wait as long as it took, if others may be waiting."""
    await asyncio.sleep(took if small_requests(context) else 0)


async def through(context: Context, fn: Callable[[Connection], Iterator[T]]) -> AsyncGenerator[T, None]:
    """What a long look through the store gives, piece by piece, from one snapshot; in between others come first.

    Wrap it in `contextlib.aclosing` if the loop may end early.
    """
    async with aclosing(context.db.stream(fn, batch=1)) as stream:  # type: ignore[type-var]
        began = time.perf_counter()
        async for (piece,) in stream:  # the next one is made when it is asked for
            took = time.perf_counter() - began
            yield piece
            await give_way(context, took)
            began = time.perf_counter()
