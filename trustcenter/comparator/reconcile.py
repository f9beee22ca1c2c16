"""M7 at the comparator: after either store was restored alone, the registrar says what there is, and the rest goes."""

from __future__ import annotations

from trustcenter.audit import Event
from trustcenter.messages.reconcile import ReconciledRefs, ReconciledStudy, ReconcileRefs, ReconcileStudy, Rejoin
from trustcenter.store import Connection

from . import compare, instructions, ledger
from .context import Context

REF_BYTES = 16
_BEYOND = b"\xff" * (REF_BYTES + 1)  # sorts after every ref


async def study(context: Context, message: ReconcileStudy) -> ReconciledStudy:
    """Learn a study again, and which of its uploads are accepted. The next window compares all of it."""

    def effect(conn: Connection) -> ReconciledStudy:
        name = message.params.study
        instructions.put_params(context, conn, message.params)
        instructions.phase(context, conn, message.phase)
        conn.executemany(
            "UPDATE upload SET state = 'live' WHERE id = ? AND study = ? AND state = 'staged'",
            [(upload, name) for upload in message.accepted],
        )
        compare.compare_all_again(conn, name)
        (following,) = conn.execute("SELECT window_number FROM study WHERE name = ?", (name,)).fetchone()
        return ReconciledStudy(following - 1)

    return await context.db.write(effect)


async def refs(context: Context, message: ReconcileRefs) -> ReconciledRefs:
    """Drop live rows of a range whose refs the registrar does not hold; name those of its refs that have no row."""
    packed = message.refs
    held = {packed[at : at + REF_BYTES] for at in range(0, len(packed), REF_BYTES)}

    def effect(conn: Connection) -> ReconciledRefs:
        (number,) = conn.execute("SELECT number FROM study WHERE name = ?", (message.study,)).fetchone()
        high = message.high if message.high is not None else _BEYOND
        here: set[bytes] = set()
        gone: list[tuple[int, bytes]] = []
        for ref, upload, state in conn.execute(
            "SELECT r.ref, r.upload, u.state FROM row r JOIN upload u ON u.number = r.upload"
            " WHERE r.study = ? AND r.ref > ? AND r.ref <= ?",
            (number, message.low, high),
        ):
            if bytes(ref) in held:
                here.add(bytes(ref))
            elif state == "live":
                gone.append((upload, bytes(ref)))
        if gone:
            context.db.forget_soon()
            conn.executemany("DELETE FROM row WHERE study = ? AND ref = ?", [(number, ref) for _, ref in gone])
            conn.executemany("UPDATE upload SET held = held - 1 WHERE number = ?", [(upload,) for upload, _ in gone])
        return ReconciledRefs(b"".join(sorted(held - here)), len(gone))

    return await context.db.write(effect)


async def rejoin(context: Context, message: Rejoin) -> None:
    """Forget studies that the registrar does not know, and go on from its step."""

    def effect(conn: Connection) -> None:
        known = set(message.studies)
        for number, name, window in conn.execute("SELECT number, name, window_number FROM study").fetchall():
            if name in known:
                continue
            context.db.forget_soon()
            rows = conn.execute("DELETE FROM row WHERE study = ?", (number,)).rowcount
            conn.execute("DELETE FROM chunk WHERE upload IN (SELECT number FROM upload WHERE study = ?)", (name,))
            conn.execute("DELETE FROM upload WHERE study = ?", (name,))
            conn.execute("DELETE FROM delivery WHERE study = ?", (name,))
            conn.execute("DELETE FROM study WHERE number = ?", (number,))
            context.audit(conn, Event.ROWS_PURGE, "registrar", window, study=name, rows=rows)
        before = ledger.step(conn)
        ledger.set_step(conn, message.step)
        context.audit(conn, Event.ROOMS_RECONCILE, "registrar", 0, from_step=before.number, to_step=message.step.number)

    await context.db.write(effect)
