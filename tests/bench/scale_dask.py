"""The same comparison in two worker processes and on two Dask workers, from nothing and from what is there.

Each side runs in a fresh process of its own, and does the same twice. *From nothing* holds all there is: starting the
pool, or the cluster and its client; importing and loading the compiled loops in the workers; the comparison. Before
*from what is there* the pool, or the cluster, has done a comparison already, so only the comparison is left. Scheduler
and workers are configured as docs/how-to/large-sources.md says.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

from bench_load import Load, cpu_ticks

from linkage import load_schema
from linkage.executors import Executor, OnDask, Processes, compare, make

_NAMES = {"processes": "two worker processes", "dask": "two Dask workers"}
Took = tuple[float, float, str]  # seconds of a comparison, processor seconds of all who take part, load of the machine


def side_by_side(folders: list[Path], work: Path, repeat: int) -> None:
    """Measure both in turn, `repeat` times, and print each and the ratio of the best."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        print("   Dask: not installed", flush=True)
        return
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for _ in range(repeat):
        for kind in _NAMES:
            for what, (wall, processor, load) in _in_a_fresh_process(kind, folders, work).items():
                known = best.get((kind, what), (wall, processor))
                best[kind, what] = min(known[0], wall), min(known[1], processor)
                print(
                    f"   compare, {_NAMES[kind]}, {what}: {wall:.1f} s, processor time {processor:.1f} s\n"
                    f"      machine: {load}",
                    flush=True,
                )
    for what in ("from nothing", "from what is there"):
        wall, processor = (best["dask", what][k] / best["processes", what][k] for k in (0, 1))
        print(
            f"   Dask against processes, {what}, best of each: {wall:.2f} (processor time {processor:.2f})", flush=True
        )


def _in_a_fresh_process(kind: str, folders: list[Path], work: Path) -> dict[str, Took]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(theirs, kind, folders, work))
    process.start()
    found: dict[str, Took] = ours.recv()
    process.join()
    return found


def _measure(pipe: Connection, kind: str, folders: list[Path], work: Path) -> None:
    found: dict[str, Took] = {}
    with ExitStack() as stack:
        load, start, before = Load(), time.perf_counter(), cpu_ticks(os.getpid())
        executor = _executor(kind, stack)
        for what in ("from nothing", "from what is there"):
            if found:
                load, start, before = Load(), time.perf_counter(), cpu_ticks(os.getpid())
            shutil.rmtree(work, ignore_errors=True)
            make(work, [f / "rows.tcrows" for f in folders], load_schema("de-person/1"))
            compare(work, executor)
            spent = cpu_ticks(os.getpid()) - before
            found[what] = time.perf_counter() - start, spent / os.sysconf("SC_CLK_TCK"), load.told()
    shutil.rmtree(work)
    pipe.send(found)


def _executor(kind: str, stack: ExitStack) -> Executor:
    if kind == "processes":
        return Processes(2)
    import dask
    import distributed

    dask.config.set({"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "500ms"})
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    return OnDask(stack.enter_context(distributed.Client(stack.enter_context(cluster))))
