"""Bodies as they come: whole, and in memory that follows their bytes, however small the parts are that they come in."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterable

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

from trustcenter.errors import LimitError
from trustcenter.http import bodies


async def _read(parts: Iterable[bytes], most: int) -> bytes:
    """What is read of a body in chunks, a thousand of which come at a time."""
    protocol = BaseProtocol(asyncio.get_running_loop())
    protocol.connection_made(asyncio.Transport())
    content = StreamReader(protocol, 2**16)

    async def feed() -> None:
        content.begin_http_chunk_receiving()
        for number, part in enumerate(parts):
            content.feed_data(part)
            content.end_http_chunk_receiving()
            if number % 1000 == 999:
                await asyncio.sleep(0)
        content.feed_eof()

    feeding = asyncio.create_task(feed())
    try:
        return await bodies._whole(content, most)
    finally:
        await feeding


@pytest.mark.parametrize("sizes", [(2,), (5000, 1), (1, 4095, 4096, 4097, 70_000), (9,) * 10_001])
async def test_a_body_is_what_was_sent(sizes: tuple[int, ...]) -> None:
    parts = [bytes([number % 251]) * size for number, size in enumerate(sizes * 3)]
    assert await _read(parts, 10**6) == b"".join(parts)


async def test_parts_of_two_bytes_take_no_more_than_a_body_of_so_many() -> None:
    parts = (bytes([number % 251, number % 7]) for number in range(50_000))  # each made as it comes
    tracemalloc.start()
    try:
        assert len(await _read(parts, 10**6)) == 100_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


async def test_a_body_that_is_too_large_is_not_read_on() -> None:
    with pytest.raises(LimitError) as caught:
        await _read([b"ab"] * 5_000, 9_999)
    assert caught.value.code == "body_too_large"
