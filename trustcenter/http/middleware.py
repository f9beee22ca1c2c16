"""From socket to handler and back: request ids, credentials, the body, the answer, and one log line each."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from aiohttp import HttpVersion10, web

from trustcenter.errors import UsageError
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms

from . import bodies, lines, problems, responses
from .access import Access
from .calls import Answer, Call, Route
from .logs import RequestLine, write_request
from .metrics import METRICS, scrape

INSTANCE: web.AppKey[Instance] = web.AppKey("instance", Instance)
ACCESS: web.AppKey[Access] = web.AppKey("access", Access)
ROOMS: web.AppKey[Rooms] = web.AppKey("rooms", Rooms)

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        if request.version < HttpVersion10:  # "GET /" alone, which aiohttp's parser takes for HTTP/0.9
            raise problems.not_http()
        response = await handler(request)
        status = response.status
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
        return response
    except asyncio.CancelledError:
        status, code = 499, "client_gone"
        raise
    except Exception as error:
        refused, code = problems.response(error, request_id)
        status = refused.status
        return refused
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


def bind(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An aiohttp handler for a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        access, limits = request.app[ACCESS], request.app[INSTANCE].config.limits
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
                body=await bodies.read(request, route, limits),
            )
            if isinstance(call.body, list):
                assert route.form is not None
                assert isinstance(route.takes, type)
                answer: Answer = lines.answer(call, route.handler, route.takes, route.form, call.body)
                # Inside the block: the body stays until its last part is served.
                return await responses.respond(request, route, answer, limits.write_timeout)
            _require_known(call, route)
            answer = await route.handler(call)
            del call  # its body
        return await responses.respond(request, route, answer, limits.write_timeout)

    return handle


def _require_known(call: Call, route: Route) -> None:
    """Refuse parameters that the operation does not have: `dry-run` for `dry_run` must not carry out what it plans.

    Raises:
        UsageError: an unknown parameter of the query, or the same one twice. Probes, which anybody may ask, take any.
    """
    if route.roles and (not set(route.query).issuperset(call.query) or len(call.query) > len(set(call.query))):
        raise UsageError(
            "a parameter of the query is unknown, or given twice",
            code="invalid_parameter",
            hint="compare it with /openapi.json",
            where="query",
        )
