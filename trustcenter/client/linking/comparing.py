"""The comparison of encoded sources, offline: a plan of chunks in a working directory, run here or on a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trustcenter.errors import ConflictError

if TYPE_CHECKING:
    from linkage.executors import Executor
    from linkage.match import Found
    from linkage.rows import Header
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


def compared_elsewhere(paths: Sequence[Path], of: Header) -> Found:
    """The edges that whoever compared wrote into some files: of a comparison, and of look-ups since.

    Args:
        paths: of the files.
        of: header of one of the sources.

    Raises:
        ConflictError: of another study, version or schema, or one file twice. LinkageError: a file.
    """
    from linkage.executors import EdgeTables, read_edges

    tables, seen = [], set()
    for number, path in enumerate(paths, 1):
        where = f"edges {number}"
        header, table = read_edges(path)
        if (header.study, header.version, header.fingerprint) != (of.study, of.version, of.fingerprint):
            raise ConflictError(
                "the edges are not of the sources' study, version and schema", code="mixed_sources", where=where
            )
        if header.n and header.sha256 in seen:
            raise ConflictError("the same edges are there twice", code="mixed_sources", where=where)
        seen.add(header.sha256)
        tables.append(table)
    return EdgeTables(tuple(tables))


@contextmanager
def _work(machines: Machines, beside: Path) -> Iterator[Path]:
    if machines.work is not None:
        yield machines.work
        return
    with tempfile.TemporaryDirectory(dir=beside.parent, prefix=f".{beside.name}-") as name:
        yield Path(name)
