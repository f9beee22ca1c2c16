"""Small requests beside something else, from a process of their own, over HTTPS: what others wait for meanwhile.

A few connections that each send one original, wait for its pseudonym, pause, and send the next; one in two is new.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from trustcenter.client.connection import Connection

CONNECTIONS = 4
PAUSE_SECONDS = 0.02


@dataclass
class Waits:
    """Seconds that each request waited, in order of time, once it is over."""

    seconds: list[float]
    failed: int = 0

    def at(self, share: float) -> float:
        """Milliseconds that this share of requests did not exceed."""
        ordered = sorted(self.seconds)
        return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")

    def __str__(self) -> str:
        return (
            f"p50 {self.at(0.5):.1f} ms, p99 {self.at(0.99):.1f} ms, longest {self.at(1):.0f} ms"
            f" of {len(self.seconds):,}" + (f", {self.failed} FAILED" if self.failed else "")
        )


@asynccontextmanager
async def small(connection: Connection, domain: str) -> AsyncIterator[Waits]:
    """Small requests while the block runs; the waits are filled in at its end."""
    environment = {**os.environ, "BENCH_TOKEN": connection.token or "", "BENCH_URL": connection.url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, Path(__file__), domain, env=environment,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()  # every connection has had an answer
    waits = Waits([])
    try:
        yield waits
    finally:
        output, _ = await process.communicate(b"stop\n")
        waits.seconds, waits.failed = msgspec.json.decode(output, type=tuple[list[float], int])


async def _one(number: int, domain: str, going: asyncio.Event, waits: list[float]) -> int:
    parts, failed, count = urlsplit(os.environ["BENCH_URL"]), 0, 0
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a load generator has no secret to lose
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
    start = (
        f"POST /v1/domains/{domain}/pseudonyms HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {os.environ['BENCH_TOKEN']}\r\nContent-Type: application/json\r\n"
    ).encode()
    mark = f"small-{time.time_ns():x}-{number}"
    while not going.is_set():
        body = b'{"originals":["%s-%d"]}' % (mark.encode(), count // 2)
        began = time.perf_counter()
        writer.write(start + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        if count:
            waits.append(time.perf_counter() - began)
        else:
            print(flush=True)
        failed += not head.startswith(b"HTTP/1.1 200")
        count += 1
        await asyncio.sleep(PAUSE_SECONDS)
    writer.close()
    return failed


async def _main(domain: str) -> None:
    waits: list[float] = []
    over = asyncio.Event()
    asking = [asyncio.create_task(_one(n, domain, over, waits)) for n in range(CONNECTIONS)]
    await asyncio.to_thread(sys.stdin.readline)
    over.set()
    failed = sum(await asyncio.gather(*asking))
    sys.stdout.buffer.write(msgspec.json.encode((waits, failed)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
