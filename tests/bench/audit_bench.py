"""The log: what appending costs the service, and export, verification and proofs of a long log."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import sqlite3
import statistics
import tempfile
import time
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
from trustcenter.registrar import operations
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


def _appending(base: Path) -> list[Row]:
    """Pseudonyms a second with the log and without, in turns in one process: the service itself without HTTP."""
    base.mkdir()
    with service(base):
        pass
    return asyncio.run(_compare(base / "center"))


async def _compare(center: Path) -> list[Row]:
    config = load(center)
    passphrase = read_passphrase(config.path(config.files.passphrase), prompt=False)
    rates: dict[tuple[str, bool], list[float]] = {}
    times: dict[tuple[str, bool], list[float]] = {}
    async with open_instance(config, passphrase, utc_now) as instance:
        context = instance.registrar
        append = context.log.append_many
        for turn in range(10):
            logged = turn % 2 == 0
            context.log.append_many = append if logged else _nothing  # type: ignore[method-assign]
            for kind, measure in (("batches of 10,000", _batches), ("single requests", _singles)):
                cpu = time.process_time()
                rate, count = await measure(context)
                if turn > 1:  # the first of each warms up
                    rates.setdefault((kind, logged), []).append(rate)
                    times.setdefault((kind, logged), []).append((time.process_time() - cpu) / count * 1e6)
        context.log.append_many = append  # type: ignore[method-assign]
    rows = []
    for kind in ("batches of 10,000", "single requests"):
        with_log, without = (statistics.median(rates[kind, logged]) for logged in (True, False))
        cpu_with, cpu_without = (statistics.median(times[kind, logged]) for logged in (True, False))
        rows.append(
            (
                f"appending, new pseudonyms in {kind}",
                f"{with_log:,.0f} a second with, {without:,.0f} without the log: {1 - with_log / without:.1%}",
                f"processor: {cpu_with:.1f} and {cpu_without:.1f} µs each, {1 - cpu_without / cpu_with:.1%}",
            )
        )
    return rows


def _over_http(base: Path) -> list[Row]:
    """Single requests a second of the whole service, with the log and without, in turns."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(6):
        logged = turn % 2 == 0
        with service(base, logged=logged) as running:
            asyncio.run(singles(running.connection, secrets.token_hex(8), 2))  # warms up
            before = running.cpu()
            found = asyncio.run(singles(running.connection, secrets.token_hex(8), 8))
            times[logged].append((running.cpu() - before) / found.requests * 1e6)
            rates[logged].append(found.requests / found.seconds)
            assert not found.failed
    with_log, without = (statistics.median(rates[logged]) for logged in (True, False))
    cpu_with, cpu_without = (statistics.median(times[logged]) for logged in (True, False))
    return [
        (
            "the same over HTTP, single requests",
            f"{with_log:,.0f} a second with, {without:,.0f} without the log: {1 - with_log / without:.1%}",
            f"processor: {cpu_with:.1f} and {cpu_without:.1f} µs each, {1 - cpu_without / cpu_with:.1%}",
        )
    ]


def _nothing(conn: Any, items: Any) -> int:
    return 0


_SITE = Principal("north", "site", "")


async def _batches(context: Any) -> tuple[float, int]:
    requests = [[secrets.token_hex(8) for _ in range(10_000)] for _ in range(6)]
    started = time.perf_counter()
    for originals in requests:
        await operations.pseudonymize(
            context, _SITE, secrets.token_hex(8), "north", api.PseudonymRequest(originals=originals)
        )
    return 60_000 / (time.perf_counter() - started), 60_000


async def _singles(context: Any) -> tuple[float, int]:
    count, parallel = 20_000, 64
    originals = iter([secrets.token_hex(8) for _ in range(count)])

    async def one() -> None:
        for original in originals:
            await operations.pseudonymize(
                context, _SITE, secrets.token_hex(8), "north", api.PseudonymRequest(originals=[original])
            )

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(parallel)))
    return count / (time.perf_counter() - started), count


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
    times = []
    for _ in range(300):
        index = random.randrange(entries)
        started = time.perf_counter()
        path = log.inclusion_proof(conn, index)
        times.append(time.perf_counter() - started)
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
            "",
        ),
    ]


def _single_file(bundle: Path, entries: int, mark: str) -> str:
    if entries > 1_000_000:
        return "only measured up to 1,000,000 entries"
    started = time.perf_counter()
    with bundle.open("rb") as stream:
        verify_log.verify(stream, mark)
    return f"{entries / (time.perf_counter() - started):,.0f} entries a second"


def _resident() -> float:
    """MB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
