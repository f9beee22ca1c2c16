"""From socket to handler and back: request ids, errors as problem+json, credentials, bounded bodies, logs."""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiohttp import web

from trustcenter.auth.limiter import seconds
from trustcenter.errors import (
    InternalError,
    LimitError,
    NotFoundError,
    UsageError_,
    http_status,
)
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.messages.api import Problem, StreamEnd

from . import lines
from .access import Access
from .calls import FHIR_TYPES, Answer, Binary, Call, Lines, Route
from .logs import RequestLine, write_request
from .metrics import METRICS, scrape

INSTANCE: web.AppKey[Instance] = web.AppKey("instance", Instance)
ACCESS: web.AppKey[Access] = web.AppKey("access", Access)
ROOMS: web.AppKey[Rooms] = web.AppKey("rooms", Rooms)
_JSON = ("application/json",)
_CONTENT_TYPES = {"bytes": ("application/octet-stream",), "fhir": FHIR_TYPES}
_DECODE_INLINE = 64 * 2**10  # bytes; larger bodies are decoded in a thread
_log = structlog.get_logger()
_encoder = msgspec.json.Encoder()


class _Ids:
    """Random request ids, drawn from the kernel many at a time: each call of it gives the interpreter away."""

    def __init__(self) -> None:
        self._drawn = ""

    def draw(self) -> str:
        """16 hex digits."""
        if not self._drawn:
            self._drawn = os.urandom(4096).hex()
        drawn, self._drawn = self._drawn[:16], self._drawn[16:]
        return drawn


request_ids = _Ids()

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(error: BaseException, request_id: str) -> tuple[int, bytes]:
    """An error as (status, problem+json). Errors that are not ours say nothing of themselves."""
    ours: Any = error
    if not isinstance(getattr(error, "code", None), str) or not hasattr(error, "hint"):
        ours = InternalError("something went wrong inside the service", hint="the log has it under this request_id")
    status = http_status(ours)
    body = Problem(
        type=f"urn:trustcenter:problem:{ours.code}",
        title=_TITLES.get(status, "Error"),
        status=status,
        code=ours.code,
        detail=ours.message,
        hint=ours.hint,
        request_id=request_id,
        where=ours.where,
    )
    return status, _encoder.encode(body)


_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be verified",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


@web.middleware
async def envelope(request: web.Request, handler: Next) -> web.StreamResponse:
    """Give every request an id, every error a body, every answer one log line without a value, and time it."""
    page = await scrape(request)
    if page is not None:
        return page
    request_id = request_ids.draw()
    request["request_id"] = request_id
    started = time.perf_counter()
    status, code = 500, ""
    try:
        response = await handler(request)
        status = response.status
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
        return response
    except web.HTTPException as error:
        # aiohttp's own: unknown route, wrong method, body over the limit.
        translated = _translate(error)
        status, body = problem(translated, request_id)
        code = translated.code
        extra = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _problem_response(status, body, request_id, extra)
    except asyncio.CancelledError:
        status, code = 499, "client_gone"
        raise
    except Exception as error:
        status, body = problem(error, request_id)
        code = str(getattr(error, "code", "internal_error"))
        if status >= 500:
            _log_unexpected(error, request_id)
        extra = {"Retry-After": seconds(getattr(error, "retry_after", 1.0))} if status in (429, 503) else {}
        if status == 401:
            extra["WWW-Authenticate"] = "Bearer"
        return _problem_response(status, body, request_id, extra)
    finally:
        spent = time.perf_counter() - started
        request.app[ACCESS].note(request, status, code)
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else ""
        outcome = str(status) if code != "client_gone" else code
        request.app[METRICS].observe(route, request.get("site", ""), outcome, spent)
        write_request(
            RequestLine(
                request_id=request_id,
                method=request.method,
                route=route,
                status=status,
                code=code,
                duration_ms=round(spent * 1000, 1),
            )
        )


def _translate(error: web.HTTPException) -> NotFoundError | LimitError | UsageError_:
    if error.status == 413:
        return LimitError("the request body is too large", code="body_too_large", hint="send smaller batches")
    if error.status == 405:
        return UsageError_("this method is not offered here", code="method_not_allowed", hint="see /openapi.json")
    if error.status == 404:
        return NotFoundError("there is nothing at this path", code="unknown_path", hint="see /openapi.json")
    return UsageError_("the request is not acceptable", code="bad_request")


def _problem_response(status: int, body: bytes, request_id: str, extra: dict[str, str]) -> web.Response:
    return web.Response(
        status=status,
        body=body,
        content_type="application/problem+json",
        headers={"X-Request-Id": request_id, "Cache-Control": "no-store", **extra},
    )


