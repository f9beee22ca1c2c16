"""Who runs the chunks: this process, worker processes, or a Dask cluster. All leave the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from linkage.errors import ChunkError, MissingExtraError, PlanError
from linkage.executors import pool
from linkage.executors.chunks import Report, cut, join, whole
from linkage.executors.memory import keep_memory
from linkage.executors.plan import load

Done = Callable[[Report], None]
Progress = Callable[[int, int], None]


def run_chunk(work: str, chunk: str) -> Report:
    """Do one chunk, unless its result is there already. Pure, so it may run anywhere and again.

    Args:
        work: the working directory; every worker must see the same files under this path.
        chunk: a name out of `Plan.chunks`.

    Raises:
        PlanError: no plan, an unknown chunk, or inputs that are not cut yet.
        RowsFileError, RowsFileDamagedError: an input.
    """
    place = Path(work)
    plan = load(place)
    kind, _, number = chunk.partition("-")
    names = {"cut": plan.cuts, "join": plan.joins}.get(kind, ())
    if chunk not in names:
        raise PlanError("the plan has no such chunk", hint=f"it has {len(plan.cuts)} cuts and {len(plan.joins)} joins")
    done = whole(place, plan, chunk)
    if done is not None:
        return done
    return cut(place, plan, int(number)) if kind == "cut" else join(place, plan, int(number))


def run_in_worker(work: str, chunk: str) -> Report:
    """`run_chunk`, in a process that does nothing else."""
    keep_memory()
    return run_chunk(work, chunk)


class Executor(Protocol):
    """Runs chunks that do not depend on each other."""

    def run(self, work: Path, chunks: Sequence[str], done: Done) -> None:
        """Run all of them, in any order; call `done` from the calling thread after each. `done` may raise to cancel."""


class Inline:
    """In this process, one after the other."""

    def run(self, work: Path, chunks: Sequence[str], done: Done) -> None:
        """Run all."""
        for chunk in chunks:
            done(run_chunk(str(work), chunk))


@dataclass(frozen=True)
class Processes:
    """In worker processes of this machine.

    A worker that dies (killed, out of memory) costs the chunk it was at: another takes it over.

    Attributes:
        workers: how many.
    """

    workers: int

    def run(self, work: Path, chunks: Sequence[str], done: Done) -> None:
        """Run all.

        Raises:
            ChunkError: one chunk brought down several workers.
        """
        pool.run(run_in_worker, str(work), chunks, self.workers, done)


@dataclass(frozen=True)
class OnDask:
    """On the workers of a Dask cluster, which must see the working directory and the inputs under the same paths.

    Attributes:
        client: a `distributed.Client`, or the address of a scheduler ("tcp://host:8786").
    """

    client: Any

    def run(self, work: Path, chunks: Sequence[str], done: Done) -> None:
        """Run all.

        Raises:
            MissingExtraError: dask.distributed is not installed.
            ChunkError: a chunk brought down several workers.
        """
        try:
            distributed: Any = import_module("distributed")  # untyped, and there only with the extra
        except ImportError:
            raise MissingExtraError(
                "a Dask cluster needs distributed", hint="pip install 'trustcenter[dask]'"
            ) from None
        own = isinstance(self.client, str)
        client = distributed.Client(self.client) if own else self.client
        try:
            # pure=False: a key of its own for every call, so that a result of an earlier run is never taken for this.
            futures = [client.submit(run_in_worker, str(work), chunk, pure=False) for chunk in chunks]
            try:
                for future in distributed.as_completed(futures):
                    done(future.result())
            except distributed.KilledWorker:
                raise ChunkError(
                    "a chunk brought down several workers",
                    hint="is there memory enough? make smaller chunks; what is done is kept",
                ) from None
            finally:
                client.cancel(futures)
        finally:
            if own:
                client.close()


@dataclass(frozen=True)
class Compared:
    """Sums over all chunks.

    Attributes:
        rows: of all inputs.
        compared: pairs of rows whose filters were compared.
        edges: found.
        over_cap: per source.
        blocks_skipped: blocks over the budget.
        largest_block: rows.
    """

    rows: int
    compared: int
    edges: int
    over_cap: tuple[int, ...]
    blocks_skipped: int
    largest_block: int


def compare(work: Path, executor: Executor | None = None, progress: Progress | None = None) -> Compared:
    """Run the plan of a working directory, or what is left of it.

    Args:
        work: where `make` put the plan.
        executor: by default in this process.
        progress: called with (rows handled, rows to handle) after every chunk, from the calling thread; may raise to
            cancel, and calling again goes on where it stopped.

    Raises:
        PlanError, ChunkError, RowsFileError, RowsFileDamagedError, MissingExtraError: as the chunks and executors.
    """
    work = work.resolve()
    plan = load(work)
    runner = executor or Inline()
    reports: list[Report] = []
    handled = 0

    def done(report: Report) -> None:
        nonlocal handled
        reports.append(report)
        handled += report.rows
        if progress is not None:
            progress(handled, 2 * plan.rows)

    runner.run(work, plan.cuts, done)
    runner.run(work, plan.joins, done)
    joins = [r for r in reports if r.chunk.startswith("join")]
    return Compared(
        rows=plan.rows,
        compared=sum(r.compared for r in joins),
        edges=sum(r.n for r in joins),
        over_cap=tuple(sum(r.over_cap[s] for r in joins) for s in range(len(plan.inputs))),
        blocks_skipped=sum(r.blocks_skipped for r in joins),
        largest_block=max((r.largest_block for r in joins), default=0),
    )
