"""Figures of key rotation: cut-over, map, verification, data and lookup key; and what small requests wait meanwhile.

In the service's own process, without HTTP: one opened instance, a small request every few milliseconds.

    make bench ARGS="keys --rotated 1e7 --store /var/tmp/keys"    # the store is filled once, and rotated at each run
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import resource
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from keys import hybrid

sys.path[:0] = [str(Path(__file__).parents[1])]

from rules_support import NORTH, OPERATOR, Files, Opened  # noqa: E402 - where it lies is said above

from trustcenter.http.server import SWITCH_SECONDS  # noqa: E402
from trustcenter.instance import setup  # noqa: E402
from trustcenter.messages import api  # noqa: E402
from trustcenter.registrar import (  # noqa: E402
    rewriting,
    rotation,
    rotation_end,
    rotation_map,
    rotation_verify,
    site_keys,
    translate,
)

Row = tuple[str, str, str]
_PART = 100_000  # originals in one call while filling


def keys(options: Namespace) -> list[Row]:
    """The section `keys`."""
    sys.setswitchinterval(SWITCH_SECONDS)  # as the service does
    rows = int(float(options.rotated))
    if options.store:
        return asyncio.run(_measure(Path(options.store), rows))
    with tempfile.TemporaryDirectory(prefix="bench-keys-") as directory:
        return asyncio.run(_measure(Path(directory), rows))


async def _measure(directory: Path, rows: int) -> list[Row]:
    files = Files(directory / "center")
    if not files.dir.exists():
        directory.mkdir(parents=True, exist_ok=True)
        await setup.create(files.dir, None, port=0)
        config = files.dir / "config.toml"
        config.write_text(config.read_text() + "\n[limits]\nnew_per_day = 1000000000\n")
    async with files.open() as center:
        await _fill(center, rows)
        return await _rotations(center, rows)


async def _fill(center: Opened, rows: int) -> None:
    context = center.context
    with contextlib.suppress(Exception):  # a store that is kept has the site
        await context.db.write(lambda conn: context.directory.add_site(conn, "north", "diz", "North"))
    domain = await center.domain("plain")
    ((there,),) = await center.sql("SELECT count(*) FROM entry WHERE domain = ? AND status = 0", domain.id)
    for start in range(there - there % _PART, rows, _PART):
        await center.issue("plain", [f"p{i}" for i in range(start, min(start + _PART, rows))])


async def _rotations(center: Opened, rows: int) -> list[Row]:
    context = center.context
    key = hybrid.RecipientKey.generate()
    body = api.SiteKeySet(public_key=key.public, fingerprint=key.fingerprint)
    await site_keys.set_site_key(context, OPERATOR, "req", "north", body)
    found: list[Row] = []
    async with _small(center) as quiet:
        await asyncio.sleep(10)
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
        await rotation_verify.verify(context, OPERATOR, "req", ident)

    async def deliver() -> None:
        async for _ in rotation_map.sealed(context, OPERATOR, "req", ident, "site:north"):
            pass

    found.append(await _timed(center, "verified", rows, verify))
    found.append(await _timed(center, "map made and sealed", rows, deliver))
    found.append(("from start to verified and delivered", f"{time.perf_counter() - began:.1f} s", ""))
    start = time.perf_counter()
    await deliver()
    found.append(("map made and sealed, nobody else", f"{rows / (time.perf_counter() - start):,.0f} pairs/s", ""))
    await _finalize(center, ident, made.from_version)
    for purpose in ("data", "lookup"):
        found.append(await _rewritten(center, rows, purpose))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found.append(("memory at most, filling included if it was filled", f"{peak:,.0f} MB", ""))
    return found


async def _finalize(center: Opened, ident: str, version: int) -> None:
    digest = hashlib.sha256()
    async for part in translate.translation_map(center.context, NORTH, "req", "plain", version):
        digest.update("".join(f"{old},{new}\n" for old, new in part).encode())
    said = api.MapAcknowledge(sha256=digest.hexdigest())
    await rotation_map.acknowledge(center.context, NORTH, "req", ident, said)
    await rotation_end.finalize(center.context, OPERATOR, "req", ident)


async def _rewritten(center: Opened, rows: int, purpose: str) -> Row:
    body = api.RotateRequest(purpose=purpose)  # type: ignore[arg-type]
    ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", body)).rotation or ""

    async def rewrite() -> None:
        await rewriting.run(center.context, ident)

    found = await _timed(center, f"{purpose} key: rows rewritten", rows, rewrite)
    await rotation_verify.verify(center.context, OPERATOR, "req", ident)
    await rotation_end.finalize(center.context, OPERATOR, "req", ident)
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
