"""Linkage at scale: row files to decided pairs, windows against an index, bad data, Dask, and the peer where it is.

make bench ARGS="scale --records 1000000 --data /var/tmp/rows"    # the encoded sources are kept there
make bench ARGS="scale --records 1e7 --simulated --parts linked window --data /var/tmp/rows"    # 60 GB of disk
make bench ARGS="scale --records 5000 --sites 30 --parts linked"
make bench ARGS="scale --parts peer --peer /path/to/python"       # an interpreter that has anonlink and clkhash
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from bench_load import Load, cpu_ticks
from scale_dask import side_by_side
from scale_rows import simulate

from linkage import Secrets, Source, load_schema, prepare
from linkage.encode import encode
from linkage.evaluate import of_pairs
from linkage.executors import Executor, Processes, compare, gather, make
from linkage.index import TokenIndex, Window
from linkage.maps import MapRefs, record_numbers_of, stream_map, write_map
from linkage.match import MatchResult, match
from linkage.rows import ROW, stream_rows, write_rows
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, generate

Row = tuple[str, str, str]
Columns = dict[str, list[str]]
PEER = Path(__file__).with_name("anonlink_peer.py")


def scale(options: argparse.Namespace) -> None:
    """All of it; every line is printed as soon as it is known."""
    n, sites = int(float(options.records)), options.sites
    schema = load_schema("de-person/1")
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(options.data) if options.data else Path(scratch)
        names = ["left", "right"] if sites == 2 else [f"site{i:02}" for i in range(sites)]
        folders = []
        if not {"linked", "window", "dask"}.intersection(options.parts):
            pass  # the others make sources of their own
        elif options.simulated:
            folders = _simulated(schema, base / f"simulated-{sites}x{n}", names, n)
        else:
            folders = _sources(schema, base / f"{sites}x{n}", names, n)
        work = Path(scratch) / "work"
        if "linked" in options.parts:
            for _ in range(options.repeat):
                _linked(schema, folders, work, f"{sites} x {n:,}", Processes(2))
            shutil.rmtree(work)
        if "window" in options.parts:
            _window(schema, folders, Path(scratch) / "index", n)
        if "dask" in options.parts:
            side_by_side(folders, work, options.repeat)
        if "bad" in options.parts:
            _bad_data(schema, Path(scratch), int(float(options.bad)))
        if "peer" in options.parts and options.peer:
            _peer(schema, options.peer, Path(scratch), int(float(options.peer_records)))


def _sources(schema: Schema, base: Path, names: list[str], n: int) -> list[Path]:
    """Encoded sources, made unless they are there."""
    folders = [base / name for name in names]
    if all((f / "map.tcmap").exists() for f in folders):
        return folders
    with measured(f"generate and encode {len(names)} x {n:,}, one process"):
        config = SynthConfig("bench/scale", tuple(SiteSpec(name, n) for name in names), overlap=0.5)
        for name, table in generate(config).sites.items():
            _encode(schema, base / name, name, table.columns, table.ids)
    return folders


def _simulated(schema: Schema, base: Path, names: list[str], n: int) -> list[Path]:
    """Sources of rows that nobody encoded, made unless they are there."""
    folders = [base / name for name in names]
    if not (base / "done").exists():
        with measured(f"simulate rows, {len(names)} x {n:,}"):
            simulate(schema, folders, n)
            (base / "done").touch()
    return folders


def _encode(schema: Schema, folder: Path, name: str, columns: Columns, ids: list[str]) -> None:
    known = {f.name for f in schema.fields}
    own = Secrets(b"\x07" * 32, hashlib.sha256(name.encode()).digest(), "bench", 1)
    made = encode(schema, prepare(schema, {k: v for k, v in columns.items() if k in known}), ids, own)
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
    ticks: dict[int, int] = {}

    def progress(done: int, total: int) -> None:
        nonlocal peak
        pids = [p.pid for p in multiprocessing.active_children() if p.pid]
        peak = max([peak, *map(_peak, pids)])
        ticks.update({pid: cpu_ticks(pid) for pid in pids})

    start = time.perf_counter()
    make(work, [f / "rows.tcrows" for f in folders], schema)
    compare(work, executor, progress)
    return time.perf_counter() - start, peak, sum(ticks.values()) / os.sysconf("SC_CLK_TCK")


def _linked(schema: Schema, folders: list[Path], work: Path, what: str, executor: Executor) -> MatchResult:
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
            stages.update({stage: time.perf_counter() - start, f"{stage} cpu": time.process_time() - own})

        result = match(sources, schema, edges=gather(work), progress=progress)
        records = len(result.sources)
        told += [
            f"compare {seconds:.1f} s ({result.counts['rows_compared']:,} pairs of rows)",
            f"decide {stages['decide']:.1f} s ({len(result.pairs):,} pairs of records)",
            f"so to decided pairs {seconds + stages['decide']:.1f} s",
            f"cluster {stages['cluster'] - stages['decide']:.1f} s",
            f"{1e6 * (seconds + stages['decide']) / records:.1f} us a record",
            f"a worker's peak {peak} MB",
            f"processor time: workers {workers:.1f} s, deciding {stages['decide cpu']:.1f} s",
            f"so {workers / 2 + stages['decide cpu']:.1f} s at best on two cores that nobody else uses",
        ]
    return result


def _window(schema: Schema, folders: list[Path], folder: Path, n: int) -> None:
    """10,000 records of the second source against an index of the first."""
    index = TokenIndex.create(folder, "bench", 1, schema)
    with measured(f"index: load {n:,} records"):
        index.load([folders[0] / "rows.tcrows"])
    entries = next(stream_map(folders[1] / "map.tcmap", 10_000))
    wanted = np.sort(np.ascontiguousarray(entries["refs"]).reshape(-1, 16).view("S16").reshape(-1))
    parts = []
    for part in stream_rows(folders[1] / "rows.tcrows"):
        refs = np.ascontiguousarray(part["ref"]).view("S16").reshape(-1)
        near = np.minimum(np.searchsorted(wanted, refs), len(wanted) - 1)
        parts.append(part[wanted[near] == refs])
    window = Window({"right": np.concatenate(parts)})
    with measured(f"index: look up {len(entries):,} new records among {n:,}") as told:
        told.append(f"{len(index.look_up(window).table):,} edges")
    with measured("index: add them"):
        index.apply(window)
    shutil.rmtree(folder)


def _bad_data(schema: Schema, base: Path, n: int) -> None:
    """The same sources with 5 % default values, and one name for a twentieth of all."""
    made = generate(SynthConfig("bench/bad", (SiteSpec("left", n), SiteSpec("right", n)), overlap=0.5))
    for kind in ("as they are", "5 % default birth dates and no address, one name for 5 %"):
        folders = []
        for name, table in made.sites.items():
            columns = {k: list(v) for k, v in table.columns.items()}
            if kind != "as they are":
                for i in range(0, n, 20):
                    columns["birth_date"][i] = "1900-01-01"
                    for field in ("street", "house_number", "postcode", "town"):
                        columns[field][i] = ""
                for i in range(10, n, 20):
                    columns["given_name"][i], columns["surname"][i] = "Maria", "Müller"
            folder = base / f"bad-{kind[0]}" / name
            with measured(f"bad data, {n:,}, {kind}: encode {name}"):
                _encode(schema, folder, name, columns, table.ids)
            folders.append(folder)
        _linked(schema, folders, base / "work", f"bad data, 2 x {n:,}, {kind}", Processes(2))


def _peer(schema: Schema, python: str, base: Path, n: int) -> None:
    """anonlink's exact comparison of clkhash encodings of the same people: time, and F1 at its best threshold."""
    made = generate(SynthConfig("bench/peer", (SiteSpec("left", n), SiteSpec("right", n)), overlap=0.5))
    known = [f.name for f in schema.fields if f.kind != "insured_number"]
    for name, table in made.sites.items():
        prepared = prepare(schema, {k: v for k, v in table.columns.items() if k in {f.name for f in schema.fields}})
        lines = ["\t".join(row) for row in zip(*(prepared.values[k] for k in known), strict=True)]
        (base / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        _encode(schema, base / "peer" / name, name, table.columns, table.ids)
    person: dict[str, int] = {}
    people = [person.setdefault(p, len(person)) for _, _, p in made.truth]
    home = {p: i for i, p in enumerate(people[:n])}
    true = {(home[p], j) for j, p in enumerate(people[n:]) if p in home}
    folders = [base / "peer" / name for name in made.sites]
    result = _linked(schema, folders, base / "work", f"beside the peer, 2 x {n:,}", Processes(2))
    numbers = [record_numbers_of(f / "map.tcmap") for f in folders]
    own = [Secrets(b"\x07" * 32, hashlib.sha256(s.encode()).digest(), "bench", 1) for s in made.sites]
    from linkage.encode import record_numbers

    place = []
    for side, table in enumerate(made.sites.values()):
        order = {bytes(r): i for i, r in enumerate(record_numbers(own[side], "bench", table.ids))}
        place.append([order[bytes(r)] for r in numbers[side]])
    matched = result.pairs[result.pairs["class"] == 2]
    found = {(place[0][a], place[1][b - n]) for a, b in zip(matched["a"].tolist(), matched["b"].tolist(), strict=True)}
    print(f"   ours, nothing set by hand: {of_pairs(found, true)}", flush=True)
    with measured(f"peer: anonlink, 2 x {n:,}") as told:
        done = subprocess.run(
            [python, PEER, base / "left.tsv", base / "right.tsv"], check=True, capture_output=True, text=True
        )
        best = ("", None)
        for line in done.stdout.splitlines():
            word, *rest = line.split("\t")
            if word == "time":
                told.append(f"{rest[0]} {float(rest[1]):.1f} s")
                if rest[0].startswith("compare"):
                    told.append(f"so 1,000,000 x 1,000,000 would take {float(rest[1]) * (1e6 / n) ** 2 / 3600:.1f} h")
            elif word == "pairs":
                pairs = {tuple(map(int, p.split(","))) for p in rest[1].split()}
                q = of_pairs(pairs, true)
                if best[1] is None or q.f1 > best[1].f1:
                    best = (rest[0], q)
        told.append(f"best threshold {best[0]} (chosen by the truth): {best[1]}")


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
