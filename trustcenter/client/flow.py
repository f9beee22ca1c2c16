"""Batches of a stream served in their order, several under way at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import TypeVar

from trustcenter.errors import ConflictError

B = TypeVar("B")

Progress = Callable[[int, int], None]  # bytes of the input done, bytes in all


async def in_order(batches: Iterator[B], serve: Callable[[B], Awaitable[None]], width: int) -> AsyncGenerator[B, None]:
    """Batches in their order once each is served, with up to `width` of them under way."""

    async def one(batch: B) -> B:
        await serve(batch)
        return batch

    waiting: deque[asyncio.Task[B]] = deque()
    try:
        for batch in batches:
            waiting.append(asyncio.create_task(one(batch)))
            if len(waiting) > width:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def same_version(versions: dict[str, int], domain: str, version: int) -> None:
    """Keep an output from mixing pseudonyms of two key versions.

    Raises:
        ConflictError: the domain's key was rotated since the first answer.
    """
    if versions.setdefault(domain, version) != version:
        raise ConflictError(
            "the domain's key was rotated during the job",
            code="rotated_meanwhile",
            hint="run it again without --resume: the output would mix pseudonyms of two key versions",
        )
