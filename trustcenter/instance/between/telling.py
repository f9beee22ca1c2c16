"""What the registrar does once the comparator has carried out a message, whichever way it went."""

from __future__ import annotations

from trustcenter.messages.rooms import Envelope, Step, StudyPhase
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import ledger, outbox
from trustcenter.registrar.study import study_moves
from trustcenter.store import Connection

from .port import Comparator


async def carry_over(registrar: Context, comparator: Comparator) -> None:
    """Tell the comparator all that waits, in order, each until it is acknowledged.

    Raises:
        TrustCenterError: it is out of reach, or refuses.
    """
    for row_id in await registrar.db.read(outbox.waiting):
        before, (kind, payload) = await registrar.db.read(
            lambda conn, row_id=row_id: (ledger.step(conn), outbox.get(conn, row_id))  # type: ignore[misc]
        )
        told = await comparator.tell(Envelope(before=before, kind=kind, payload=payload))
        await acknowledge(registrar, row_id, before, kind, payload, told.left)


async def acknowledge(registrar: Context, row_id: int, before: Step, kind: str, payload: str, left: int) -> Step:
    """Take the step after a message and forget it.

    Args:
        registrar: the registrar.
        row_id: of the message in the outbox.
        before: the step that it followed.
        kind: of the message.
        payload: its JSON.
        left: rows that the comparator has left, where the message is a purge.

    Raises:
        InternalError: a purge left something behind; the message stays.
    """
    message, after = outbox.message(kind, payload), before.after(kind, payload)
    if isinstance(message, StudyPhase) and message.purge:
        await study_moves.confirm_purge(registrar, message.study, left)

    def effect(conn: Connection) -> None:
        ledger.set_step(conn, after)
        outbox.done(conn, row_id)

    await registrar.db.write(effect)
    return after
