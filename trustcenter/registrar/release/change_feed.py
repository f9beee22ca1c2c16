"""The sealed changes of a released join map: handed to the operator, who carries them, and acknowledged by code."""

from __future__ import annotations

import hmac
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.messages import api
from trustcenter.registrar import letters
from trustcenter.registrar.context import Context
from trustcenter.registrar.study import studies, study_states
from trustcenter.store import Connection

from .release_changes import digest

_PER_ANSWER: Final = 100


async def since(
    context: Context, caller: Principal, request: str, study_name: str, recipient: str, after: int
) -> api.Changes:
    """The sealed batches of a recipient after a number, oldest first; the hand-over is logged.

    Raises:
        NotFoundError: no such study or recipient. PolicyError: the study is in no state for it.
    """

    def effect(conn: Connection) -> api.Changes:
        study = studies.find(conn, study_name, caller)
        study_states.require(study.state, study_states.Act.HAND_OVER)
        _require_recipient(conn, study_name, recipient)
        found = conn.execute(
            "SELECT number, created, merged, moved, withdrawn, sealed, code IS NOT NULL, acknowledged"
            " FROM change_batch WHERE study = ? AND recipient = ? AND number > ? ORDER BY number LIMIT ?",
            (study_name, recipient, after, _PER_ANSWER),
        ).fetchall()
        query = "SELECT coalesce(max(number), 0) FROM change_batch WHERE study = ? AND recipient = ?"
        last = int(conn.execute(query, (study_name, recipient)).fetchone()[0])
        if found:
            context.audit(
                conn,
                Event.RELEASE_CHANGES_EXPORT,
                caller.name,
                request,
                study=study_name,
                recipient=recipient,
                first=found[0][0],
                count=len(found),
            )
        return api.Changes(
            last=last,
            batches=[
                api.ChangeBatch(
                    number=number,
                    created=created,
                    merged=merged,
                    moved=moved,
                    withdrawn=withdrawn,
                    sealed=bytes(sealed),
                    letter=letters.find(conn, "changes", study_name, recipient, str(number)),
                    acknowledge=bool(code),
                    acknowledged=acknowledged,
                )
                for number, created, merged, moved, withdrawn, sealed, code, acknowledged in found
            ],
        )

    return await context.db.write(effect)


def _require_recipient(conn: Connection, study: str, recipient: str) -> None:
    if conn.execute("SELECT 1 FROM recipient WHERE study = ? AND name = ?", (study, recipient)).fetchone() is None:
        raise NotFoundError(
            "this study has no data recipient of this name",
            code="unknown_recipient",
            hint="trustcenter study show STUDY lists the recipients",
        )


async def acknowledge(
    context: Context, caller: Principal, request: str, study_name: str, body: api.ChangesAcknowledge
) -> api.Changes:
    """Take the codes with which a recipient says that it has acted on withdrawals: all or none. Twice is harmless.

    Raises:
        NotFoundError: no such study or recipient.
        ConflictError: no such batch, or its code is another.
    """

    def effect(conn: Connection) -> api.Changes:
        studies.find(conn, study_name, caller)
        _require_recipient(conn, study_name, body.recipient)
        for position, said in enumerate(body.codes):
            row = conn.execute(
                "SELECT code, acknowledged FROM change_batch WHERE study = ? AND recipient = ? AND number = ?",
                (study_name, body.recipient, said.number),
            ).fetchone()
            brought = digest(said.code) or b""
            if row is None or row[0] is None or not hmac.compare_digest(bytes(row[0]), brought):
                raise ConflictError(
                    "this is not the code of that batch",
                    code="wrong_change_code",
                    hint="the recipient reads it in the opened batch: trustcenter recipient changes",
                    where=f"code {position + 1}",
                )
            if row[1] is None:
                conn.execute(
                    "UPDATE change_batch SET acknowledged = ? WHERE study = ? AND recipient = ? AND number = ?",
                    (stamp(context.clock()), study_name, body.recipient, said.number),
                )
                context.audit(
                    conn,
                    Event.RELEASE_ACKNOWLEDGE,
                    caller.name,
                    request,
                    study=study_name,
                    recipient=body.recipient,
                    number=said.number,
                )
        return api.Changes(last=max(said.number for said in body.codes), batches=[])

    return await context.db.write(effect)
