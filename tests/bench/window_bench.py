"""Linkage in the service: registration, the first window over everything, and a window of new records.

Rows are simulated (scale_rows.py), all else is real: TLS, tokens, receipts, maps, audit entries, durable commits,
worker processes. What others wait for meanwhile is measured by single requests of pseudonyms, one every 20 ms.

make bench ARGS="windows --known 1e5 --fresh 1e4"
make bench ARGS="windows --known 1e5 --sites 30 --store /var/tmp/thirty"
make bench ARGS="windows --known 1e6 --store /var/tmp/windows"     # 1 million in each of two sites; 9 GB of disk
make bench ARGS="windows --known 5e6 --store /var/tmp/ten --weights /var/tmp/windows"     # see window_seed.py; 45 GB
"""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_instance import Service, program, service
from bench_load import Load
from bench_service import directory
from numpy.typing import NDArray
from scale_rows import simulate
from window_seed import seed

from keys import hybrid
from linkage import load_schema
from linkage.maps import map_dtype
from linkage.rows import ROW
from trustcenter.client import TrustCenter, operator
from trustcenter.client.connection import Connection
from trustcenter.client.settings import DEFAULT
from trustcenter.client.study.difference import Part
from trustcenter.client.study.sending import made_ahead, send
from trustcenter.messages import api

SCHEMA = load_schema("de-person/1")
PART = DEFAULT.upload_records  # records of one upload, as the client sends them
TOGETHER = 4  # sites that send at a time
BATCH = 10_000  # record numbers, or originals, in one request


@dataclass(frozen=True)
class Site:
    """What a site sends: entries of its map, and its rows by ref."""

    center: TrustCenter
    entries: NDArray[np.void]
    rows: NDArray[np.void]

    def numbers(self, first: int, end: int) -> list[str]:
        """Record numbers of some records."""
        return [row.tobytes().hex() for row in self.entries["record_number"][first:end]]

    def parts(self, first: int, end: int) -> Iterator[Part]:
        """Upload by upload, as the client makes them of an encoded source."""
        refs = np.ascontiguousarray(self.rows["ref"]).view(">u8").reshape(-1, 2)[:, 0]
        for start in range(first, end, PART):
            entries = self.entries[start : min(start + PART, end)]
            wanted = np.ascontiguousarray(entries["refs"]).view(">u8").reshape(-1, 2)[:, 0]
            yield Part(self.rows[np.sort(np.searchsorted(refs, wanted))], entries.tobytes(), len(entries))


def windows(options: Namespace) -> None:
    """The figures. `options`: known and fresh (records), sites, store (a directory that is kept), weights."""
    known, fresh = int(float(options.known)), int(float(options.fresh))
    names = ["north", *(f"site-{number}" for number in range(2, options.sites + 1))]
    with directory(options.store) as base:
        folders = [base / name for name in names]
        with service(base) as running:
            for name in names[1:]:
                to = ("--connect", base / "center" / "operator.toml")
                program("site", "add", name, *to)
                program("site", "token", name, "-o", base / f"{name}.toml", *to)
            simulate(SCHEMA, folders, known + fresh)
            asyncio.run(_fill(running, base, folders, known))
            if not options.weights:
                asyncio.run(_windows(running, base, folders, known, fresh, first=True))
        if options.weights:
            seed(base, Path(options.weights))
            with service(base) as running:
                asyncio.run(_windows(running, base, folders, known, fresh, first=False))


@asynccontextmanager
async def _connected(base: Path, folders: list[Path]) -> AsyncIterator[tuple[TrustCenter, list[Site]]]:
    """The operator, and the sites with what they send."""
    async with AsyncExitStack() as stack:
        staff = await stack.enter_async_context(TrustCenter(Connection.load(base / "center" / "operator.toml")))
        sites = []
        for folder in folders:
            center = await stack.enter_async_context(TrustCenter(Connection.load(base / f"{folder.name}.toml")))
            entries, rows = _table(folder / "map.tcmap", map_dtype(SCHEMA.P)), _table(folder / "rows.tcrows", ROW)
            sites.append(Site(center, entries, rows))
        await sites[0].center.pseudonymize("north", ["warm-up"])
        yield staff, sites


async def _fill(running: Service, base: Path, folders: list[Path], known: int) -> None:
    """A study with the first records of all sites, and what their registration costs beside that of pseudonyms."""
    async with _connected(base, folders) as (staff, sites):
        key = hybrid.RecipientKey.generate().public
        study = api.StudyCreate(
            name="bench",
            purpose="bench",
            permit="1",
            schema="de-person/1",
            participants=[api.Participant(site=folder.name) for folder in folders],
            recipients=[api.Recipient(name="dms", public_key=key)],
        )
        await staff.create_study(study)
        few = min(known, 200_000)
        await _registration(running, sites[0], few)
        with _timed(running, f"register {len(sites) * known - few:,} record numbers", len(sites) * known - few):
            for site in sites:
                await _register(site, few if site is sites[0] else 0, known)
        free = asyncio.Semaphore(TOGETHER)

        async def one(site: Site) -> None:
            async with free:
                await _upload(site, 0, known)

        title = f"upload {len(sites) * known:,} records, {min(len(sites), TOGETHER)} sites at a time"
        with _timed(running, title, len(sites) * known):
            await asyncio.gather(*map(one, sites))


