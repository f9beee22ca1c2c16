"""Whole rows files as the blocks of one segment, cut into buckets on the disk first (docs/spec/chunk-plan.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linkage.executors.chunks import buckets, cut
from linkage.executors.plan import Plan
from linkage.index.segment import in_order

U64 = NDArray[np.uint64]
Progress = Callable[[int, int], None]


def blocks_of(work: Path, plan: Plan, offset: int, progress: Progress) -> Iterator[tuple[int, U64]]:
    """(pass, entries in order), ascending by pass and token; memory follows a chunk of the plan.

    Args:
        work: directory for the cut rows.
        plan: over the rows files.
        offset: number of the first file's source.
        progress: called with (rows handled, rows to handle), each row twice; may raise to cancel.

    Raises:
        RowsFileError, RowsFileDamagedError: a file.
    """
    handled = 0
    for number in range(len(plan.inputs)):
        handled += cut(work, plan, number).rows
        progress(handled, 2 * plan.rows)
    for first in range(0, plan.buckets, plan.span):
        end = min(first + plan.span, plan.buckets)
        for at, (words, source) in enumerate(buckets(work, plan, first, end), first):
            owner = (source + offset).astype(np.uint64)[:, None]
            yield at >> plan.bits, in_order(np.hstack((words, owner)))
            handled += len(words)
            progress(handled, 2 * plan.rows)
