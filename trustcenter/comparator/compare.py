"""The comparison: freeze a window, join each pass on its tokens, deliver sorted edges (M5).

`compare_pass` runs in a worker process and opens the comparator's file read-only; the event loop never computes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trustcenter.audit import Event
from trustcenter.errors import NotFoundError
from trustcenter.messages.rooms import EdgesHeader, SourceRows, WindowOrder, WindowState
from trustcenter.store import Connection, Location, snapshot

from . import deliveries
from .context import Context


@dataclass(frozen=True)
class Compared:
    """Edges of one pass, packed, and what was left out: rows over a source's cap, blocks over the budget."""

    edges: bytes
    over_cap: int
    blocks_skipped: int


@dataclass(frozen=True)
class Frozen:
    """What one window compares: uploads by number with their source, and rows per source."""

    study: str
    window: int
    passes: int
    levels: tuple[int, ...]
    caps: tuple[int, ...]
    uploads: tuple[tuple[int, int], ...]  # (upload number, source index)
    sources: tuple[str, ...]
    rows: tuple[int, ...]  # live rows per source


def require_study(conn: Connection, study: str) -> None:
    """Refuse a study that the comparator was told nothing of.

    Raises:
        NotFoundError: it was not.
    """
    if conn.execute("SELECT 1 FROM study WHERE name = ?", (study,)).fetchone() is None:
        raise NotFoundError("the comparator does not know this study", code="unknown_study")


async def freeze(context: Context, study: str, window: int) -> Frozen:
    """Fix what a window compares: everything live now. Asking again for the same window is harmless."""

    def effect(conn: Connection) -> Frozen:
        passes, levels, caps, sources, current = conn.execute(
            "SELECT passes, levels, caps, sources, window_number FROM study WHERE name = ?", (study,)
        ).fetchone()
        names = tuple(json.loads(sources))
        uploads = tuple(
            (number, names.index(source))
            for number, source in conn.execute(
                "SELECT number, source FROM upload WHERE study = ? AND state = 'live' ORDER BY number",
                (study,),
            )
        )
        counts = [0] * len(names)
        held = dict(
            conn.execute(
                "SELECT r.upload, count(*) FROM row r JOIN study s ON s.number = r.study"
                " WHERE s.name = ? GROUP BY r.upload",
                (study,),
            )
        )
        for number, source in uploads:
            counts[source] += held.get(number, 0)
        if window >= current:
            conn.execute("UPDATE study SET window_number = ? WHERE name = ?", (window + 1, study))
            context.audit(
                conn,
                Event.WINDOW_FREEZE,
                "service",
                window,
                study=study,
                rows=[{"source": name, "rows": count} for name, count in zip(names, counts, strict=True)],
            )
        return Frozen(
            study, window, passes, tuple(json.loads(levels)), tuple(json.loads(caps)), uploads, names, tuple(counts)
        )

    return await context.db.write(effect)


def compare_pass(place: Location, frozen: Frozen, pass_number: int) -> Compared:
    """Edges of one pass. Runs in a worker process.

    Args:
        place: the comparator's store.
        frozen: what the window compares.
        pass_number: which pass.
    """
    from linkage.join import join_pass

    source_of = dict(frozen.uploads)
    with snapshot(place) as conn:
        rows = [
            row
            for row in conn.execute(
                "SELECT r.token, r.ref, r.upload, r.filter FROM row r JOIN study s ON s.number = r.study"
                " WHERE s.name = ? AND r.pass = ?",
                (frozen.study, pass_number),
            )
            if row[2] in source_of
        ]
    count = len(rows)
    edges = join_pass(
        tokens=np.frombuffer(b"".join(row[0] for row in rows), dtype=np.uint8).reshape(count, 16),
        filters=np.frombuffer(b"".join(row[3] for row in rows), dtype=np.uint8).reshape(count, 32),
        refs=np.frombuffer(b"".join(row[1] for row in rows), dtype=np.uint8).reshape(count, 16),
        source=np.fromiter((source_of[row[2]] for row in rows), dtype=np.int64, count=count),
        levels=frozen.levels,
        cap=frozen.caps[pass_number],
    )
    return Compared(edges.table.tobytes(), sum(edges.over_cap), edges.blocks_skipped)


def merge(parts: Sequence[bytes]) -> bytes:
    """All edges of a window in one canonical order: sorted by ref pair, which hides passes and blocks."""
    from linkage.join import Edges
    from linkage.join import merge as merge_edges
    from linkage.rows import EDGE

    return merge_edges([Edges(np.frombuffer(part, dtype=EDGE), 0, (), 0, 0) for part in parts], 0).table.tobytes()


async def deliver(
    context: Context, frozen: Frozen, parts: Sequence[Compared], edges: int, sha256: str, order: WindowOrder
) -> WindowState:
    """Log that the edges of a window lie ready, and describe them to the registrar."""
    header = EdgesHeader(
        study=frozen.study,
        version=order.version,
        window=frozen.window,
        parameters_hash=order.parameters_hash,
        edges=edges,
        sha256=sha256,
    )
    state = WindowState(
        study=frozen.study,
        window=frozen.window,
        state="delivered",
        header=header,
        sources=tuple(itertools.starmap(SourceRows, zip(frozen.sources, frozen.rows, strict=True))),
    )

    def effect(conn: Connection) -> None:
        deliveries.keep(conn, state)
        context.audit(
            conn,
            Event.WINDOW_DELIVER,
            "service",
            frozen.window,
            study=frozen.study,
            edges=header.edges,
            sha256=header.sha256,
            parameters=order.parameters_hash,
            over_cap=sum(part.over_cap for part in parts),
            blocks_skipped=sum(part.blocks_skipped for part in parts),
        )

    await context.db.write(effect)
    return state


def compare_all_again(conn: Connection, study: str) -> None:
    """The next window of a study compares all its rows. So it does anyway: nothing is kept of earlier windows."""
