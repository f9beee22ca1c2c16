"""The comparison itself, in worker processes: pieces of passes are joined on tokens, then merged into one sorted file.

A piece is a range of tokens of one pass. A window with few fresh rows looks up their tokens only; one with many reads
the ranges whole. Either way the edges are those that touch a fresh row: of others, what lies in one block with a fresh
row must not be told again, since that would say which edges share a block.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.store import Connection, Location, snapshot
from trustcenter.store.packed import PARTS, Keys, take

from . import placing
from .frozen import Frozen

U8 = NDArray[np.uint8]

PIECE_ROWS: Final = 1_000_000  # read at a time by one worker: about 400 MB with what the join needs
LOOK_UP_SHARE: Final = 20  # a row looked up costs as much as so many that are read in order
_MERGE_EDGES: Final = 2_000_000  # sorted at a time


@dataclass(frozen=True)
class Piece:
    """A range of tokens of one pass, and the tokens to look up in it; None: all there are.

    Attributes:
        number: of the piece in its window.
        pass_number: of the pass.
        first: smallest first byte of its tokens.
        end: the byte behind the greatest.
        tokens: 16 bytes each, packed.
    """

    number: int
    pass_number: int
    first: int
    end: int
    tokens: bytes | None


@dataclass(frozen=True)
class Found:
    """What was left out of one piece: rows over a source's cap, blocks over the budget."""

    over_cap: int
    blocks_skipped: int


@dataclass(frozen=True)
class Joined:
    """The edges of a window in a file: how many, their digest, and what was left out."""

    edges: int
    sha256: str
    over_cap: int
    blocks_skipped: int


def looks_up(frozen: Frozen) -> bool:
    """Whether a window looks its tokens up, instead of reading everything."""
    return frozen.fresh_rows * LOOK_UP_SHARE < sum(frozen.rows)


def plan(place: Location, frozen: Frozen) -> list[Piece]:
    """The pieces of a window. Runs in a worker process.

    Args:
        place: the comparator's store.
        frozen: what the window compares.
    """
    if looks_up(frozen):
        with snapshot(place) as conn:
            tokens = _fresh_tokens(conn, frozen)
        if tokens is not None:
            return [Piece(p, p, 0, PARTS, tokens[p]) for p in range(frozen.passes) if tokens[p]]
    parts = min(-(-max(sum(frozen.rows), 1) // (frozen.passes * PIECE_ROWS)), PARTS)
    bounds = [part * PARTS // parts for part in range(parts + 1)]
    ranges = list(itertools.pairwise(bounds))
    return [
        Piece(p * parts + i, p, first, end, None) for p in range(frozen.passes) for i, (first, end) in enumerate(ranges)
    ]


def _fresh_tokens(conn: Connection, frozen: Frozen) -> list[bytes] | None:
    """Tokens of the fresh rows, per pass; None if those of a fresh upload are not at hand any more."""
    found = []
    for number in range(frozen.passes):
        tokens = placing.fresh_tokens(conn, sorted(frozen.fresh), number)
        if tokens is None:
            return None
        found.append(tokens.tobytes())
    return found


def join_piece(place: Location, frozen: Frozen, piece: Piece, folder: Path) -> Found:
    """Write the edges of a piece that touch a fresh row, sorted, into `folder`. Runs in a worker process.

    Args:
        place: the comparator's store.
        frozen: what the window compares.
        piece: of the plan.
        folder: of the window.
    """
    from linkage.join import join_pass

    with snapshot(place) as conn:
        rows = _read(conn, frozen, piece)
    sources, fresh = _of_uploads(frozen, rows["upload"])
    if (sources < 0).any():  # of uploads that are not live any more
        live = np.flatnonzero(sources >= 0)
        rows, sources, fresh = take(rows, live), sources[live], fresh[live]
    edges = join_pass(
        tokens=rows["token"],
        filters=rows["filter"],
        refs=rows["ref"],
        source=sources,
        levels=frozen.levels,
        cap=frozen.caps[piece.pass_number],
    )
    table = edges.table if bool(fresh.all()) else _touching(edges.table, rows["ref"][fresh])
    table.tofile(folder / f"{piece.number}.piece")
    return Found(sum(edges.over_cap), edges.blocks_skipped)


def _of_uploads(frozen: Frozen, uploads: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of the upload of each row: number of its source, -1 if it is not live, and whether it is fresh."""
    known = np.array([*frozen.uploads, (0, -1)], np.int64)
    first, last = int(known[:-1, 0].min(initial=0)), int(known[:, 0].max())
    sources = np.full(last - first + 2, -1, np.int64)  # the last for all that are not known
    sources[known[:-1, 0] - first] = known[:-1, 1]
    fresh = np.zeros(len(sources), np.bool_)
    fresh[np.array(sorted(frozen.fresh), np.int64) - first] = True
    places = uploads.astype(np.int64) - first
    places[(places < 0) | (places > last - first)] = len(sources) - 1
    return sources[places], fresh[places]


def _touching(table: NDArray[np.void], refs: U8) -> NDArray[np.void]:
    """The edges that have one of these refs."""
    from linkage.index.refs import members
    from linkage.rows import as_words

    chosen = np.unique(refs, axis=0)
    sides = [members(*as_words(table[side]), chosen) for side in ("lo", "hi")]
    return table[sides[0] | sides[1]]


def _read(conn: Connection, frozen: Frozen, piece: Piece) -> NDArray[np.void]:
    """(n,) PLACED: the rows of a piece."""
    where = placing.space(frozen.number, piece.pass_number)
    if piece.tokens is None:
        found = placing.ROWS.read(conn, where, piece.first, piece.end)
    else:
        tokens = np.frombuffer(piece.tokens, np.uint8).reshape(-1, placing.TOKEN_BYTES)
        found = placing.ROWS.find(conn, where, Keys.of(tokens))
    return np.concatenate([np.empty(0, placing.PLACED), *found])


def merge(folder: Path, target: Path, found: Sequence[Found]) -> Joined:
    """All edges of a window as one file in one canonical order: by ref pair, which hides passes and blocks.

    Refs are evenly spread, so the pieces are merged range by range of refs, and memory follows the range. The file is
    durable before the delivery is: a header without its edges would have to be made again.

    Args:
        folder: of the pieces.
        target: the file.
        found: of the pieces.
    """
    from linkage.join import sort_edges
    from linkage.rows import EDGE

    tables = [np.memmap(path, EDGE, "r") for path in sorted(folder.glob("*.piece")) if path.stat().st_size]
    total = sum(map(len, tables))
    heads = [np.array(table["lo"][:, :2]).reshape(-1, 2).astype(np.int64) @ (256, 1) for table in tables]
    ranges = min(1 + total // _MERGE_EDGES, 65536)
    digest, kept = hashlib.sha256(), 0
    fresh = target.with_suffix(".edges-new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for number in range(ranges):
            first, end = number * 65536 // ranges, (number + 1) * 65536 // ranges
            parts = [
                table[np.searchsorted(head, first) : np.searchsorted(head, end)]
                for table, head in zip(tables, heads, strict=True)
            ]
            packed = sort_edges(np.concatenate([np.empty(0, EDGE), *parts])).tobytes()
            digest.update(packed)
            file.write(packed)
            kept += len(packed) // EDGE_BYTES
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(target)
    return Joined(kept, digest.hexdigest(), sum(f.over_cap for f in found), sum(f.blocks_skipped for f in found))
