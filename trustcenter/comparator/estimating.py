"""How much a window would compare, from a sample of its rows; in a worker process, and nothing is changed."""

from __future__ import annotations

from typing import Final

from trustcenter.messages.rooms import WindowEstimate
from trustcenter.store import Connection, Location, snapshot

from .compare import Frozen
from .pieces import looks_up

_SAMPLE: Final = 2_000  # rows whose blocks are counted


def estimate(place: Location, frozen: Frozen) -> WindowEstimate:
    """What a window would compare.

    Args:
        place: the comparator's store.
        frozen: what the window would compare.
    """
    rows = sum(frozen.rows)
    with snapshot(place) as conn:
        sample = _sample(conn, frozen)
        source_of = dict(frozen.uploads)
        others = 0
        for number, token, upload in sample:
            query = "SELECT upload FROM row WHERE study = ? AND pass = ? AND token = ?"
            block = conn.execute(query, (frozen.number, number, token)).fetchall()
            others += sum(source_of.get(other, source_of[upload]) != source_of[upload] for (other,) in block)
    each = others / len(sample) if sample else 0.0
    # Where nearly all rows are fresh, a pair is met from both of its sides.
    twice = 1 + frozen.fresh_rows / rows if rows else 1
    return WindowEstimate(
        study=frozen.study,
        rows=rows,
        fresh_rows=frozen.fresh_rows,
        comparisons=round(each * frozen.fresh_rows / twice),
        reads_everything=not looks_up(frozen),
    )


def _sample(conn: Connection, frozen: Frozen) -> list[tuple[int, bytes, int]]:
    """(pass, token, upload) of some fresh rows. Tokens are evenly spread, so the smallest are as good as any."""
    found: list[tuple[int, bytes, int]] = []
    for upload in sorted(frozen.fresh):
        for (packed,) in conn.execute("SELECT refs FROM chunk WHERE upload = ? ORDER BY chunk", (upload,)):
            for at in range(0, min(len(packed), 16 * _SAMPLE), 16):
                query = "SELECT pass, token, upload FROM row WHERE study = ? AND ref = ?"
                found += conn.execute(query, (frozen.number, packed[at : at + 16])).fetchall()
            if len(found) >= _SAMPLE:
                return found
    if found:
        return found
    for number in range(frozen.passes):
        query = "SELECT pass, token, upload FROM row WHERE study = ? AND pass = ? ORDER BY token LIMIT ?"
        rows = conn.execute(query, (frozen.number, number, 1 + _SAMPLE // frozen.passes))
        found += [row for row in rows if row[2] in frozen.fresh]
    return found
