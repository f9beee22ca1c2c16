"""Figures of key rotation: cut-over, map, verification, data key; and what small requests wait meanwhile.

In the service's own process, without HTTP: one opened instance, a small request every few milliseconds.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from keys import hybrid

sys.path[:0] = [str(Path(__file__).parents[1])]

from rules_support import OPERATOR, Files, Opened  # noqa: E402 - where it lies is said above

from trustcenter.instance import setup  # noqa: E402
from trustcenter.messages import api  # noqa: E402
from trustcenter.registrar import key_proposals, rewriting, rotation, rotation_map  # noqa: E402

Row = tuple[str, str, str]


def keys(options: Namespace) -> list[Row]:
    """The section `keys`."""
    return asyncio.run(_measure(int(float(options.rotated))))


async def _measure(rows: int) -> list[Row]:
    directory = Path(tempfile.mkdtemp(prefix="bench-keys-"))
    try:
        files = Files(directory / "center")
        await setup.create(files.dir, None, port=0)
        config = files.dir / "config.toml"
        config.write_text(config.read_text() + "\n[limits]\nnew_per_day = 1000000000\n")
        async with files.open() as center:
            await center.context.db.write(lambda conn: center.context.directory.add_site(conn, "north", "diz", "North"))
            await center.domain("plain")
            for start in range(0, rows, 100_000):
                await center.issue("plain", [f"p{i}" for i in range(start, min(start + 100_000, rows))])
            return await _rotations(center, rows)
    finally:
        shutil.rmtree(directory)


async def _rotations(center: Opened, rows: int) -> list[Row]:
    context = center.context
    key = hybrid.RecipientKey.generate()
    body = api.SiteKeySet(public_key=key.public, fingerprint=key.fingerprint)
    await rotation_map.set_site_key(context, OPERATOR, "req", "north", body)
    found: list[Row] = []
    async with _small(center) as quiet:
        await asyncio.sleep(5)
    found.append((f"{rows:,} rows; small requests, nothing else", quiet.text(), ""))

    began = time.perf_counter()
    made = await rotation.rotate(context, OPERATOR, "req", "plain", api.RotateRequest(prepare=True))
    ident = made.rotation or ""
    async with _small(center) as cut:
        await asyncio.sleep(0.2)
        start = time.perf_counter()
        await rotation.cut_over(context, "operator", "req", ident)
        pause = time.perf_counter() - start
        await asyncio.sleep(0.2)
    found.append(("cut-over, committed", f"{pause * 1000:.1f} ms; small requests: {cut.text()}", ""))

    async def verify() -> None:
        await rotation_map.verify(context, OPERATOR, "req", ident)

    async def deliver() -> None:
        async for _ in rotation_map.sealed(context, OPERATOR, "req", ident, "site:north"):
            pass

    found.append(await _timed(center, "verified", rows, verify))
    found.append(await _timed(center, "map made and sealed, under 200,000/s is too slow", rows, deliver))
    found.append(("from start to verified and delivered", f"{time.perf_counter() - began:.1f} s", ""))

    async def quick() -> None:  # nobody asks meanwhile
        await deliver()

    start = time.perf_counter()
    await quick()
    found.append(("map made and sealed, nobody else", f"{rows / (time.perf_counter() - start):,.0f} pairs/s", ""))

    made = await rotation.rotate(context, OPERATOR, "req", "plain", api.RotateRequest(purpose="data"))
    data = made.rotation or ""

    async def rewrite() -> None:
        await rewriting.run(context, data)

    found.append(await _timed(center, "data key: rows sealed anew", rows, rewrite))
    await rotation_map.verify(context, OPERATOR, "req", data)
    await key_proposals.finalize(context, OPERATOR, "req", data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found.append(("memory at most, filling included", f"{peak:,.0f} MB", ""))
    return found


async def _timed(center: Opened, what: str, rows: int, job: Callable[[], Awaitable[None]]) -> Row:
    async with _small(center) as waits:
        start = time.perf_counter()
        await job()
        seconds = time.perf_counter() - start
    return (what, f"{rows / seconds:,.0f}/s ({seconds:.1f} s); small requests: {waits.text()}", "")


class _Waits(list[float]):
    def text(self) -> str:
        ordered = sorted(self)
        at = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 for part in (0.5, 0.99)]
        return f"p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms, most {ordered[-1] * 1000:.1f} ms of {len(ordered)}"


@asynccontextmanager
async def _small(center: Opened) -> AsyncIterator[_Waits]:
    """One small request after the other, one in two new."""
    waits, going, number = _Waits(), True, 0

    async def ask() -> None:
        nonlocal number
        while going:
            number += 1
            start = time.perf_counter()
            await center.issue("plain", [f"s{id(waits)}-{number // 2}"])
            waits.append(time.perf_counter() - start)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(ask())
    try:
        yield waits
    finally:
        going = False
        await task
