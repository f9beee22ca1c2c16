"""Settlements that a site carries itself, where the registrar has no connection to the comparator."""

from __future__ import annotations

from trustcenter.errors import ConflictError
from trustcenter.messages.carried import SettleOrder
from trustcenter.messages.rooms import Accept
from trustcenter.store import Connection, Migration

from . import ahead, instructions, sources, uploads
from .context import Context

MIGRATIONS = (
    Migration(
        number=661,
        name="settlements that sites carry",
        sql="""
        CREATE TABLE settlement (
            study TEXT NOT NULL,
            source TEXT NOT NULL,
            turn INTEGER NOT NULL,        -- the newest that was carried out
            sequence INTEGER NOT NULL,    -- what was answered to it
            PRIMARY KEY (study, source)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


async def settle(context: Context, order: SettleOrder) -> int:
    """Carry out an order of the registrar whose signature holds; the last receipt of the source.

    Accepted uploads become live now; their acceptance comes in its place with the next file and finds that done. An
    order that comes again is only answered again: later uploads are none of its business.

    Raises:
        NotFoundError: no such study, or the source does not take part.
        ConflictError: an older order, or an accepted upload is gone: the comparator was restored.
    """
    await ahead.place(context, order.study, order.accepted)

    def effect(conn: Connection) -> int:
        study = sources.find_study(conn, order.study, order.source)
        query = "SELECT turn, sequence FROM settlement WHERE study = ? AND source = ?"
        turn, answered = conn.execute(query, (order.study, order.source)).fetchone() or (0, 0)
        if order.turn == turn:
            return int(answered)
        if order.turn < turn:
            raise ConflictError(
                "a later settlement of this source was carried out",
                code="settlement_over",
                hint="run the upload again; one at a time for each study",
            )
        for upload in order.accepted:
            instructions.accept(context, conn, Accept(study=order.study, upload=upload))
        uploads.drop_unfinished(context, conn, study, order.source)
        sources.lift_sequence(conn, order.study, order.source, order.sequence)
        sequence = sources.last_sequence(conn, order.study, order.source)
        conn.execute(
            "INSERT INTO settlement VALUES (?,?,?,?) ON CONFLICT (study, source) DO UPDATE"
            " SET turn = excluded.turn, sequence = excluded.sequence",
            (order.study, order.source, order.turn, sequence),
        )
        return sequence

    return await context.db.write(effect)
