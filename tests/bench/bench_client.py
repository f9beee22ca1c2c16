"""A CSV file of millions of rows through the command and the real service: rows a second, memory of both.

PYTHONPATH=tests:tests/bench .venv/bin/python tests/bench/bench_client.py --rows 10000000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_load import Load
from tests_support import launch, make_instance, run_cli

Row = tuple[str, str, str]


def write_rows(path: Path, rows: int, *, repeat: int = 1, quoted: bool = False) -> int:
    """A laboratory table of eight columns; every identifier stands in `repeat` rows in a row. Bytes written."""
    mark = '"' if quoted else ""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("pid;date;name;analyte;value;unit;flag;note\n")
        for start in range(0, rows, 10_000):
            lines = []
            for number in range(start, min(start + 10_000, rows)):
                cells = (
                    f"{number // repeat:010d}", f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}", "Müller",
                    f"LOINC-{number % 997}", f"{number % 1000 / 10}", "mg/dl", "N", "ohne Befund",
                )  # fmt: skip
                lines.append(mark + f"{mark};{mark}".join(cells) + mark + "\n")
            file.write("".join(lines))
    return path.stat().st_size


def _peak(pid: int) -> float:
    """Greatest resident memory of a process so far, in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _admit(base: Path) -> None:
    """A site with a domain and a connection file."""
    operator = ("--connect", base / "center" / "operator.toml")
    for command in (
        ("site", "add", "north"),
        ("domain", "create", "north", "--site", "north"),
        ("site", "token", "north", "-o", base / "north.toml"),
    ):
        done = run_cli(*command, *operator)
        assert done.returncode == 0, done.stderr


def _children() -> float:
    """Seconds of processor time of children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def csv_file(rows: int = 1_000_000, repeat: int = 1, *, once: bool = False) -> list[Row]:
    """New pseudonyms for a file, then, unless `once`, the same file again, when all are known."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-client-") as folder:
        base = Path(folder)
        size = write_rows(base / "in.csv", rows, repeat=repeat)
        make_instance(base / "center")
        server, _ = launch(base / "center", base / "log")
        try:
            _admit(base)
            for title in ("new", "known")[: 1 if once else 2]:
                load, started = Load(), time.perf_counter()
                before = _children()
                client = subprocess.Popen(
                    [sys.executable, "-m", "trustcenter", "pseudonymize", base / "in.csv", "--column", "pid",
                     "--domain", "north", "-o", base / "out.csv", "--force", "--connect", base / "north.toml"],
                )  # fmt: skip
                peak = 0.0
                while client.poll() is None:
                    peak = max(peak, _peak(client.pid))
                    time.sleep(0.1)
                assert client.returncode == 0
                seconds, spent = time.perf_counter() - started, _children() - before
                what = f"{rows:,} rows, {rows // repeat:,} {title} identifiers, {size / 2**20:,.0f} MB"
                speed = f"{rows / seconds:,.0f} rows a second ({seconds:.0f} s; {spent:.1f} s CPU of the client)"
                memory = f"client {peak:.0f} MB, service {_peak(server.pid):.0f} MB; foreign load {load.foreign():.0%}"
                found.append((what, speed, memory))
                print(*found[-1], sep="  ", flush=True)
            with (base / "out.csv").open("rb") as output:
                assert sum(1 for _ in output) == rows + 1
        finally:
            server.terminate()
            server.wait(60)
    return found


def single_calls(tasks: int = 64, calls: int = 400) -> list[Row]:
    """So many tasks, each asking for one identifier after the other, by way of the coalescing client."""
    with tempfile.TemporaryDirectory(prefix="bench-single-") as folder:
        base = Path(folder)
        make_instance(base / "center")
        server, _ = launch(base / "center", base / "log")
        try:
            _admit(base)
            return [asyncio.run(_single(base / "north.toml", tasks, calls))]
        finally:
            server.terminate()
            server.wait(60)


async def _single(path: Path, tasks: int, calls: int) -> Row:
    from trustcenter.client import Connection, TrustCenter

    waits: list[float] = []
    async with TrustCenter(Connection.load(path)) as center:
        await center.pseudonym("north", "warm-up")

        async def one(task: int) -> None:
            for call in range(calls):
                started = time.perf_counter()
                await center.pseudonym("north", f"{task}-{call}")
                waits.append(time.perf_counter() - started)

        load, started, spent = Load(), time.perf_counter(), time.process_time()
        await asyncio.gather(*map(one, range(tasks)))
        seconds, spent = time.perf_counter() - started, time.process_time() - spent
    waits.sort()
    row = (
        f"{tasks} tasks, single new identifiers, one call after the other in each",
        (
            f"{len(waits) / seconds:,.0f} calls a second; half within {waits[len(waits) // 2] * 1000:.0f} ms, "
            f"99 % within {waits[len(waits) * 99 // 100] * 1000:.0f} ms; {spent:.1f} s CPU of the client"
        ),
        f"foreign load {load.foreign():.0%}",
    )
    print(*row, sep="  ", flush=True)
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=1, help="rows of each identifier")
    parser.add_argument("--once", action="store_true", help="new identifiers only")
    parser.add_argument("--single", action="store_true", help="single calls instead of a file")
    arguments = parser.parse_args()
    if arguments.single:
        single_calls()
        sys.exit()
    csv_file(arguments.rows, arguments.repeat, once=arguments.once)
