"""Pseudonyms through the real service: TLS, token, audit entry, durable commit; client and server on the same cores.

A curve over the size of the store: at each size new ones, known ones, single requests, and both at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench_instance import Service, postgres, service
from bench_load import Load
from bench_singles import CONNECTIONS, singles

from trustcenter.client import TrustCenter

BATCH = 10_000
LARGE = 100_000
WANTED = "wanted: new 60,000 a second up to 1 million rows, 40,000 at 10 million, 25,000 at 50 million,"
WANTED_STORE = "        30,000 into PostgreSQL; known 80,000;"
WANTED_SINGLES = f"        4,000 single requests a second, p99 30 ms, {CONNECTIONS} connections; memory 400 MB"
PUBLISHED = "published by others, not measured here: vfps 5,994 to 8,549 single requests a second on a 16-core desktop,"
PUBLISHED_2 = "        gPAS through its FHIR gateway 20 to 30"


def pseudonyms(options: Namespace) -> None:
    """The curve. `options`: rows (sizes), store (a directory that is kept), postgres, seconds, parallel, window."""
    for line in (WANTED, WANTED_STORE, WANTED_SINGLES, PUBLISHED, PUBLISHED_2):
        print(f"   {line}")
    with directory(options.store) as base, contextlib.ExitStack() as stack:
        databases = stack.enter_context(postgres()) if options.postgres else None
        running = stack.enter_context(service(base, databases))
        asyncio.run(_curve(running, options))


@contextlib.contextmanager
def directory(kept: str | None) -> Iterator[Path]:
    """The directory that is kept, or one for this time."""
    if kept is not None:
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(kept)
    else:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            yield Path(folder)


async def _curve(running: Service, options: Namespace) -> None:
    async with TrustCenter(running.connection) as center:
        await center.pseudonymize("north", ["warm-up"])
        bench = Bench(running, center, options.parallel)
        have = await bench.filled()
        for size in sorted(int(float(size)) for size in options.rows):
            window = min(options.window, size)
            print(f"\n   store of {size:,} rows", flush=True)
            start = max(have, size - window)
            if start > have:
                await bench.batches("fill", (), span=range(have, start))
            have = max(have, size)
            await bench.batches("new", (), span=range(start, max(size, start + BATCH)))
            have = max(have, start + BATCH)
            chosen = random.Random(size)
            known = [f"patient-{chosen.randrange(have)}" for _ in range(window)]
            await bench.batches("known", known)
            await bench.one_after_the_other()
            await bench.singles("single", options.seconds)
            await bench.mixed(options.seconds)
            print(f"   service: {running.peak():,.0f} MB at its peak; {running.sizes()}", flush=True)


class Bench:
    """One client of a running service, and what it measures."""

    def __init__(self, running: Service, center: TrustCenter, parallel: int) -> None:
        self._running, self._center, self._parallel = running, center, parallel
        self._marks = f"single-{time.time_ns():x}"

    async def filled(self) -> int:
        """How many batches' worth of rows a kept store has, by asking whether they are known."""
        low, high = 0, 1
        while await self._is_there(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await self._is_there(middle) else (low, middle)
        return low * BATCH

    async def _is_there(self, batches: int) -> bool:
        answer = await self._center.get_pseudonyms("north", [f"patient-{batches * BATCH - 1}"])
        return not answer.errors

    async def batches(self, title: str, originals: Sequence[str], span: range | None = None) -> None:
        """Requests of 10,000, some at a time, and one line about them."""
        count = len(span) if span is not None else len(originals)
        free = asyncio.Semaphore(self._parallel)
        load, started = Load(self._running.pids), time.perf_counter()
        cpu, server = self._running.cpu(), self._running.server_cpu()

        async def one(first: int) -> int:
            try:
                part = (
                    [f"patient-{n}" for n in span[first : first + BATCH]]
                    if span is not None
                    else originals[first : first + BATCH]
                )
                answer = await self._center.pseudonymize("north", part)
                assert not answer.errors
                assert len(set(answer.pseudonyms)) == len(set(part))
                return answer.created
            finally:
                free.release()

        created, tasks = 0, set()
        for first in range(0, count, BATCH):
            await free.acquire()
            tasks.add(asyncio.create_task(one(first)))
            for task in [task for task in tasks if task.done()]:
                tasks.remove(task)
                created += task.result()
        created += sum(await asyncio.gather(*tasks))
        seconds, spent = time.perf_counter() - started, self._running.cpu() - cpu
        assert created == (0 if title == "known" else count)
        rate, each = count / seconds, 1e6 * spent / count
        database = 1e6 * (self._running.server_cpu() - server) / count
        beside = f", PostgreSQL {database:.1f}" if self._running.server is not None else ""
        print(
            f"   {title:<7}{rate:>9,.0f} a second ({count:,} in {seconds:.1f} s; service {each:.1f} us an item{beside};"
            f" peak {self._running.peak():,.0f} MB; {load.told()})",
            flush=True,
        )

    async def one_after_the_other(self, count: int = 300) -> None:
        """A single caller that waits for each answer."""
        load, started = Load(self._running.pids), time.perf_counter()
        for number in range(count):
            await self._center.pseudonymize("north", [f"{self._marks}-lone-{number}"])
        rate = count / (time.perf_counter() - started)
        self._marks += "x"
        print(f"   lone   {rate:>9,.0f} requests a second, one after the other, durable ({load.told()})", flush=True)

    async def singles(self, title: str, seconds: float) -> None:
        """Many callers with one original each."""
        load, cpu = Load(self._running.pids), self._running.cpu()
        made = await singles(self._running.connection, self._marks, seconds)
        self._marks += "x"
        spent = 1e6 * (self._running.cpu() - cpu) / made.requests
        print(f"   {title:<7}{made}", flush=True)
        print(f"          service {spent:.0f} us of processor a request; {load.told()}", flush=True)

    async def mixed(self, seconds: float) -> None:
        """The same while another caller sends requests of 100,000 new originals."""
        stop, items = False, 0
        started = time.perf_counter()

        async def large() -> None:
            nonlocal items
            while not stop:
                mark = f"{self._marks}-large-{items}"
                await self._center.pseudonymize("north", [f"{mark}-{n}" for n in range(LARGE)])
                items += LARGE

        task = asyncio.create_task(large())
        await self.singles("mixed", seconds)
        stop = True
        await task
        rate = items / (time.perf_counter() - started)
        print(f"          beside {rate:,.0f} new a second in requests of {LARGE:,}", flush=True)
