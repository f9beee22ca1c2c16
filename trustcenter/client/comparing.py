"""The comparison of encoded sources, offline: a plan of chunks in a working directory, run here or on a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkage.executors import Executor
    from linkage.match import Found
    from linkage.schema import Schema


@dataclass(frozen=True)
class Machines:
    """Where chunks run.

    Attributes:
        workers: processes of this machine; with one, this process does it.
        dask: address of a Dask scheduler, instead.
        work: working directory that is kept, so that a comparison can go on; without it one that is thrown away.
    """

    workers: int = 1
    dask: str | None = None
    work: Path | None = None

    def executor(self) -> Executor:
        """Who runs chunks."""
        from linkage.executors import Inline, OnDask, Processes

        if self.dask is not None:
            return OnDask(self.dask)
        return Processes(self.workers) if self.workers > 1 else Inline()


@contextmanager
def compared(
    files: Sequence[Path],
    schema: Schema,
    machines: Machines,
    beside: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Found]:
    """Edges between some rows files, as long as the block lasts.

    Args:
        files: rows files that belong together.
        schema: under which they were encoded.
        machines: where.
        beside: a working directory that is thrown away is made beside this path.
        progress: called with (done, total); may raise to cancel.

    Raises:
        LinkageError: a file, a chunk, or a working directory of another comparison.
    """
    from linkage.executors import compare, gather, make

    with _work(machines, beside) as work:
        make(work, files, schema)
        compare(work, machines.executor(), progress)
        yield gather(work)


@contextmanager
def _work(machines: Machines, beside: Path) -> Iterator[Path]:
    if machines.work is not None:
        yield machines.work
        return
    with tempfile.TemporaryDirectory(dir=beside.parent, prefix=f".{beside.name}-") as name:
        yield Path(name)
