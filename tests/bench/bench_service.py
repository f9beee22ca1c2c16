"""Pseudonyms through the real service: TLS, token, audit entry, durable commit; client and server on the same cores."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trustcenter.client.connection import Connection

BATCH = 10_000
BATCHES = 30


def _program(*arguments: str | Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", "trustcenter", *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout


def pseudonyms() -> None:
    """New and known pseudonyms, 10,000 a request, two requests at a time."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        base = Path(folder)
        json.loads(_program("init", base / "center", "--development", "--port", "0", "--json"))
        service = subprocess.Popen(
            [sys.executable, "-m", "trustcenter", "serve", base / "center"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert service.stdout is not None
        service.stdout.readline()
        try:
            operator = ("--connect", base / "center" / "operator.toml")
            _program("site", "add", "north", *operator)
            _program("domain", "create", "north", "--site", "north", *operator)
            _program("site", "token", "north", "-o", base / "north.toml", *operator)
            asyncio.run(_measure(Connection.load(base / "north.toml"), service.pid))
        finally:
            service.terminate()
            service.wait(60)


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def _measure(connection: Connection, pid: int) -> None:
    from trustcenter.client import TrustCenter

    async with TrustCenter(connection) as center:
        await center.pseudonymize("north", ["warm-up"])

        async def batches(name: str) -> None:
            limit = asyncio.Semaphore(2)

            async def one(number: int) -> int:
                async with limit:
                    first = number * BATCH
                    answer = await center.pseudonymize("north", [f"{name}-{first + i}" for i in range(BATCH)])
                    assert not answer.errors
                    assert len(set(answer.pseudonyms)) == BATCH
                    return answer.created

            for title in ("new", "known"):
                started = time.perf_counter()
                created = sum(await asyncio.gather(*(one(number) for number in range(BATCHES))))
                seconds = time.perf_counter() - started
                assert created == (BATCH * BATCHES if title == "new" else 0)
                print(
                    f"   {title:<6} {BATCH * BATCHES / seconds:>9,.0f} a second "
                    f"({BATCHES} requests of {BATCH:,}, {seconds:.1f} s)"
                )

        await batches("patient")
        started = time.perf_counter()
        count = 400
        for number in range(count):
            await center.pseudonymize("north", [f"single-{number}"])
        rate = count / (time.perf_counter() - started)
        print(f"   single {rate:>9,.0f} requests a second, one after the other, durable")
    print(f"   service: {_resident(pid):,.0f} MB at its peak")
