"""Bodies of requests: bounded in size and time, decoded to the message that the route takes."""

from __future__ import annotations

import asyncio
import codecs
from typing import Any, Final

import msgspec
from aiohttp import StreamReader, web

from trustcenter.config import Limits
from trustcenter.errors import LimitError, UsageError

from . import lines, row_forms
from .calls import FHIR_TYPES, Route

_JSON: Final = ("application/json",)
_CONTENT_TYPES: Final = {"bytes": ("application/octet-stream",), "rows": tuple(row_forms.FORMS), "fhir": FHIR_TYPES}
_SMALL: Final = 4096  # bytes; smaller parts are put together: what holds one of two bytes takes fifty
_DECODE_INLINE: Final = 64 * 2**10  # bytes; larger bodies are decoded in a thread


async def read(request: web.Request, route: Route, limits: Limits) -> Any:
    """The request body, bounded in size and time, decoded to the route's type.

    Raises:
        UsageError: compressed, of another type, malformed, or with fields that do not fit.
        LimitError: too large or too slow.
    """
    if route.takes is None:
        return None
    coding = request.headers.get("Content-Encoding", "identity"), request.headers.get("Transfer-Encoding", "chunked")
    if coding[0] != "identity" or coding[1].lower() != "chunked":
        raise UsageError("compressed bodies are not accepted", code="compressed_body", hint="send it plain")
    kinds = _CONTENT_TYPES[route.takes] if isinstance(route.takes, str) else _JSON
    if route.form is not None:
        kinds = (*kinds, lines.CONTENT_TYPE)
    if request.content_type not in kinds:
        raise UsageError(
            "the body has another content type", code="wrong_content_type", hint=f"send {' or '.join(kinds)}"
        )
    if request.content_length is not None and request.content_length > limits.body_bytes:
        raise LimitError("the request body is too large", code="body_too_large", hint="send smaller batches")
    try:
        if request.content.is_eof():  # a small body came with the header
            body = await request.read()
        else:
            async with asyncio.timeout(limits.read_timeout):
                body = await _whole(request.content, limits.body_bytes)
    except TimeoutError:
        raise LimitError("the request body did not arrive in time", code="body_too_slow") from None
    if route.takes == "fhir" or not isinstance(route.takes, str):
        body = body.removeprefix(codecs.BOM_UTF8)  # which editors and shells of Windows put before every text
    if isinstance(route.takes, str):
        return body
    if request.content_type == lines.CONTENT_TYPE:
        return await lines.parse(body, limits.batch_items)
    return await _decode(body, route.takes)


async def _whole(content: StreamReader, most: int) -> bytes:
    """A body as it comes. aiohttp's own `read` copies a large one three times.

    Raises:
        LimitError: more than `most` bytes.
    """
    content.set_read_chunk_size(most)  # the sender is not held up again and again
    parts: list[bytes] = []
    small, size = bytearray(), 0
    while not content.at_eof():
        part, _ = await content.readchunk()
        size += len(part)
        if size > most:
            raise LimitError("the request body is too large", code="body_too_large", hint="send smaller batches")
        if len(part) < _SMALL:
            small += part
            if len(small) < _SMALL:
                continue
            part = b""
        parts += [bytes(small), part]
        small.clear()
    return b"".join((*parts, small))


async def _decode(body: bytes, type_: type[msgspec.Struct]) -> Any:
    """JSON to a message.

    Raises:
        UsageError: names the path of the field, never its value.
    """
    try:
        if len(body) <= _DECODE_INLINE:
            return msgspec.json.decode(body, type=type_)
        return await asyncio.to_thread(msgspec.json.decode, body, type=type_)
    except msgspec.ValidationError as error:
        path = str(error).rpartition(" - at `")[2].rstrip("`") if " - at `" in str(error) else "$"
        raise UsageError(
            "the body does not fit: a field is missing, unknown or of the wrong form",
            code="invalid_body",
            hint="compare it with /openapi.json",
            where=path if path.startswith("$") else "$",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError("the body is not JSON in UTF-8", code="malformed_json", hint="send valid JSON") from None
