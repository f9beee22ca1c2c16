"""Streams of JSON lines that say when they are complete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

import aiohttp
import msgspec

from trustcenter.messages.api import StreamEnd

from .errors import BadAnswerError, UnreachableError

T = TypeVar("T")


async def lines(body: aiohttp.StreamReader, longest: int) -> AsyncIterator[bytes]:
    """Lines with their line feed, of at most `longest` bytes; a last line without one is given as it is.

    Raises:
        BadAnswerError: a longer line.
    """
    rest = b""
    async for part in body.iter_any():
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > longest:
            raise BadAnswerError("the service sent a line that is too long", code="answer_too_large")
    if rest:
        yield rest


async def records(body: aiohttp.StreamReader, kind: type[T], longest: int) -> AsyncIterator[T]:
    """Items of a stream whose last line is a `StreamEnd` with the right count.

    Raises:
        UnreachableError: the stream ended early.
        BadAnswerError: a line that is neither an item nor the end, or something after the end.
    """
    decoder = msgspec.json.Decoder(kind)
    end = msgspec.json.Decoder(StreamEnd)
    count = 0
    ended = False
    async for line in lines(body, longest):
        if ended:
            raise _wrong(count)
        try:
            item = decoder.decode(line)
        except msgspec.DecodeError:
            try:
                last = end.decode(line)
            except msgspec.DecodeError:
                raise _wrong(count) from None
            if not last.done or last.count != count:
                raise _wrong(count) from None
            ended = True
            continue
        count += 1
        yield item
    if not ended:
        raise UnreachableError(
            "the answer of the service was cut",
            code="stream_cut",
            hint="try again",
            where=f"after line {count}",
        )


def _wrong(count: int) -> BadAnswerError:
    return BadAnswerError("the service sent a line that this client does not know", where=f"line {count + 1}")
