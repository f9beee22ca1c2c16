"""What the registrar tells the comparator: parameters (M0), accepted uploads, retired refs (M6). All idempotent."""

from __future__ import annotations

import json

from trustcenter.audit import Event
from trustcenter.messages.rooms import Accept, Params, Retire, RoomMessage, StudyPhase
from trustcenter.store import Connection

from .context import Context


async def carry_out(context: Context, message: RoomMessage) -> int:
    """Carry out what the registrar says; returns how many rows of a study are left after a `StudyPhase`, else 0."""
    match message:
        case Params():
            await put_params(context, message)
        case Accept():
            await accept(context, message)
        case Retire():
            await retire(context, message)
        case StudyPhase():
            return await phase(context, message)
    return 0


async def put_params(context: Context, params: Params) -> None:
    """Learn the frozen parameters of a study (M0), and later of sources that join. Repeated, it is harmless."""

    def effect(conn: Connection) -> None:
        known = conn.execute("SELECT sources FROM study WHERE name = ?", (params.study,)).fetchone()
        if known is not None:
            # An older message may come again: sources are added, never taken away.
            sources = sorted({*json.loads(known[0]), *params.sources})
            conn.execute("UPDATE study SET sources = ? WHERE name = ?", (json.dumps(sources), params.study))
            return
        conn.execute(
            "INSERT INTO study (name, version, fingerprint, passes, levels, caps, minimum_rows, sources, window_number)"
            " VALUES (?,?,?,?,?,?,?,?,1)",
            (
                params.study,
                params.version,
                params.fingerprint,
                params.passes,
                json.dumps(params.levels),
                json.dumps(params.caps),
                params.minimum_rows,
                json.dumps(params.sources),
            ),
        )
        context.audit(
            conn,
            Event.STUDY_PARAMS,
            "registrar",
            1,
            study=params.study,
            version=params.version,
            fingerprint=params.fingerprint,
            passes=params.passes,
        )

    await context.db.write(effect)


async def accept(context: Context, message: Accept) -> None:
    """The registrar holds a map that fits this upload: its rows count from now on. Twice is harmless."""

    def effect(conn: Connection) -> None:
        row = conn.execute(
            "SELECT u.state, u.source, s.window_number FROM upload u JOIN study s ON s.name = u.study"
            " WHERE u.id = ? AND u.study = ?",
            (message.upload, message.study),
        ).fetchone()
        if row is None or row[0] != "staged":
            return
        conn.execute("UPDATE upload SET state = 'live' WHERE id = ?", (message.upload,))
        conn.execute("DELETE FROM chunk WHERE upload = (SELECT number FROM upload WHERE id = ?)", (message.upload,))
        context.audit(conn, Event.ROWS_ACCEPT, row[1], row[2], study=message.study, upload=message.upload)

    await context.db.write(effect)


async def retire(context: Context, message: Retire) -> None:
    """Drop rows whose refs the registrar no longer holds (M6). Twice is harmless."""

    def effect(conn: Connection) -> None:
        context.db.forget_soon()
        refs = [message.refs[start : start + 16] for start in range(0, len(message.refs), 16)]
        number, window = conn.execute(
            "SELECT number, window_number FROM study WHERE name = ?", (message.study,)
        ).fetchone()
        conn.executemany("DELETE FROM row WHERE study = ? AND ref = ?", [(number, ref) for ref in refs])
        context.audit(conn, Event.ROWS_RETIRE, "registrar", window, study=message.study, rows=len(refs))

    await context.db.write(effect)


async def phase(context: Context, message: StudyPhase) -> int:
    """Take rows of a study or no more; purge those it has. Twice is harmless; a study never heard of has none.

    Returns:
        How many rows of the study are left, counted after the purge.
    """

    def effect(conn: Connection) -> int:
        row = conn.execute("SELECT number, window_number FROM study WHERE name = ?", (message.study,)).fetchone()
        if row is None:
            return 0
        number, window = row
        conn.execute("UPDATE study SET takes_rows = ? WHERE number = ?", (int(message.takes_rows), number))
        if message.purge:
            context.db.forget_soon()
            purged = conn.execute("DELETE FROM row WHERE study = ?", (number,)).rowcount
            uploads = "SELECT number FROM upload WHERE study = ?"
            conn.execute(f"DELETE FROM chunk WHERE upload IN ({uploads})", (message.study,))  # noqa: S608 - constant
            conn.execute("DELETE FROM upload WHERE study = ?", (message.study,))
            context.audit(conn, Event.ROWS_PURGE, "registrar", window, study=message.study, rows=purged)
        return int(conn.execute("SELECT count(*) FROM row WHERE study = ?", (number,)).fetchone()[0])

    return await context.db.write(effect)
