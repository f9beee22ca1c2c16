"""Answers of handlers as responses: JSON, bytes, nothing, or lines as long as the client goes on reading."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from trustcenter.messages.api import StreamEnd

from . import lines
from .calls import Binary, Lines, Route

_encoder = msgspec.json.Encoder()


async def respond(request: web.Request, route: Route, answer: object, patience: float) -> web.StreamResponse:
    """An answer of a handler as a response; who does not read a stream for `patience` seconds is cut off."""
    headers = {"X-Request-Id": request["request_id"], "Cache-Control": "no-store"}
    if isinstance(answer, Lines):
        return await _stream(request, answer, headers, patience)
    if isinstance(answer, Binary):
        return web.Response(status=route.status, body=answer.content, content_type=answer.content_type, headers=headers)
    if answer is None:
        return web.Response(status=204, headers=headers)
    body = await asyncio.to_thread(_encoder.encode, answer) if _is_large(answer) else _encoder.encode(answer)
    return web.Response(status=route.status, body=body, content_type="application/json", headers=headers)


def _is_large(answer: object) -> bool:
    batch = getattr(answer, "pseudonyms", None)
    return isinstance(batch, list) and len(batch) > 1000


async def _stream(request: web.Request, answer: Lines, headers: dict[str, str], limit: float) -> web.StreamResponse:
    # The first batch is fetched before the status goes out, so that an early error still gets its own status.
    iterator = aiter(answer.batches)
    first = await anext(iterator, None)
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/x-ndjson"
    count, batch, ended = 0, first, False
    try:
        async with asyncio.timeout(limit) as patience:
            await response.prepare(request)
            while batch is not None:
                ended = any(isinstance(item, lines.Ended) for item in batch[-1:])
                count += len(batch)
                data = b"".join(batch) if answer.raw else msgspec.json.Encoder().encode_lines(batch)
                patience.reschedule(asyncio.get_running_loop().time() + limit)
                await response.write(data)
                patience.reschedule(None)
                batch = await anext(iterator, None)
            patience.reschedule(asyncio.get_running_loop().time() + limit)
            if not answer.raw and not ended:
                await response.write(_encoder.encode(StreamEnd(done=True, count=count)) + b"\n")
            await response.write_eof()
    except TimeoutError:
        # A client that does not read would keep one of the few long reads for ever.
        if request.transport is not None:
            request.transport.abort()
    finally:
        await _close(iterator)
    return response


async def _close(iterator: Any) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()
