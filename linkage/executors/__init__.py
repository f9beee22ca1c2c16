"""The comparison as a plan of chunks (docs/spec/chunk-plan.md): the same chunks, and the same bytes, however they run.

    from linkage.executors import Processes, compare, load, make

    plan = make(work, [Path("north/rows.tcrows"), Path("south/rows.tcrows")], schema)
    report = compare(work, Processes(4))
    write_edges(work, Path("edges.tcedges"))

Every chunk reads files, writes one file, and is done when that file is whole: a chunk may run twice, anywhere, in
any order. So a worker that is killed costs the chunk it was at, and a comparison that was stopped goes on.
"""

from __future__ import annotations

from linkage.executors.chunks import Report, status
from linkage.executors.edgefile import EdgeTables, read_edges
from linkage.executors.edges import gather, write_edges
from linkage.executors.plan import Plan, load, make
from linkage.executors.run import Executor, Inline, OnDask, Processes, compare, run_chunk

__all__ = [
    "EdgeTables",
    "Executor",
    "Inline",
    "OnDask",
    "Plan",
    "Processes",
    "Report",
    "compare",
    "gather",
    "load",
    "make",
    "read_edges",
    "run_chunk",
    "status",
    "write_edges",
]
