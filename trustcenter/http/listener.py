"""The listening socket: bounded handshakes, and bounded connections in all and per address."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from typing import Any, Final

from aiohttp import web

from trustcenter.auth.limiter import network
from trustcenter.config import Limits

from . import lane as lane_
from . import problems
from .lane import Asked, Lane
from .middleware import request_ids

_PATIENCE: Final = 0.05  # seconds for a body that comes apart from its header, as many clients send it


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
        lane: Lane | None = None,
        backlog: int = 512,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=backlog)
        self._host = host
        self._port = port
        self._limits = limits
        self._lane = lane

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
        lane = self._lane
        self._server = await loop.create_server(
            lambda: _Handler(server, lane, loop=loop, **server._kwargs),
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=timeout,
            ssl_shutdown_timeout=timeout,
        )


class _Handler(web.RequestHandler):
    """One connection. Plain small requests take the short way, one at a time; the rest is aiohttp's.

    A request goes the short way only between two of aiohttp's, and only while aiohttp's parser was given nothing but
    whole requests: so never a part of one.
    """

    def __init__(self, server: web.Server, lane: Lane | None, **options: Any) -> None:
        super().__init__(server, **options)
        self._lane = lane
        self._certificate: tuple[bytes | None] | None = None  # of the connection, once it was asked for
        self._begun = b""  # a request whose body is still to come
        self._patience: asyncio.TimerHandle | None = None  # with it
        self._plain = b""  # the request that is on the short way
        self._asked: Asked | None = None  # what became of it
        self._held = b""  # what came behind it

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; none of them when aiohttp asks its parser to go on."""
        if not data or self._lane is None:
            super().data_received(data)
        elif self._asked is not None:
            self._held += data
            if self.transport is not None:
                self.transport.pause_reading()
        else:
            data, self._begun = self._begun + data, b""
            taken = self._take(self._lane, data)
            if not self._begun:
                self._end_waiting()
            if not taken:
                super().data_received(data)

    def _take(self, lane: Lane, data: bytes) -> bool:
        """Send a request the short way, or wait for its body; False if it is not one for it, or another is going on."""
        plain = lane_.read(data)
        busy = self._request_in_progress or self._messages or self._paused
        if plain is None or (plain == "more" and busy):
            self._lane = None  # from here on nobody but aiohttp knows where a request begins
            return False
        if busy or self._close or self._force_close or self.transport is None:
            return False
        if plain == "more":
            self._begun = data
            if self._patience is None:
                self._patience = self._loop.call_later(_PATIENCE, self._give_up)
            return True
        if self._certificate is None:
            self._certificate = (lane.certificate(self.transport),)
        asked = lane.take(plain, self._certificate[0])
        if asked is None:
            return False
        self._plain, self._asked = data, asked
        self._request_in_progress = True  # a drain waits for it
        asked.ask.answer.add_done_callback(self._answer)
        return True

    def _end_waiting(self) -> bytes:
        begun, self._begun = self._begun, b""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        return begun

    def _give_up(self) -> None:
        """Whoever sends a body slowly is aiohttp's."""
        self._lane = None
        super().data_received(self._end_waiting())

    def close(self) -> None:
        """As aiohttp's, which lets a request that has begun end."""
        if self._begun:
            self._give_up()
        super().close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nobody is there any more; what was asked is done all the same."""
        self._end_waiting()
        super().connection_lost(exc)

    def _answer(self, answer: asyncio.Future[Any]) -> None:
        asked, plain, held = self._asked, self._plain, self._held
        self._asked, self._plain, self._held = None, b"", b""
        self._request_in_progress = False
        if asked is None or answer.cancelled():
            return
        assert self._lane is not None
        response = self._lane.answer(asked)
        ends = self._close or self._force_close
        if response is None and ends:
            response = self._lane.stopping(asked)  # aiohttp takes no request any more
        if response is None:
            super().data_received(plain)
        elif self.transport is not None:
            self.transport.write(response)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        waiter = self._handler_waiter
        if waiter is not None and not waiter.done() and (response is not None or ends):
            waiter.set_result(None)
        if held and self.transport is not None:
            self.transport.resume_reading()
            self.data_received(held)

    def _process_keepalive(self) -> None:
        """As aiohttp's, which would take a connection with a request on the short way for an idle one."""
        if self._asked is not None or self._begun:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """An answer to what aiohttp could not read or serve: a problem as any other, and one line in the log.

        aiohttp's own quotes what it could not read, and its header names the library and its version.
        """
        super().handle_error(request, status, exc, message)  # refuses where an answer has begun
        return problems.unreadable(request_ids.draw(), status, exc)


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
