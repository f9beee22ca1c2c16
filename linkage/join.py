"""The comparator's half: from the rows of all sources to edges (docs/spec/keyed-passes.md, section 8).

A pure function of the set of rows: the same bytes come out whatever the order of sources, rows, passes or parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.errors import JoinInputError
from linkage.rows import EDGE, ROW, blank
from linkage.words import pack

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Rows = NDArray[np.void]
Progress = Callable[[int, int], None]

NO_CAP = 2**62
_TOGETHER = 4096  # rows, or edges, that may fall together by the first bits of what they are sorted by
BLOCK_PAIRS = 2_000_000  # pairs of rows in one block, where nothing else bounds them


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges and what happened on the way.

    Attributes:
        table: (m,) EDGE, lo < hi bytewise, sorted by (lo, hi); never within a source.
        compared: pairs of rows whose filters were compared.
        over_cap: per source, rows left out because the source has more of them in a block than the cap allows.
            A site that follows the method has none: a positive number is its fault or its attack.
        blocks_skipped: blocks left out because they have more pairs than the budget; none where there are caps.
        largest_block: rows in the largest block, before caps.
    """

    table: NDArray[np.void]
    compared: int
    over_cap: tuple[int, ...]
    blocks_skipped: int
    largest_block: int

    @property
    def n(self) -> int:
        """Number of edges."""
        return len(self.table)

    def parts(self) -> list[tuple[int, Callable[[], NDArray[np.void]]]]:
        """The edges as (number, how to get at them), for who takes them part by part: here one part."""
        return [(len(self.table), lambda: self.table)]


