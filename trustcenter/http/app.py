"""The composition root: an aiohttp application over an opened instance."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from trustcenter.errors import UsageError
from trustcenter.http.routes.rooms import routes_of
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import built

from . import problems
from .access import Access
from .heads import HEADS, Heads
from .metrics import METRICS, Metrics
from .middleware import ACCESS, INSTANCE, ROOMS, bind, envelope, request_ids


def create_app(instance: Instance) -> web.Application:
    """An application that serves `instance`. The caller opens the instance before and closes it after.

    Args:
        instance: its rooms, opened by `trustcenter.instance.opening.open_instance`.

    Returns:
        An application with every route of the interface; it takes up interrupted linkage runs when it starts.
    """
    built.build()  # bodies are decoded in threads
    app = web.Application(
        middlewares=[envelope],
        client_max_size=instance.config.limits.body_bytes,
        handler_args={"max_field_size": instance.config.limits.header_bytes, "auto_decompress": False},
    )
    app[INSTANCE] = instance
    app[ACCESS] = Access(instance)
    app[ROOMS] = Rooms(instance)
    app[METRICS] = Metrics(instance)
    app[HEADS] = Heads(instance)
    # The first that fits is taken, and the pipelines' routes are asked for most; no two patterns overlap.
    for route in sorted(routes_of(instance.config.room), key=lambda route: route.kind != "issue"):
        handler = bind(route)
        app.router.add_route(route.method, route.path, handler, expect_handler=_expect)
        if route.method == "GET" and not route.roles:  # a balancer's probe; the library leaves the body out
            app.router.add_route("HEAD", route.path, handler, expect_handler=_expect)
    app.cleanup_ctx.append(_rooms)
    app.cleanup_ctx.append(_refusals)
    app.cleanup_ctx.append(_heads)
    app.on_response_prepare.append(_headers)
    return app


async def _rooms(app: web.Application) -> AsyncIterator[None]:
    await app[METRICS].start()
    await app[ROOMS].start()
    yield
    await app[ROOMS].stop()


async def _refusals(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[ACCESS].refusals.close()


async def _heads(app: web.Application) -> AsyncIterator[None]:
    await app[HEADS].start()
    yield
    await app[HEADS].stop()


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """Expect: 100-continue as the standard has it. aiohttp's own answer to anything else quotes it."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        error = UsageError("only 100-continue can be expected here", code="unknown_expectation")
        return problems.response(error, request_ids.draw())[0]
    if request.version == aiohttp.HttpVersion11 and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(problems.OWN)
    request.app[HEADS].tell(request, response)