async def _registration(running: Service, site: Site, count: int) -> None:
    """Registration beside pseudonyms, turn by turn, so that both meet a store of the same size."""
    what = (f"pseudonyms of {count:,} originals", f"register {count:,} record numbers")
    seconds, spent = [0.0, 0.0], [0.0, 0.0]
    for start in range(0, count, BATCH):
        end = min(start + BATCH, count)
        originals, numbers = [f"patient-{n}" for n in range(start, end)], site.numbers(start, end)
        for at in (0, 1):
            cpu, began = running.cpu(), time.perf_counter()
            if at:
                await site.center.register("bench", numbers)
            else:
                await site.center.pseudonymize("north", originals)
            seconds[at] += time.perf_counter() - began
            spent[at] += running.cpu() - cpu
    for title, took, cpu in zip(what, seconds, spent, strict=True):
        each = f"service {1e6 * cpu / count:.1f} us of processor time each"
        print(f"   {title}, turn by turn: {count / took:,.0f} a second ({each})", flush=True)


async def _register(site: Site, first: int, end: int) -> None:
    for start in range(first, end, BATCH):
        await site.center.register("bench", site.numbers(start, min(start + BATCH, end)))


async def _windows(running: Service, base: Path, folders: list[Path], known: int, fresh: int, *, first: bool) -> None:
    """The first run, two windows of new records, and everything again; without the `first` run the windows only."""
    async with _connected(base, folders) as (staff, sites):
        caller = sites[0].center
        if first:
            await _window(running, staff, caller, f"first window, {len(sites)} x {known:,}")
        for begin in (known, known + fresh // 2):
            end = begin + fresh // 2
            await _register(sites[1], begin, end)
            with _timed(running, f"upload {end - begin:,} records", end - begin):
                await _upload(sites[1], begin, end)
            title = f"window of {end - begin:,} against {(len(sites) - 1) * known + begin:,}"
            await _window(running, staff, caller, title)
        if first:
            await _window(running, staff, caller, "everything again", mode="full")


def _table(path: Path, kind: np.dtype[np.void]) -> NDArray[np.void]:
    """A file of rows or a map behind its two lines of head."""
    with path.open("rb") as file:
        file.readline()
        file.readline()
        return np.memmap(path, kind, "r", offset=file.tell())


async def _upload(site: Site, first: int, end: int) -> None:
    study = await site.center.study("bench")
    key = await site.center.require_rooms(study)
    async with aclosing(made_ahead(site.parts(first, end))) as made:
        async for part in made:
            await send(site.center, study, SCHEMA, part, key, None, None)


async def _window(running: Service, staff: TrustCenter, site: TrustCenter, title: str, mode: str = "window") -> None:
    """One run, with what a request of the pseudonym service waits meanwhile, and the memory of all processes."""
    waits: list[float] = []
    memory = [0.0]
    ended = asyncio.Event()

    async def others() -> None:
        while not ended.is_set():
            started = time.perf_counter()
            await site.get_pseudonyms("north", ["patient-1"])
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.02)

    async def watch() -> None:
        while not ended.is_set():
            memory[0] = max(memory[0], sum(map(_resident, [running.pid, *_children(running.pid)])))
            await asyncio.sleep(0.2)

    beside = [asyncio.create_task(others()), asyncio.create_task(watch())]
    with _timed(running, title):
        done = await operator.link(staff, "bench", mode=mode)
    ended.set()
    await asyncio.gather(*beside)
    assert done.counts is not None
    p50, p99 = np.quantile(waits, [0.5, 0.99]) * 1000
    print(
        f"      {done.counts.edges:,} edges, {done.counts.decided:,} records decided, {done.counts.persons:,} persons;"
        f" others waited {p50:.0f} ms (p50), {p99:.0f} ms (p99), {max(waits) * 1000:.0f} ms at most;"
        f" all processes {memory[0]:,.0f} MB",
        flush=True,
    )


@contextmanager
def _timed(running: Service, title: str, items: int = 0) -> Iterator[None]:
    load, cpu, started = Load(running.pids), running.cpu(), time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    rate = f", {items / seconds:,.0f} a second" if items else ""
    print(
        f"   {title}: {seconds:.1f} s{rate} (service {running.cpu() - cpu:.1f} s of processor time,"
        f" peak {running.peak():,.0f} MB; {load.told()})",
        flush=True,
    )


def _children(pid: int) -> list[int]:
    """All processes that a process has started, and those that they have."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += [int(child), *_children(int(child))]
    return found


def _resident(pid: int) -> float:
    """MB."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it ended
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("RssAnon")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0
