"""A window at the comparator: which rows are fresh, what was delivered, what the registrar has applied (M5).

Rows are packed by pass and token, so their table is itself the index in which the rows of a window look for others of
their block: nothing beside it could be missing, behind, or forgotten when a study is purged.

An upload is *fresh* until a window that compared it is applied at the registrar. Which one that is, the registrar says
with its next order, by the hash of the delivery that it applied last; where it names a delivery that is not known here,
one of the two stores was restored alone, and everything is compared again.
"""

from __future__ import annotations

import itertools
import json

from trustcenter.audit import Event
from trustcenter.errors import NotFoundError
from trustcenter.messages.rooms import EdgesHeader, SourceRows, WindowOrder, WindowState
from trustcenter.store import Connection, Migration

from . import deliveries, placing
from .context import Context
from .frozen import Frozen
from .pieces import Joined

MIGRATIONS = (
    Migration(
        number=571,
        name="what windows have compared",
        sql="""
        ALTER TABLE upload ADD COLUMN compared INTEGER;  -- the window that compared it first; none: it is to come
        ALTER TABLE upload ADD COLUMN held INTEGER NOT NULL DEFAULT 0;  -- rows that are not retired
        UPDATE upload SET held = (SELECT count(*) FROM row r WHERE r.upload = upload.number);
        ALTER TABLE study ADD COLUMN applied_window INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE study ADD COLUMN applied_link TEXT NOT NULL DEFAULT '';
        """,
    ),
)


def require_study(conn: Connection, study: str) -> None:
    """Refuse a study that the comparator was told nothing of.

    Raises:
        NotFoundError: it was not.
    """
    if conn.execute("SELECT 1 FROM study WHERE name = ?", (study,)).fetchone() is None:
        raise NotFoundError("the comparator does not know this study", code="unknown_study")


async def freeze(context: Context, order: WindowOrder) -> Frozen:
    """Fix what a window compares: what is live now. Asking again for the same window is harmless."""

    def effect(conn: Connection) -> Frozen:
        _catch_up(conn, order)
        conn.execute(
            "UPDATE upload SET compared = ? WHERE study = ? AND state = 'live' AND (compared IS NULL OR compared >"
            " (SELECT applied_window FROM study WHERE name = ?))",
            (order.window, order.study, order.study),
        )
        frozen = look(conn, order)
        if conn.execute(
            "UPDATE study SET window_number = ? WHERE name = ? AND window_number <= ?",
            (order.window + 1, order.study, order.window),
        ).rowcount:
            context.audit(
                conn,
                Event.WINDOW_FREEZE,
                "service",
                order.window,
                study=order.study,
                rows=[{"source": name, "rows": n} for name, n in zip(frozen.sources, frozen.rows, strict=True)],
                fresh=frozen.fresh_rows,
            )
        return frozen

    return await context.db.write(effect)


def look(conn: Connection, order: WindowOrder) -> Frozen:
    """What a window compares, or would compare now. Changes nothing."""
    number, passes, levels, caps, sources = conn.execute(
        "SELECT number, passes, levels, caps, sources FROM study WHERE name = ?", (order.study,)
    ).fetchone()
    names, applied = tuple(json.loads(sources)), _applied(conn, order)
    live = conn.execute(
        "SELECT number, source, held, compared FROM upload WHERE study = ? AND state = 'live' ORDER BY number",
        (order.study,),
    ).fetchall()
    fresh = {upload: held for upload, _, held, compared in live if compared is None or compared > applied}
    return Frozen(
        study=order.study,
        number=number,
        window=order.window,
        passes=passes,
        levels=tuple(json.loads(levels)),
        caps=tuple(json.loads(caps)),
        uploads=tuple((upload, names.index(source)) for upload, source, _, _ in live),
        fresh=frozenset(fresh),
        sources=names,
        rows=tuple(sum(held for _, source, held, _ in live if source == name) for name in names),
        fresh_rows=sum(fresh.values()),
    )


def _applied(conn: Connection, order: WindowOrder) -> int:
    """The window that the registrar applied last; 0: none, or one that is not known here, or everything is wanted."""
    query = "SELECT applied_window, applied_link FROM study WHERE name = ?"
    window, link = conn.execute(query, (order.study,)).fetchone()
    if order.full:
        return 0
    if order.previous == link:
        return int(window)
    found = deliveries.find_link(conn, order.study, order.previous)
    return found.window if found is not None and found.window > window else 0


def _catch_up(conn: Connection, order: WindowOrder) -> None:
    """Take what the registrar applied as compared, or start anew."""
    window = _applied(conn, order)
    if window == 0:
        compare_all_again(conn, order.study)
        return
    note_applied(conn, order.study, window, order.previous)


def note_applied(conn: Connection, study: str, window: int, link: str) -> None:
    """Take the uploads of a window, and of all before it, as compared: the registrar has applied its delivery."""
    conn.execute(
        "UPDATE study SET applied_window = ?, applied_link = ? WHERE name = ? AND applied_window <= ?",
        (window, link, study, window),
    )
    placing.compared(conn, study, window)


def compare_all_again(conn: Connection, study: str) -> None:
    """The next window of a study compares all its rows, whatever was delivered before."""
    conn.execute("UPDATE upload SET compared = NULL WHERE study = ?", (study,))
    conn.execute("UPDATE study SET applied_window = 0, applied_link = '' WHERE name = ?", (study,))


async def deliver(context: Context, frozen: Frozen, joined: Joined, order: WindowOrder) -> WindowState:
    """Log that the edges of a window lie ready, and describe them to the registrar."""
    header = EdgesHeader(
        study=frozen.study,
        version=order.version,
        window=frozen.window,
        parameters_hash=order.parameters_hash,
        edges=joined.edges,
        sha256=joined.sha256,
        previous=order.previous,
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
            **({"previous": header.previous} if header.previous else {}),
            over_cap=joined.over_cap,
            blocks_skipped=joined.blocks_skipped,
        )

    await context.db.write(effect)
    return state
