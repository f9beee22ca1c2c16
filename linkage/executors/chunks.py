"""What a chunk does: cut one input into buckets of tokens, or compare some buckets of all inputs.

A chunk reads files of the working directory (and its input) and puts one file there, in one step. It looks first
whether that file is there and whole; so it may be run again at any time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import PlanError, RowsFileDamagedError, located
from linkage.executors.plan import Plan, load
from linkage.files import mapped, new, read_head, read_part, sha256_of, write_part
from linkage.join import Edges, join_words, merge
from linkage.rows import EDGE, open_rows, stream_rows
from linkage.words import BYTES

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

CUT_MAGIC, JOIN_MAGIC = b"TCCUT_1\n", b"TCJOIN1\n"
_SLABS = 256  # of an input, as long as a slab is no smaller and no larger than
_SLAB, _LARGE_SLAB = 1 << 18, 1 << 20  # rows cut at a time: 34 MB, 136 MB


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Header of what a chunk leaves behind.

    Attributes:
        plan: hash of the plan.
        chunk: its name.
        n: entries of the body: slabs (cut) or edges (join).
        rows: rows cut, or looked at.
        compared: pairs of rows whose filters were compared.
        over_cap: per source, rows left out because the source has more of them in a block than the cap allows.
        blocks_skipped: blocks left out because they have more pairs than the budget.
        largest_block: rows in the largest block.
        sha256: of the body.
        data: of the rows that a cut wrote beside it, else "".
    """

    plan: str
    chunk: str
    n: int
    rows: int
    compared: int = 0
    over_cap: tuple[int, ...] = ()
    blocks_skipped: int = 0
    largest_block: int = 0
    sha256: str
    data: str = ""


def part(work: Path, chunk: str) -> Path:
    """Where a chunk leaves its result."""
    return work / f"{chunk}.part"


def data(work: Path, chunk: str) -> Path:
    """Where a cut leaves its rows."""
    return work / f"{chunk}.rows"


def whole(work: Path, plan: Plan, chunk: str, *, deep: bool = True) -> Report | None:
    """The report of a chunk if its result is there, of this plan and undamaged.

    Args:
        work: working directory.
        plan: its plan.
        chunk: name.
        deep: hash the rows of a cut, too.
    """
    found = read_part(part(work, chunk), JOIN_MAGIC if chunk.startswith("join") else CUT_MAGIC, Report)
    if found is None:
        return None
    report, body = found
    if (report.plan, report.chunk) != (plan.hash, chunk) or hashlib.sha256(body).hexdigest() != report.sha256:
        return None
    if report.data:
        rows = data(work, chunk)
        if not rows.exists() or rows.stat().st_size != report.rows * BYTES or (deep and sha256_of(rows) != report.data):
            return None
    return report


def status(work: Path) -> dict[str, bool]:
    """Chunk → whether its result is there and of the plan; quick, so rows are not hashed."""
    plan = load(work)
    return {chunk: whole(work, plan, chunk, deep=False) is not None for chunk in plan.chunks}


