"""M7 at the comparator: after either store was restored alone, the registrar says what there is, and the rest goes."""

from __future__ import annotations

from trustcenter.audit import Event
from trustcenter.messages.reconcile import ReconciledRefs, ReconciledStudy, ReconcileRefs, ReconcileStudy, Rejoin
from trustcenter.store import Connection, select_in

from . import ahead, compare, instructions, ledger, placing
from .context import Context

REF_BYTES = 16


async def study(context: Context, message: ReconcileStudy) -> ReconciledStudy:
    """Learn a study again, and which of its uploads are accepted. The next window compares all of it."""
    await _drop_old(context, message)
    await ahead.place(context, message.params.study, message.accepted)

    def effect(conn: Connection) -> ReconciledStudy:
        name = message.params.study
        instructions.put_params(context, conn, message.params)
        instructions.phase(context, conn, message.phase)
        number, following = conn.execute("SELECT number, window_number FROM study WHERE name = ?", (name,)).fetchone()
        query = "SELECT number FROM upload WHERE study = ? AND state = 'staged' AND id IN {values}"
        for (upload,) in list(select_in(conn, query, (name,), message.accepted)):
            placing.place(conn, number, upload)
            conn.execute("UPDATE upload SET state = 'live' WHERE number = ?", (upload,))
        ledger.lose(conn, name, message.accepted)
        compare.compare_all_again(conn, name)
        return ReconciledStudy(following - 1)

    return await context.db.write(effect, large=True)


async def _drop_old(context: Context, message: ReconcileStudy) -> None:
    """Drop live rows that come again in an upload which becomes live before its turn, and with it before the message
    that would have dropped them: a correction that was undone.
    """

    def effect(conn: Connection) -> None:
        query = "SELECT s.number, u.number FROM upload u JOIN study s ON s.name = u.study"
        query += " WHERE u.study = ? AND u.state = 'staged' AND u.id IN {values}"
        for number, upload in list(select_in(conn, query, (message.params.study,), message.accepted)):
            for rows in placing.bodies(conn, upload):
                placing.remove(conn, number, rows["ref"].tobytes())

    await context.db.write(effect, large=True)


async def refs(context: Context, message: ReconcileRefs, *, drop: bool = True) -> ReconciledRefs:
    """Drop live rows of a range whose refs the registrar does not hold; name those of its refs that have no row.

    Args:
        context: the comparator.
        message: all refs that the registrar holds in the range.
        drop: False where the question comes again: rows that came since are in no question that was asked before.
    """
    packed = message.refs
    held = {packed[at : at + REF_BYTES] for at in range(0, len(packed), REF_BYTES)}

    def effect(conn: Connection) -> ReconciledRefs:
        compare.require_study(conn, message.study)
        (number,) = conn.execute("SELECT number FROM study WHERE name = ?", (message.study,)).fetchone()
        placed = placing.REFS.between(conn, number, message.low, message.high)["ref"].tobytes()
        here = {placed[at : at + REF_BYTES] for at in range(0, len(placed), REF_BYTES)}
        gone = sorted(here - held) if drop else []
        if gone:
            context.db.forget_soon()
            placing.remove(conn, number, b"".join(gone))
        return ReconciledRefs(b"".join(sorted(held - here)), len(gone))

    return await context.db.write(effect, large=True)


async def rejoin(context: Context, message: Rejoin) -> None:
    """Forget studies that the registrar does not know, and go on from its step."""

    def effect(conn: Connection) -> None:
        known = set(message.studies)
        for number, name, window in conn.execute("SELECT number, name, window_number FROM study").fetchall():
            if name in known:
                continue
            context.db.forget_soon()
            rows = placing.purge(conn, number, name)
            conn.execute("DELETE FROM delivery WHERE study = ?", (name,))
            conn.execute("DELETE FROM lost_upload WHERE study = ?", (name,))
            conn.execute("DELETE FROM study WHERE number = ?", (number,))
            context.audit(conn, Event.ROWS_PURGE, "registrar", window, study=name, rows=rows)
        _forget_unmapped(context, conn)
        before = ledger.step(conn)
        ledger.set_step(conn, message.step)
        context.audit(conn, Event.ROOMS_RECONCILE, "registrar", 0, from_step=before.number, to_step=message.step.number)

    await context.db.write(effect, large=True)


def _forget_unmapped(context: Context, conn: Connection) -> None:
    """Forget uploads whose rows were dropped because the registrar has no map of them any more.

    Should the map come again, it must find no upload without rows: it is answered as that of rows that are lost.
    """
    uploads = conn.execute(
        "SELECT u.number, u.id, u.source, u.study, s.window_number FROM upload u JOIN study s ON s.name = u.study"
        " WHERE (u.state = 'live' AND u.held = 0) OR (u.state = 'staged' AND EXISTS"
        " (SELECT 1 FROM arrived a WHERE a.upload = u.number AND length(a.body) = 0))"
    ).fetchall()
    for number, upload, source, study, window in uploads:
        placing.drop(conn, number)
        context.audit(conn, Event.UPLOAD_EXPIRE, source, window, study=study, upload=upload)
