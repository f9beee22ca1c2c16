"""Errors as problem+json: what a refused or failed request is told, and what of it reaches the log."""

from __future__ import annotations

import traceback
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from trustcenter.auth.limiter import seconds
from trustcenter.errors import InternalError, LimitError, NotFoundError, UsageError, http_status
from trustcenter.messages.api import Problem

from .logs import RequestLine, write_request

_encoder = msgspec.json.Encoder()
_log = structlog.get_logger()

# On every answer. Which Python and which library serve is nobody's business.
OWN: Final = {"Server": "trustcenter", "X-Content-Type-Options": "nosniff"}

_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    417: "Expectation failed",
    422: "Cannot be verified",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


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


def response(error: Exception, request_id: str) -> tuple[web.Response, str]:
    """The answer to a request that failed, and the error's code."""
    extra: dict[str, str] = {}
    if isinstance(error, web.HTTPException):
        if "Allow" in error.headers:
            extra["Allow"] = error.headers["Allow"]
        error = _translate(error)
    status, body = problem(error, request_id)
    if status >= 500:
        log_unexpected(error, request_id)
    if status in (429, 503):
        extra["Retry-After"] = seconds(getattr(error, "retry_after", 1.0))
    if status == 401:
        extra["WWW-Authenticate"] = "Bearer"
    answer = web.Response(
        status=status,
        body=body,
        content_type="application/problem+json",
        headers={"X-Request-Id": request_id, "Cache-Control": "no-store", **extra},
    )
    return answer, str(getattr(error, "code", "internal_error"))


def not_http() -> UsageError:
    """The error for bytes that are no request, or none of a version that is spoken here."""
    return UsageError("this cannot be read as a request", code="unreadable_request", hint="speak HTTP/1.1")


def unreadable(request_id: str, status: int, cause: BaseException | None) -> web.Response:
    """The answer to bytes that are no request, or to one that failed outside of every handler; ends the connection."""
    error: Exception = cause if isinstance(cause, Exception) else InternalError("something went wrong")
    if status < 500:
        error = not_http()
    answer, code = response(error, request_id)
    answer.headers.update(OWN)
    answer.force_close()
    write_request(RequestLine(request_id, "", "", answer.status, code, 0.0))
    return answer


def _translate(error: web.HTTPException) -> NotFoundError | LimitError | UsageError:
    # aiohttp's own: unknown route, wrong method, body over the limit.
    if error.status == 413:
        return LimitError("the request body is too large", code="body_too_large", hint="send smaller batches")
    if error.status == 405:
        return UsageError("this method is not offered here", code="method_not_allowed", hint="see /openapi.json")
    if error.status == 404:
        return NotFoundError("there is nothing at this path", code="unknown_path", hint="see /openapi.json")
    return UsageError("the request is not acceptable", code="bad_request")


def log_unexpected(error: Exception, request_id: str) -> None:
    """Log where an error that nobody foresaw happened."""
    # Never what was in the variables or in the exception's text.
    frames = [
        f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    _log.error("unexpected", request_id=request_id, error_type=type(error).__name__, frames=frames[-6:])