def _log_unexpected(error: Exception, request_id: str) -> None:
    # Where it happened, never what was in the variables or in the exception's text.
    frames = [
        f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    _log.error("unexpected", request_id=request_id, error_type=type(error).__name__, frames=frames[-6:])


async def read_body(request: web.Request, route: Route) -> Any:
    """The request body, bounded in size and time, decoded to the route's type.

    Raises:
        UsageError_: compressed, of another type, malformed, or with fields that do not fit.
        LimitError: too large or too slow.
    """
    if route.takes is None:
        return None
    limits = request.app[INSTANCE].config.limits
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UsageError_("compressed bodies are not accepted", code="compressed_body", hint="send it plain")
    kinds = _CONTENT_TYPES[route.takes] if isinstance(route.takes, str) else _JSON
    if route.form is not None:
        kinds = (*kinds, lines.CONTENT_TYPE)
    if request.content_type not in kinds:
        raise UsageError_(
            "the body has another content type", code="wrong_content_type", hint=f"send {' or '.join(kinds)}"
        )
    if request.content_length is not None and request.content_length > limits.body_bytes:
        raise LimitError("the request body is too large", code="body_too_large", hint="send smaller batches")
    try:
        if request.content.is_eof():  # a small body came with the header
            body = await request.read()
        else:
            async with asyncio.timeout(limits.read_timeout):
                body = await request.read()
    except TimeoutError:
        raise LimitError("the request body did not arrive in time", code="body_too_slow") from None
    if isinstance(route.takes, str):
        return body
    if request.content_type == lines.CONTENT_TYPE:
        return await lines.parse(body, limits.batch_items)
    return await decode(body, route.takes)


async def decode(body: bytes, type_: type[msgspec.Struct]) -> Any:
    """JSON to a message.

    Raises:
        UsageError_: names the path of the field, never its value.
    """
    try:
        if len(body) <= _DECODE_INLINE:
            return msgspec.json.decode(body, type=type_)
        return await asyncio.to_thread(msgspec.json.decode, body, type=type_)
    except msgspec.ValidationError as error:
        path = str(error).rpartition(" - at `")[2].rstrip("`") if " - at `" in str(error) else "$"
        raise UsageError_(
            "the body does not fit: a field is missing, unknown or of the wrong form",
            code="invalid_body",
            hint="compare it with /openapi.json",
            where=path if path.startswith("$") else "$",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError_("the body is not JSON in UTF-8", code="malformed_json", hint="send valid JSON") from None


async def respond(request: web.Request, route: Route, answer: object) -> web.StreamResponse:
    """An answer of a handler as a response."""
    headers = {"X-Request-Id": request["request_id"], "Cache-Control": "no-store"}
    if isinstance(answer, Lines):
        return await _stream(request, answer, headers)
    if isinstance(answer, Binary):
        return web.Response(status=route.status, body=answer.content, content_type=answer.content_type, headers=headers)
    if answer is None:
        return web.Response(status=204, headers=headers)
    body = await asyncio.to_thread(_encoder.encode, answer) if _is_large(answer) else _encoder.encode(answer)
    return web.Response(status=route.status, body=body, content_type="application/json", headers=headers)


def _is_large(answer: object) -> bool:
    batch = getattr(answer, "pseudonyms", None)
    return isinstance(batch, list) and len(batch) > 1000


async def _stream(request: web.Request, answer: Lines, headers: dict[str, str]) -> web.StreamResponse:
    # The first batch is fetched before the status goes out, so that an early error still gets its own status.
    iterator = aiter(answer.batches)
    first = await anext(iterator, None)
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/x-ndjson"
    limit = request.app[INSTANCE].config.limits.write_timeout
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


def bind(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An aiohttp handler for a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        access = request.app[ACCESS]
        principal = await access.admit(request, route)
        request["site"] = principal.name if principal.is_site else ""
        with access.body(request):
            call = Call(
                instance=request.app[INSTANCE],
                rooms=request.app[ROOMS],
                metrics=request.app[METRICS],
                principal=principal,
                request_id=request["request_id"],
                path=request.match_info,
                query=request.query,
                headers=request.headers,
                body=await read_body(request, route),
            )
            if isinstance(call.body, list):
                assert route.form is not None
                assert isinstance(route.takes, type)
                answer: Answer = lines.answer(call, route.handler, route.takes, route.form, call.body)
                return await respond(request, route, answer)  # the body stays until its last part is served
            answer = await route.handler(call)
            del call  # its body
        return await respond(request, route, answer)

    return handle