def cut(work: Path, plan: Plan, number: int) -> Report:
    """Sort the rows of one input by bucket, slab by slab, and check the file while it passes.

    Raises:
        PlanError: the file is not the one that was planned.
        RowsFileError, RowsFileDamagedError: as `stream_rows`.
    """
    from linkage.kernels.cut import cut_rows

    name, planned = plan.cuts[number], plan.inputs[number]
    path = Path(planned.path)
    if open_rows(path)[0].sha256 != planned.sha256:
        raise PlanError("a rows file has changed since the plan was made", where=f"source {number + 1}")
    counts = []
    digest = hashlib.sha256()
    rows = 0
    size = min(planned.rows, max(_SLAB, min(_LARGE_SLAB, planned.rows // _SLABS)))
    bucket, count = np.empty(size, np.uint16), np.empty(plan.buckets, np.int64)
    words = np.empty((size, 8), np.uint64)
    with new(data(work, name)) as file, located(f"source {number + 1}"):
        for slab in stream_rows(path, max(size, 1)):
            raw = slab.view(np.uint8).reshape(-1)
            cut_rows(raw, len(slab), plan.bits, bucket, count, words)
            counts.append(count.astype("<u4"))
            filled = words[: len(slab)].data
            digest.update(filled)
            file.write(filled)
            rows += len(slab)
    if rows != planned.rows:
        raise RowsFileDamagedError("a rows file changed while it was read", where=f"source {number + 1}")
    body = np.array(counts, "<u4").reshape(len(counts), plan.buckets).tobytes()
    report = Report(
        plan=plan.hash,
        chunk=name,
        n=len(counts),
        rows=rows,
        sha256=hashlib.sha256(body).hexdigest(),
        data=digest.hexdigest(),
    )
    write_part(part(work, name), CUT_MAGIC, report, [body])
    return report


@dataclass(frozen=True)
class _Cut:
    """Where the buckets of one input lie in its file of rows.

    Attributes:
        begins: (slabs,) first row of each slab.
        bounds: (slabs, buckets + 1) where each bucket starts, from the start of its slab.
    """

    begins: I64
    bounds: I64


@lru_cache(maxsize=1000)
def _cut_of(work: Path, plan_hash: str, buckets: int, name: str) -> _Cut:
    found = read_part(part(work, name), CUT_MAGIC, Report)
    if found is None or found[0].plan != plan_hash or hashlib.sha256(found[1]).hexdigest() != found[0].sha256:
        raise PlanError("an input is not cut yet, or was cut under another plan", where=name)
    counts = np.frombuffer(found[1], "<u4").reshape(found[0].n, buckets).astype(np.int64)
    bounds = np.zeros((len(counts), buckets + 1), np.int64)
    np.cumsum(counts, axis=1, out=bounds[:, 1:])
    return _Cut(np.concatenate(([0], np.cumsum(bounds[:, -1])))[:-1].astype(np.int64), bounds)


def join(work: Path, plan: Plan, number: int) -> Report:
    """Compare the rows of some buckets of all inputs and leave their edges, sorted.

    Raises:
        PlanError: an input is not cut.
    """
    name = plan.joins[number]
    first = number * plan.span
    end = min(first + plan.span, plan.buckets)
    found: list[Edges] = []
    rows = 0
    for at, (words, source) in enumerate(buckets(work, plan, first, end), first):
        rows += len(words)
        cap = plan.caps[at >> plan.bits]
        found.append(join_words(words, source, plan.levels, cap=cap))
    edges = merge(found, len(plan.inputs))
    body = edges.table.tobytes()
    report = Report(
        plan=plan.hash,
        chunk=name,
        n=len(edges.table),
        rows=rows,
        compared=edges.compared,
        over_cap=edges.over_cap,
        blocks_skipped=edges.blocks_skipped,
        largest_block=edges.largest_block,
        sha256=hashlib.sha256(body).hexdigest(),
    )
    write_part(part(work, name), JOIN_MAGIC, report, [body])
    return report


def buckets(work: Path, plan: Plan, first: int, end: int) -> Iterator[tuple[U64, I64]]:
    """Rows and their sources, bucket by bucket; what lies together on disk is read at once."""
    cuts = [_cut_of(work, plan.hash, plan.buckets, name) for name in plan.cuts]
    pieces: list[tuple[int, U64, I64]] = []  # source, rows of one slab, where its buckets start
    for source, (name, where) in enumerate(zip(plan.cuts, cuts, strict=True)):
        with data(work, name).open("rb", buffering=0) as file:
            for begin, bounds in zip(where.begins.tolist(), where.bounds, strict=True):
                at = bounds[first : end + 1]
                words = np.empty((int(at[-1] - at[0]), 8), np.uint64)
                file.seek((begin + int(at[0])) * BYTES)
                _fill(file, words, name)
                pieces.append((source, words, at - at[0]))
    for k in range(end - first):
        parts = [(source, words[at[k] : at[k + 1]]) for source, words, at in pieces]
        yield _together(parts)


def _together(parts: Sequence[tuple[int, U64]]) -> tuple[U64, I64]:
    words = np.concatenate([w for _, w in parts]) if parts else np.empty((0, 8), np.uint64)
    source = np.repeat(np.array([s for s, _ in parts], np.int64), [len(w) for _, w in parts])
    return words, source


def _fill(file: object, words: U64, name: str) -> None:
    if not words.nbytes:
        return
    view = memoryview(words.reshape(-1).view(np.uint8).data)
    while len(view):
        n = file.readinto(view)  # type: ignore[attr-defined]
        if not n:
            raise PlanError("the rows of a cut are shorter than they should be", where=name)
        view = view[n:]


def report_of(work: Path, plan: Plan, chunk: str) -> Report:
    """Report of a join that is done; its edges are not looked at.

    Raises:
        PlanError: it is not done.
    """
    found = read_head(part(work, chunk), JOIN_MAGIC, Report)
    if found is None or found[0].plan != plan.hash:
        raise PlanError("a chunk is missing or damaged", hint="run the comparison again; it goes on", where=chunk)
    return found[0]


def mapped_edges(work: Path, plan: Plan, chunk: str) -> NDArray[np.void]:
    """(m,) EDGE of a join that is done, checked; they stay on the disk, read where they are used.

    Raises:
        PlanError: it is not done, or damaged.
    """
    report = report_of(work, plan, chunk)
    with part(work, chunk).open("rb") as file:
        begin = os.fstat(file.fileno()).st_size - report.n * EDGE.itemsize
        table = mapped(file, EDGE, begin, report.n if begin >= 0 else 0)
    if begin < 0 or hashlib.sha256(table.view(np.uint8).data).hexdigest() != report.sha256:
        raise PlanError("a chunk is missing or damaged", hint="run the comparison again; it goes on", where=chunk)
    return table


def edges_of(work: Path, plan: Plan, chunk: str) -> tuple[Report, NDArray[np.void]]:
    """Report and (m,) EDGE of a join that is done.

    Raises:
        PlanError: it is not done, or damaged.
    """
    found = read_part(part(work, chunk), JOIN_MAGIC, Report)
    if found is None or found[0].plan != plan.hash or hashlib.sha256(found[1]).hexdigest() != found[0].sha256:
        raise PlanError("a chunk is missing or damaged", hint="run the comparison again; it goes on", where=chunk)
    return found[0], np.frombuffer(found[1], EDGE)
