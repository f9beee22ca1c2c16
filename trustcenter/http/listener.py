"""The listening socket: bounded handshakes, and bounded connections in all and per address."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from typing import Any

from aiohttp import web

from trustcenter.auth.limiter import network
from trustcenter.config import Limits


class Listener(web.BaseSite):
    """Like `aiohttp.web.TCPSite`, with the limits that a slow or greedy client meets before its first request."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        limits: Limits,
        ssl_context: ssl.SSLContext | None,
        backlog: int = 512,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=backlog)
        self._host = host
        self._port = port
        self._limits = limits

    @property
    def name(self) -> str:
        """Address for messages."""
        return f"{'https' if self._ssl_context else 'http'}://{self._host}:{self._port}"

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            OSError: the address is taken or not ours.
        """
        await super().start()
        server = self._runner.server
        assert server is not None
        _bound_connections(server, self._limits)
        timeout = self._limits.handshake_timeout if self._ssl_context is not None else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Handler(server, loop=loop, **server._kwargs),
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=timeout,
            ssl_shutdown_timeout=timeout,
        )


class _Handler(web.RequestHandler):
    """One connection. What cannot be read as a request is refused without repeating a byte of it."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """As aiohttp's, whose message quotes what it could not read."""
        return super().handle_error(request, status, exc, "this cannot be read as a request" if message else None)


def _bound_connections(server: web.Server, limits: Limits) -> None:
    """Close connections beyond the bounds as soon as they stand, before a request is read from them."""
    open_now: Counter[str] = Counter()
    counted: dict[Any, str] = {}
    made, lost = server.connection_made, server.connection_lost

    def connection_made(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        made(handler, transport)
        peer = transport.get_extra_info("peername")
        source = network(str(peer[0])) if peer else ""
        open_now[source] += 1
        counted[handler] = source
        if len(counted) > limits.connections or open_now[source] > limits.connections_per_address:
            transport.abort()

    def connection_lost(handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        source = counted.pop(handler, None)
        if source is not None:
            open_now[source] -= 1
            if not open_now[source]:
                del open_now[source]
        lost(handler, exc)

    server.connection_made = connection_made  # type: ignore[method-assign]
    server.connection_lost = connection_lost  # type: ignore[method-assign]
