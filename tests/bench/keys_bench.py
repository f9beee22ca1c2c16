"""Rotation of a large domain, stage by stage, against a service process of its own over HTTPS.

Beside each stage small requests come in (bench_small.py); what they wait is compared with what they wait alone, just
before. The store is filled once, with the rows that `make bench ARGS="pseudonyms --store DIR"` makes, and rotated at
each run; a stage that needs one before it takes up where an earlier run stopped.

    make bench ARGS="keys --rotated 1e7 --store /var/tmp/keys --stages fill"
    make bench ARGS="keys --rotated 1e7 --store /var/tmp/keys --stages cutover map data lookup"
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench_instance import Service, service
from bench_load import Load
from bench_service import Bench, directory
from bench_small import Waits, small

from keys.hybrid import RecipientKey
from trustcenter.client import TrustCenter
from trustcenter.client.connection import Connection
from trustcenter.client.keys import fetch_sealed_map, open_map
from trustcenter.messages import api

DOMAIN, PARTY = "north", "site:north"
ALONE_SECONDS = 10.0
AROUND_SECONDS = 3.0
LOOK_SECONDS = 1.0
TELL_SECONDS = 30.0
STAGES = ("fill", "cutover", "map", "data", "lookup")


def keys(options: Namespace) -> None:
    """The section `keys`. `options`: rotated (rows), store (a directory that is kept), stages."""
    rows = int(float(options.rotated))
    with directory(options.store) as base:
        if "fill" in options.stages or options.store is None:
            with service(base) as running:
                asyncio.run(_fill(running, rows))
        stages = [stage for stage in STAGES[1:] if stage in options.stages]
        if stages:
            with service(base) as running:  # a process that filled nothing: its memory is the rotation's
                asyncio.run(_Bench(base, running).run(stages))


async def _fill(running: Service, rows: int) -> None:
    async with TrustCenter(running.connection) as center:
        bench = Bench(running, center, parallel=2)
        have = await bench.filled()
        for start in range(have, rows, 1_000_000):
            await bench.batches("fill", (), span=range(start, min(rows, start + 1_000_000)))


class _Bench:
    """The stages of rotations in one kept store."""

    def __init__(self, base: Path, running: Service) -> None:
        self._base, self._running = base, running
        self._operator = Connection.load(base / "center" / "operator.toml")

    async def run(self, stages: list[str]) -> None:
        """These stages, in the order of a rotation."""
        async with TrustCenter(self._operator) as operator, TrustCenter(self._running.connection) as site:
            self._center, self._site = operator, site
            for stage in stages:
                await {
                    "cutover": self._cut_over,
                    "map": self._map,
                    "data": self._rewrite,
                    "lookup": self._rewrite,
                }[stage](stage)
                print(f"   service: {self._running.peak():,.0f} MB at its peak; {self._running.sizes()}", flush=True)

    async def _open(self, purpose: str) -> api.Rotation | None:
        for found in await self._center.rotations(DOMAIN):
            if found.purpose == purpose and found.stage in ("prepared", "rewriting", "changed", "verified"):
                return found
        return None

    async def _alone(self) -> Waits:
        async with small(self._running.connection, DOMAIN) as waits:
            await asyncio.sleep(ALONE_SECONDS)
        _tell("small requests alone", str(waits))
        return waits

    async def _beside(self, what: str, rows: int, job: Callable[[], Awaitable[None]]) -> float:
        """Seconds of a job, with small requests alone first and then beside it."""
        alone = await self._alone()
        load, cpu = Load(self._running.pids), self._running.cpu()
        async with small(self._running.connection, DOMAIN) as waits:
            began = time.perf_counter()
            await job()
            seconds = time.perf_counter() - began
        told, spent = load.told(), self._running.cpu() - cpu
        rate = f", {rows / seconds:,.0f}/s" if rows else ""
        _tell(what, f"{seconds:.2f} s{rate}; service {spent:.1f} s of processor, small requests included ({told})")
        _tell("  small requests beside it", f"{waits}; p99 {waits.at(0.99) / alone.at(0.99):.2f} times")
        return seconds

    async def _cut_over(self, _: str) -> None:
        found = await self._open("pseudonym")
        if found is None:
            plan = await self._center.rotate_key(DOMAIN, api.RotateRequest(prepare=True))
            assert plan.rotation is not None
            found = await self._center.rotation(plan.rotation)
        if found.stage != "prepared":
            return _tell("cut-over", f"done before; rotation {found.rotation} is {found.stage}")
        ident = found.rotation

        took = 0.0

        async def job() -> None:
            nonlocal took
            await asyncio.sleep(AROUND_SECONDS)
            began = time.perf_counter()
            await self._center.rotation_step(ident, "resume")
            took = time.perf_counter() - began
            await asyncio.sleep(AROUND_SECONDS)

        await self._beside(f"cut-over, with {AROUND_SECONDS:g} s before and after it", 0, job)
        return _tell("  of which until the cut-over was answered", f"{took * 1000:.1f} ms")

    async def _map(self, _: str) -> None:
        found = await self._open("pseudonym")
        assert found is not None, "cutover comes first"
        key, sealed, opened = RecipientKey.generate(), self._base / "map.sealed", self._base / "map.csv"
        await self._center.set_site_key("north", key.public, key.fingerprint)
        ident, rows = found.rotation, found.total

        async def verify() -> None:
            await self._center.verify_rotation(ident, _progress())

        async def deliver() -> None:
            await fetch_sealed_map(self._site, ident, PARTY, sealed, force=True)

        seconds = await self._beside("verified", rows, verify) + await self._beside(
            "map, sealed and here", rows, deliver
        )
        _tell("from start to verified, with the whole map here", f"{seconds:.1f} s, {rows / seconds:,.0f} pairs/s")
        began = time.perf_counter()
        pairs = 0
        async for _pair in self._site.translations(DOMAIN, found.from_version):
            pairs += 1
        seconds = time.perf_counter() - began
        _tell("the same as lines, read and parsed here", f"{seconds:.1f} s, {pairs / seconds:,.0f} pairs/s")
        began = time.perf_counter()
        digest = hashlib.sha256()
        async for piece in self._site.rotation_map(ident, PARTY):
            digest.update(piece)
        _tell("sealed once more, nobody else", f"{rows / (time.perf_counter() - began):,.0f} pairs/s")
        read = open_map(sealed, key, ident, PARTY, opened, force=True)
        await self._site.acknowledge_map(ident, read.sha256)
        await self._center.rotation_step(ident, "finalize")
        for path in (sealed, opened):
            path.unlink()

    async def _rewrite(self, purpose: str) -> None:
        found = await self._open(purpose)
        rows, done = (found.total, found.done) if found is not None else (0, 0)
        ident = found.rotation if found is not None else ""

        async def job() -> None:
            nonlocal ident, rows
            if not ident:
                body = api.RotateRequest(purpose=purpose)  # type: ignore[arg-type]
                plan = await self._center.rotate_key(DOMAIN, body)
                assert plan.rotation is not None
                ident, rows = plan.rotation, plan.pseudonyms
            tick = _progress()
            while (now := await self._center.rotation(ident)).stage == "rewriting":
                tick(now.done, now.total)
                await asyncio.sleep(LOOK_SECONDS)

        seconds = await self._beside(f"{purpose} key, every row anew", 0, job)
        _tell("  rows a second", f"{(rows - done) / seconds:,.0f} ({rows - done:,} rows)")
        began = time.perf_counter()
        await self._center.verify_rotation(ident, _progress())
        _tell("  verified, nobody else", f"{rows / (time.perf_counter() - began):,.0f} rows/s")
        await self._center.rotation_step(ident, "finalize")


def _tell(what: str, text: str) -> None:
    print(f"   {what:<52} {text}", flush=True)


def _progress() -> Callable[[int, int], None]:
    began = said = time.perf_counter()

    def tick(done: int, total: int) -> None:
        nonlocal said
        now = time.perf_counter()
        if now - said > TELL_SECONDS:
            said = now
            _tell("  so far", f"{done:,} of {total:,} after {now - began:.0f} s")

    return tick
