"""A service that misbehaves on demand, over real TLS: for what the real one never does."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import trustme
from aiohttp import web

from trustcenter.client import Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _nothing(_: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


@dataclass
class Rogue:
    """Answers every request with `handler`; keeps what was asked."""

    handler: Handler = _nothing
    connection: Connection = field(default_factory=lambda: Connection(url="https://127.0.0.1", token="none"))
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    context: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def use(self, certificate: trustme.LeafCert) -> None:
        """Show another certificate from the next connection on."""
        certificate.configure_cert(self.context)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        self.headers.append(dict(request.headers))
        return await self.handler(request)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def rogue(authority: trustme.CA) -> AsyncIterator[Rogue]:
    made = Rogue()
    made.use(authority.issue_cert("127.0.0.1"))
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)  # some handlers never end
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=made.context)
    await site.start()
    made.connection = Connection(
        url=f"https://127.0.0.1:{runner.addresses[0][1]}",
        ca=authority.cert_pem.bytes().decode(),
        token="tc1_secret-token",
        site="north",
    )
    try:
        yield made
    finally:
        await runner.cleanup()
