"""The log: what appending costs the service, and export, verification and proofs of a long log."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import signal
import sqlite3
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_instance import service
from bench_singles import singles
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.passphrase import read_passphrase
from trustcenter.audit import MIGRATIONS, AuditLog, Event, fingerprint, verify_bundle, verify_inclusion, verify_log
from trustcenter.auth import Principal
from trustcenter.clock import utc_now
from trustcenter.config import load
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import operations
from trustcenter.store.migrations import statements

Row = tuple[str, str, str]
_FIELDS = {
    "who": "klinikum-a", "request": "0123456789abcdef", "domain": "klinikum-a", "suite": "computed/1",
    "key_version": 1, "epoch": 0, "count": 1, "root": "ab" * 32,
}  # fmt: skip


def audit(options: argparse.Namespace) -> list[Row]:
    """All figures of the log."""
    with tempfile.TemporaryDirectory(prefix="audit-bench-", dir="/var/tmp") as folder:
        base = Path(folder)
        return [
            *_appending(base / "instance"),
            *_over_http(base / "instance"),
            *_long_log(base, int(float(options.entries))),
        ]


# --- what appending costs ------------------------------------------------------------------------
#
# The same process with the log and without, in turns, as the load of the machine changes from one second to the next:
# with, without, without, with, and so on. Each pair of neighbours gives one share; the median of the shares is told.
# Processor time is of the serving process alone, and says the most on a machine that others use.


@dataclass
class _Turn:
    """What one turn took, per pseudonym, in microseconds."""

    wall: float
    processor: float


def _row(name: str, pairs: list[tuple[_Turn, _Turn]]) -> Row:
    """The cost told of pairs of turns, with the log and without."""
    shares = [sorted(1 - getattr(off, kind) / getattr(on, kind) for on, off in pairs) for kind in ("wall", "processor")]
    wall, processor = (statistics.median(share) for share in shares)
    on, off = (statistics.median(pair[place].processor for pair in pairs) for place in (0, 1))
    quarter = len(pairs) // 4
    return (
        f"appending, new pseudonyms in {name}",
        f"{processor:.1%} of the processor time ({on:.1f} µs each, {off:.1f} without the log)",
        (
            f"{len(pairs)} pairs of turns, half of them {shares[1][quarter]:.1%} to {shares[1][-1 - quarter]:.1%};"
            f" {wall:.1%} of the time"
        ),
    )


def _order(turns: int) -> list[bool]:
    """With the log, without, without, with, ..."""
    return [turn % 4 in (0, 3) for turn in range(turns)]


def _pairs(turns: list[_Turn], order: list[bool]) -> list[tuple[_Turn, _Turn]]:
    found = []
    for at in range(0, len(turns), 2):
        first, second = turns[at], turns[at + 1]
        found.append((first, second) if order[at] else (second, first))
    return found


def _appending(base: Path) -> list[Row]:
    """The service itself, without HTTP, in this process."""
    base.mkdir()
    with service(base):
        pass
    return asyncio.run(_compare(base / "center"))


async def _compare(center: Path) -> list[Row]:
    config = load(center)
    passphrase = read_passphrase(config.path(config.files.passphrase), prompt=False)
    rows = []
    async with open_instance(config, passphrase, utc_now) as instance:
        context = instance.registrar
        append = context.log.append_many
        for name, measure, turns in (("batches of 10,000", _batches, 16), ("single requests", _singles, 32)):
            order, found = _order(turns), []
            await measure(context)  # warms up
            for logged in order:
                context.log.append_many = append if logged else _nothing  # type: ignore[method-assign]
                cpu, started = time.process_time(), time.perf_counter()
                count = await measure(context)
                wall = time.perf_counter() - started
                found.append(_Turn(wall / count * 1e6, (time.process_time() - cpu) / count * 1e6))
            context.log.append_many = append  # type: ignore[method-assign]
            rows.append(_row(name, _pairs(found, order)))
    return rows


def _over_http(base: Path) -> list[Row]:
    """Single requests to the whole service."""
    order, found, logged = _order(16), [], True
    with service(base, switch=True) as running:
        asyncio.run(singles(running.connection, secrets.token_hex(8), 2))  # warms up
        for wanted in order:
            if wanted != logged:
                os.kill(running.pid, signal.SIGUSR1)
                logged = wanted
            before = running.cpu()
            done = asyncio.run(singles(running.connection, secrets.token_hex(8), 3))
            assert not done.failed
            found.append(_Turn(done.seconds / done.requests * 1e6, (running.cpu() - before) / done.requests * 1e6))
    return [_row("single requests over HTTP", _pairs(found, order))]


def _nothing(conn: Any, items: Any) -> int:
    return 0


_SITE = Principal("north", "site", "")


async def _batches(context: Any) -> int:
    requests = [[secrets.token_hex(8) for _ in range(10_000)] for _ in range(4)]
    for originals in requests:
        await operations.pseudonymize(
            context, _SITE, secrets.token_hex(8), "north", api.PseudonymRequest(originals=originals)
        )
    return 40_000


async def _singles(context: Any) -> int:
    count, parallel = 6_000, 64
    originals = iter([secrets.token_hex(8) for _ in range(count)])

    async def one() -> None:
        for original in originals:
            await operations.pseudonymize(
                context, _SITE, secrets.token_hex(8), "north", api.PseudonymRequest(originals=[original])
            )

    await asyncio.gather(*(one() for _ in range(parallel)))
    return count


# --- a long log ----------------------------------------------------------------------------------


def _long_log(base: Path, entries: int) -> list[Row]:
    key = Ed25519PrivateKey.generate()
    origin = f"trustcenter/{'0f' * 16}/registrar"
    log = AuditLog(origin, key.sign, key.public_key().public_bytes_raw())
    conn = sqlite3.connect(base / "log.db", isolation_level=None)
    conn.execute("PRAGMA journal_mode = WAL")
    for migration in MIGRATIONS:
        for statement in statements(migration.sql):
            conn.execute(statement)
    step = 20_000
    started = time.perf_counter()
    for first in range(0, entries, step):
        conn.execute("BEGIN")
        items = [(Event.PSEUDONYM_ISSUE, {**_FIELDS, "first": n + 1}) for n in range(first, min(first + step, entries))]
        log.append_many(conn, items)
        conn.execute("COMMIT")
    append = entries / (time.perf_counter() - started)
    conn.execute("BEGIN")
    bundle = base / "log.ndjson"
    before, cpu = _resident(), time.process_time()
    started = time.perf_counter()
    with bundle.open("wb", buffering=1 << 20) as file:
        file.writelines(log.export(conn))
    export, export_memory = entries / (time.perf_counter() - started), _resident() - before
    export_cpu = entries / (time.process_time() - cpu)
    mark, root = fingerprint(log.vkey), bytes.fromhex(log.head(conn)[1])
    times, cpus = [], []
    for _ in range(300):
        index = random.randrange(entries)
        started, cpu = time.perf_counter(), time.process_time()
        path = log.inclusion_proof(conn, index)
        times.append(time.perf_counter() - started)
        cpus.append(time.process_time() - cpu)
        verify_inclusion(index, entries, log.leaf_hash(conn, index), path, root)
    conn.close()
    before, cpu = _resident(), time.process_time()
    started = time.perf_counter()
    with bundle.open("rb", buffering=1 << 20) as stream:
        assert verify_bundle(stream, fingerprint=mark).size == entries
    verify, verify_memory = entries / (time.perf_counter() - started), _resident() - before
    verify_cpu = entries / (time.process_time() - cpu)
    single = _single_file(bundle, entries, mark)
    size = bundle.stat().st_size / entries
    return [
        (f"append to a log of {entries:,} entries", f"{append:,.0f} a second, {size:.0f} bytes an entry", ""),
        (
            "export",
            f"{export:,.0f} entries a second, {export_cpu:,.0f} a processor second, memory +{export_memory:.0f} MB",
            "",
        ),
        (
            "verify",
            f"{verify:,.0f} entries a second, {verify_cpu:,.0f} a processor second, memory +{verify_memory:.0f} MB",
            "",
        ),
        ("verify with the single file", single, ""),
        (
            "inclusion proof of any entry",
            f"median {statistics.median(times) * 1e3:.2f} ms, of 300 the slowest {max(times) * 1e3:.2f} ms",
            f"the slowest took {max(cpus) * 1e3:.2f} ms of processor time",
        ),
    ]


def _single_file(bundle: Path, entries: int, mark: str) -> str:
    if entries > 1_000_000:
        return "only measured up to 1,000,000 entries"
    started, cpu = time.perf_counter(), time.process_time()
    with bundle.open("rb") as stream:
        verify_log.verify(stream, mark)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    return f"{entries / wall:,.0f} entries a second, {entries / cpu:,.0f} a processor second"


def _resident() -> float:
    """MB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
