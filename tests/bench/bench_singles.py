"""Many connections that each send one original at a time: wrk if it is installed, else a plain client of our own."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from trustcenter.client.connection import Connection

CONNECTIONS = 64


@dataclass(frozen=True)
class Singles:
    """What came of it; times in milliseconds."""

    generator: str
    requests: int
    failed: int
    seconds: float
    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return (
            f"{self.requests / self.seconds:>9,.0f} requests a second, p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, "
            f"longest {self.longest:.0f} ms, {self.failed} failed ({self.generator}, {self.requests:,} requests)"
        )


async def singles(connection: Connection, mark: str, seconds: float) -> Singles:
    """Send new originals over `CONNECTIONS` keep-alive connections for so many seconds."""
    wrk = shutil.which("wrk")
    command = (
        [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", "--timeout", "60", "-s",
         str(Path(__file__).with_name("single.lua")), connection.url]
        if wrk is not None
        else [sys.executable, str(Path(__file__)), str(seconds)]
    )  # fmt: skip
    environment = {**os.environ, "BENCH_TOKEN": connection.token or "", "BENCH_MARK": mark, "BENCH_URL": connection.url}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    output = (await process.communicate())[0].decode()
    line = next(line for line in output.splitlines() if line.startswith("result "))
    requests, failed, *times = line.split()[1:]
    return Singles("wrk" if wrk else "own client", int(requests), int(failed), *map(float, times))


class _Client(asyncio.Protocol):
    """Sends the next request when the answer is there. Reads no more of it than its status and its length."""

    def __init__(self, start: bytes, mark: str, until: float, times: list[float], failed: list[int]) -> None:
        self._start, self._mark, self._until = start, mark, until
        self._times, self._failed = times, failed
        self._number, self._data, self._sent = 0, b"", 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        self._number += 1
        body = b'{"originals":["%s-%d"]}' % (self._mark.encode(), self._number)
        self._sent = time.perf_counter()
        self._transport.write(self._start + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, gap, body = self._data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"-1") if gap else -1
        if length < 0 or len(body) < length:
            return
        self._times.append(time.perf_counter() - self._sent)
        self._failed[0] += not head.startswith(b"HTTP/1.1 200")
        self._data = b""
        if time.perf_counter() < self._until:
            self._send()
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._failed[0] += 1
            self.done.set_result(None)


async def _main(seconds: float) -> None:
    import ssl

    parts = urlsplit(os.environ["BENCH_URL"])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a load generator has no secret to lose
    start = (
        f"POST /v1/domains/north/pseudonyms HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {os.environ['BENCH_TOKEN']}\r\nContent-Type: application/json\r\n"
    ).encode()
    times: list[float] = []
    failed = [0]
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(CONNECTIONS):
        mark = f"{os.environ['BENCH_MARK']}-{number}"
        made = await loop.create_connection(
            lambda mark=mark: _Client(start, mark, started + seconds, times, failed),  # type: ignore[misc]
            parts.hostname, parts.port, ssl=context,
        )  # fmt: skip
        clients.append(made[1])
    await asyncio.gather(*(client.done for client in clients))
    spent = time.perf_counter() - started
    times.sort()
    p50, p99, longest = (1e3 * times[int(share * (len(times) - 1))] for share in (0.5, 0.99, 1.0))
    print(f"result {len(times)} {failed[0]} {spent:f} {p50:f} {p99:f} {longest:f}")


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1])))