def join(
    rows_by_source: Sequence[Rows],
    levels: Sequence[int],
    *,
    caps: Sequence[int] | None = None,
    block_pairs: int = BLOCK_PAIRS,
    parts: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Edges:
    """Compare the rows of all sources, pass by pass, within blocks of equal tokens.

    Args:
        rows_by_source: one (n,) ROW array per source, in any order.
        levels: four ascending upper bounds on differing bits of 256; a pair above the last is no edge.
        caps: per pass, rows that one source may have in a block; without it only `block_pairs` bounds the work.
        block_pairs: upper bound on the pairs of rows of one block, where there are no caps.
        parts: cut every pass into this many ranges of tokens, to bound memory.
        workers: threads; the compiled loop releases the GIL.
        progress: called with (pieces done, pieces) from the calling thread; may raise to cancel.

    Raises:
        JoinInputError: wrong dtype, a pass without cap, levels that do not ascend, a filter without or full of bits.
    """
    _check(rows_by_source, levels, caps)
    groups = [_by_pass(rows) for rows in rows_by_source]
    passes = sorted({p for group in groups for p in group})
    pieces = [(p, part) for p in passes for part in range(parts)]

    def piece(at: tuple[int, int]) -> Edges:
        p, part = at
        chosen = [_part(rows, group.get(p), part, parts) for rows, group in zip(rows_by_source, groups, strict=True)]
        source = np.repeat(np.arange(len(chosen)), [len(c) for c in chosen])
        together = np.concatenate(chosen)
        cap = NO_CAP if caps is None else caps[p]
        return join_pass(
            together["token"], together["filter"], together["ref"], source, levels, cap=cap, block_pairs=block_pairs
        )

    found = []
    if workers > 1 and len(pieces) > 1:
        with ThreadPoolExecutor(workers) as pool:
            try:
                for done, edges in enumerate(pool.map(piece, pieces), 1):
                    found.append(edges)
                    if progress is not None:
                        progress(done, len(pieces))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    else:
        for done, at in enumerate(pieces, 1):
            found.append(piece(at))
            if progress is not None:
                progress(done, len(pieces))
    return merge(found, len(rows_by_source))


def join_pass(
    tokens: U8,
    filters: U8,
    refs: U8,
    source: I64,
    levels: Sequence[int],
    *,
    cap: int = NO_CAP,
    block_pairs: int = BLOCK_PAIRS,
) -> Edges:
    """Edges of one pass, or of a range of its tokens.

    Args:
        tokens: (n, 16) u1.
        filters: (n, 32) u1.
        refs: (n, 16) u1.
        source: (n,) i8, number of the source, from 0.
        levels: four ascending upper bounds on differing bits.
        cap: rows that one source may have in a block.
        block_pairs: pairs of rows that a block may have, where there is no cap.
    """
    return join_words(pack(tokens, filters, refs), source, levels, cap=cap, block_pairs=block_pairs)


def join_words(
    words: U64, source: I64, levels: Sequence[int], *, cap: int = NO_CAP, block_pairs: int = BLOCK_PAIRS
) -> Edges:
    """Edges of one pass, or of a range of its tokens, from packed rows; not sorted.

    Args:
        words: (n, 8) u8 of `linkage.words.pack`.
        source: (n,) i8, number of the source, from 0.
        levels: four ascending upper bounds on differing bits.
        cap: rows that one source may have in a block.
        block_pairs: pairs of rows that a block may have, where there is no cap. A cap bounds blocks by itself, and by a
            rule that does not change as sources come: a block that is left out once it has grown would have had edges
            before, and what windows find would depend on their order.
    """
    from linkage.kernels.edges import EDGE_BYTES, write_edges
    from linkage.kernels.join import group_rows, scan_blocks

    sources = int(source.max()) + 1 if len(source) else 0
    order, starts = np.empty(len(words), np.int64), np.empty(len(words) + 1, np.int64)
    runs = group_rows(words, _TOGETHER, order, starts)
    if runs < 0:
        order = np.argsort(words[:, 0])
        high = words[order, 0]
        starts = np.concatenate(([0], np.flatnonzero(high[1:] != high[:-1]) + 1, [len(order)])).astype(np.int64)
        runs = len(starts) - 1
    over, tally = np.zeros(sources, np.int64), np.zeros(3, np.int64)
    first, second, level = scan_blocks(
        starts[: runs + 1],
        order,
        words,
        np.ascontiguousarray(source, np.int64),
        np.array(levels, np.int64),
        cap,
        block_pairs if cap >= NO_CAP else NO_CAP,
        over,
        tally,
    )
    raw = np.empty(len(level) * EDGE_BYTES, np.uint8)
    write_edges(words, first, second, level, raw)
    return Edges(raw.view(EDGE), int(tally[0]), tuple(over.tolist()), int(tally[1]), int(tally[2]))


def merge(found: Sequence[Edges], sources: int) -> Edges:
    """Edges of several pieces as one table, sorted; the pieces may come in any order."""
    table = np.concatenate([np.empty(0, EDGE), *[e.table for e in found]])
    over = np.zeros(sources, np.int64)
    for edges in found:
        over[: len(edges.over_cap)] += np.array(edges.over_cap, np.int64)
    return Edges(
        sort_edges(table),
        sum(e.compared for e in found),
        tuple(over.tolist()),
        sum(e.blocks_skipped for e in found),
        max((e.largest_block for e in found), default=0),
    )


def _check(rows_by_source: Sequence[Rows], levels: Sequence[int], caps: Sequence[int] | None) -> None:
    if any(rows.dtype != ROW for rows in rows_by_source):
        raise JoinInputError("rows are not of dtype ROW")
    if len(levels) != 4 or list(levels) != sorted(set(levels)) or not 0 <= levels[0] <= levels[-1] < 256:
        raise JoinInputError("there must be four ascending levels below 256")
    if caps is not None and any(len(r) and int(r["pass"].max()) >= len(caps) for r in rows_by_source):
        raise JoinInputError("a row has a pass that has no cap")
    if any(blank(rows["filter"]) for rows in rows_by_source):
        raise JoinInputError(
            "a filter has zeros only, or ones only", hint="an encoder that works makes none; encode the source again"
        )


def _by_pass(rows: Rows) -> dict[int, I64]:
    """Row numbers of each pass."""
    column = np.ascontiguousarray(rows["pass"])
    order = np.argsort(column, kind="stable")
    ends = np.cumsum(np.bincount(column, minlength=1))
    return {p: part for p, part in enumerate(np.split(order, ends[:-1])) if len(part)}


def _part(rows: Rows, chosen: I64 | None, part: int, parts: int) -> Rows:
    """The rows of one pass, or of one of `parts` equal ranges of its tokens."""
    if chosen is None:
        return rows[:0]
    found = rows[chosen]
    if parts == 1:
        return found
    head = found["token"][:, 0].astype(np.int64) << 8 | found["token"][:, 1]
    chosen_part: Rows = found[head * parts >> 16 == part]
    return chosen_part


def sort_edges(table: NDArray[np.void]) -> NDArray[np.void]:
    """By smaller ref, larger ref, level."""
    from linkage.kernels.edges import sort_edges as sort_bytes

    raw = np.ascontiguousarray(table).view(np.uint8).reshape(-1)
    out = np.empty_like(raw)
    if not sort_bytes(raw if raw.flags.writeable else raw.copy(), _TOGETHER, out):
        return np.sort(table.view("S33")).view(EDGE)
    return out.view(EDGE)
