"""What the parts of the scale benchmark share: encoding, linking through files, figures with the load beside them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_load import Load, cpu_ticks

from linkage import Secrets, Source, prepare
from linkage.encode import encode
from linkage.executors import Executor, compare, gather, make
from linkage.maps import MapRefs, record_numbers_of, write_map
from linkage.match import MatchResult, match
from linkage.rows import ROW, write_rows
from linkage.schema import Schema

Columns = dict[str, list[str]]


def secrets_of(site: str) -> Secrets:
    """Constants: figures do not depend on secrets."""
    return Secrets(b"\x07" * 32, hashlib.sha256(site.encode()).digest(), "bench", 1)


def encode_into(schema: Schema, folder: Path, name: str, columns: Columns, ids: list[str]) -> None:
    """Normalise and encode a source, and write its rows and its map."""
    known = {f.name for f in schema.fields}
    made = encode(schema, prepare(schema, {k: v for k, v in columns.items() if k in known}), ids, secrets_of(name))
    folder.mkdir(parents=True, exist_ok=True)
    head: dict[str, str | int] = {
        "study": "bench",
        "version": 1,
        "source": name,
        "fingerprint": schema.fingerprint,
        "passes": schema.P,
    }
    write_rows(folder / "rows.tcrows", made.rows, head)
    write_map(folder / "map.tcmap", made.record_numbers, made.refs, head)


def _compare(schema: Schema, folders: list[Path], work: Path, executor: Executor) -> tuple[float, int, float]:
    """Seconds of a comparison, highest peak memory of a worker in MB, processor seconds of the workers."""
    shutil.rmtree(work, ignore_errors=True)
    peak = 0

    def progress(done: int, total: int) -> None:
        nonlocal peak
        peak = max([peak, *(_peak(p.pid) for p in multiprocessing.active_children() if p.pid)])

    start, own, before = time.perf_counter(), time.process_time(), cpu_ticks(os.getpid())
    make(work, [f / "rows.tcrows" for f in folders], schema)
    compare(work, executor, progress)
    seconds, own = time.perf_counter() - start, time.process_time() - own
    spent = (cpu_ticks(os.getpid()) - before) / os.sysconf("SC_CLK_TCK")
    return seconds, peak, max(0.0, spent - own)


@dataclass(frozen=True)
class Linked:
    """What a linkage found, seconds to decided pairs, and processor seconds of the workers and this process."""

    result: MatchResult
    seconds: float
    processor: float


def linked(schema: Schema, folders: list[Path], work: Path, what: str, executor: Executor) -> Linked:
    """Row files to decided pairs and persons, told with memory and processor time."""
    with measured(f"{what}: row files to decided pairs and persons, two worker processes") as told:
        seconds, peak, workers = _compare(schema, folders, work, executor)
        stages: dict[str, float] = {}
        start, own = time.perf_counter(), time.process_time()
        maps = [f / "map.tcmap" for f in folders]
        sources = [
            Source(f.name, np.empty(0, ROW), record_numbers_of(m), MapRefs.of(m))
            for f, m in zip(folders, maps, strict=True)
        ]

        def progress(stage: str, done: int, total: int) -> None:
            if (stage, done) == ("cluster", 0):
                stages.update({"decide": time.perf_counter() - start, "cpu": time.process_time() - own})

        result = match(sources, schema, edges=gather(work), progress=progress)
        records = len(result.sources)
        clustering = time.perf_counter() - start - stages["decide"]
        told += [
            f"compare {seconds:.1f} s ({result.counts['rows_compared']:,} pairs of rows)",
            f"decide {stages['decide']:.1f} s ({len(result.decided):,} pairs of records)",
            f"so to decided pairs {seconds + stages['decide']:.1f} s",
            f"cluster {clustering:.1f} s",
            f"{1e6 * (seconds + stages['decide']) / records:.1f} us a record",
            f"a worker's peak {peak} MB",
            f"processor time: workers {workers:.1f} s, deciding {stages['cpu']:.1f} s",
            f"so {workers / 2 + stages['cpu']:.1f} s at best on two cores that nobody else uses",
        ]
    return Linked(result, seconds + stages["decide"], workers + stages["cpu"])


@contextmanager
def measured(what: str) -> Iterator[list[str]]:
    """Print what was done, how long it took, processor time and peak memory of this process, and the foreign load."""
    load, start, own, told = Load(), time.perf_counter(), time.process_time(), []
    yield told
    seconds, own = time.perf_counter() - start, time.process_time() - own
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    detail = f"\n      {'; '.join(told)}" if told else ""
    print(
        f"   {what}: {seconds:.1f} s{detail}\n      own: {own:.1f} s, peak {peak} MB; machine: {load.told()}",
        flush=True,
    )


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)
