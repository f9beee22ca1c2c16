"""The comparison: freeze a window, join each pass on its tokens, deliver sorted edges (M5).

`compare_pass` runs in a worker process and opens the comparator's file read-only; the event loop never computes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trustcenter.audit import Event
from trustcenter.messages.rooms import EdgesHeader
from trustcenter.store import Connection, Location, snapshot

from .context import Context

EDGE_BYTES = 33


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
    context: Context, frozen: Frozen, parts: Sequence[Compared], edges: bytes, version: int, parameters_hash: str
) -> EdgesHeader:
    """Log the delivery of a window's edges and describe it to the registrar."""
    header = EdgesHeader(
        study=frozen.study,
        version=version,
        window=frozen.window,
        parameters_hash=parameters_hash,
        edges=len(edges) // EDGE_BYTES,
        sha256=hashlib.sha256(edges).hexdigest(),
    )

    def effect(conn: Connection) -> None:
        context.audit(
            conn,
            Event.WINDOW_DELIVER,
            "service",
            frozen.window,
            study=frozen.study,
            edges=header.edges,
            sha256=header.sha256,
            parameters=parameters_hash,
            over_cap=sum(part.over_cap for part in parts),
            blocks_skipped=sum(part.blocks_skipped for part in parts),
        )

    await context.db.write(effect)
    return header
