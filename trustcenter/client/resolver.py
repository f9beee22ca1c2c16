"""Name resolution that can be abandoned.

asyncio resolves names in its thread pool and waits for those threads when the loop closes: with a dead name
server the error would appear after half a minute instead of within five seconds. Here each look-up has a
daemon thread that nobody waits for.
"""

from __future__ import annotations

import asyncio
import socket
import threading

from aiohttp.abc import AbstractResolver, ResolveResult


class AbandonableResolver(AbstractResolver):
    """The operating system's resolver, in a daemon thread per look-up."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of a host.

        Raises:
            OSError: the name cannot be resolved.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def deliver(found: list[ResolveResult], error: OSError | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def look_up() -> None:
            found: list[ResolveResult] = []
            failure: OSError | None = None
            try:
                entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
                found = [_result(host, port, entry[0], entry[2], entry[4]) for entry in entries]
            except OSError as error:
                failure = error
            except UnicodeError:  # a label that is empty or too long
                failure = OSError("the host name is not valid")
            # The loop may be closed by now: then nobody waits for the answer.
            if not loop.is_closed():
                try:
                    loop.call_soon_threadsafe(deliver, found, failure)
                except RuntimeError:
                    return

        threading.Thread(target=look_up, name="trustcenter-resolver", daemon=True).start()
        return await answer

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, port: int, family: int, protocol: int, address: tuple[object, ...]) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=str(address[0]),
        port=port,
        family=family,
        proto=protocol,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
