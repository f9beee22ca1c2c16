"""What the registrar tells the comparator: parameters (M0), accepted uploads, retired refs (M6).

Each message takes its place in the ledger in the transaction of its effect, so it is carried out once.
"""

from __future__ import annotations

import json

import msgspec

from trustcenter.audit import Event
from trustcenter.errors import UsageError
from trustcenter.messages.rooms import (
    KINDS,
    Accept,
    Envelope,
    Params,
    Retire,
    RoomMessage,
    Settle,
    Settled,
    ShutOut,
    StudyPhase,
    Told,
)
from trustcenter.store import Connection

from . import ahead, enrolment, ledger, placing, sources, uploads
from .context import Context


async def carry_out(context: Context, envelope: Envelope) -> Told:
    """Carry out a message of the registrar. One that comes again is only answered again.

    Raises:
        UsageError: it is none that is known here.
        ConflictError: it is not the next one: one of the rooms was restored.
    """
    message = read(envelope.kind, envelope.payload)
    if isinstance(message, Accept):
        await ahead.place(context, message.study, [message.upload])
    elif isinstance(message, StudyPhase) and message.purge:
        await ahead.purge(context, message.study, envelope.before)
    elif isinstance(message, Retire):
        await ahead.retire(context, message, envelope.before)

    def effect(conn: Connection) -> Told:
        fresh = ledger.advance(conn, envelope)
        match message:
            case Params() if fresh:
                put_params(context, conn, message)
            case Accept() if fresh:
                accept(context, conn, message)
            case Retire() if fresh:
                retire(context, conn, message)
            case ShutOut() if fresh:
                shut_out(context, conn, message)
            case StudyPhase():
                if fresh:
                    phase(context, conn, message)
                return Told(left(conn, message.study))
        return Told(0)

    told = await context.db.write(effect, large=isinstance(message, Retire | StudyPhase))
    if isinstance(message, ShutOut) and context.directory is not None:
        context.directory.cache.clear()
    return told


def read(kind: str, payload: str) -> RoomMessage:
    """What an envelope holds, or a part of a file.

    Raises:
        UsageError: no message of a kind that is known here, which a registrar of another version could send.
    """
    hint = "both rooms run the same version of the program"
    if kind not in KINDS:
        raise UsageError("there is no message of this kind", code="unknown_message", hint=hint, where="kind")
    try:
        return msgspec.json.decode(payload, type=KINDS[kind])
    except msgspec.MsgspecError:
        raise UsageError(
            "this is not a message of the kind that it says", code="bad_message", hint=hint, where="payload"
        ) from None


async def settle(context: Context, message: Settle) -> Settled:
    """Drop what a source has staged without a map. Twice is harmless."""

    def effect(conn: Connection) -> Settled:
        study = sources.find_study(conn, message.study, message.source)
        uploads.drop_unfinished(context, conn, study, message.source)
        sources.lift_sequence(conn, message.study, message.source, message.sequence)
        return Settled(sources.last_sequence(conn, message.study, message.source))

    return await context.db.write(effect)


def put_params(context: Context, conn: Connection, params: Params) -> None:
    """Learn the frozen parameters of a study version (M0), and later of sources that join or were removed."""
    known = conn.execute("SELECT sources, version, window_number FROM study WHERE name = ?", (params.study,)).fetchone()
    if known is not None:
        # An older message may come again. Sources are added, never taken away: their rows are still compared.
        if params.version < known[1]:
            return
        sources = sorted({*json.loads(known[0]), *params.sources})
        conn.execute(
            "UPDATE study SET version = ?, minimum_rows = ?, sources = ?, former = ?, lead = ? WHERE name = ?",
            (
                params.version,
                params.minimum_rows,
                json.dumps(sources),
                json.dumps(params.former),
                params.lead,
                params.study,
            ),
        )
        if params.version > known[1]:
            _audit_params(context, conn, params, known[2])
        return
    conn.execute(
        "INSERT INTO study (name, version, fingerprint, passes, levels, caps, minimum_rows, sources, lead,"
        " window_number) VALUES (?,?,?,?,?,?,?,?,?,1)",
        (
            params.study,
            params.version,
            params.fingerprint,
            params.passes,
            json.dumps(params.levels),
            json.dumps(params.caps),
            params.minimum_rows,
            json.dumps(params.sources),
            params.lead,
        ),
    )
    _audit_params(context, conn, params, 1)


def _audit_params(context: Context, conn: Connection, params: Params, window: int) -> None:
    context.audit(
        conn,
        Event.STUDY_PARAMS,
        "registrar",
        window,
        study=params.study,
        version=params.version,
        fingerprint=params.fingerprint,
        passes=params.passes,
    )


def accept(context: Context, conn: Connection, message: Accept) -> None:
    """The registrar holds a map that fits this upload: its rows count from now on.

    Raises:
        ConflictError: the upload is gone, and the registrar does not know: the comparator was restored to before it.
    """
    row = conn.execute(
        "SELECT u.state, u.source, s.window_number, s.number, u.number FROM upload u JOIN study s ON s.name = u.study"
        " WHERE u.id = ? AND u.study = ?",
        (message.upload, message.study),
    ).fetchone()
    if row is None and not ledger.lost(conn, message.upload):
        raise ledger.out_of_step()
    if row is None or row[0] == "live":
        return
    placing.place(conn, row[3], row[4])
    conn.execute("UPDATE upload SET state = 'live' WHERE id = ?", (message.upload,))
    context.audit(conn, Event.ROWS_ACCEPT, row[1], row[2], study=message.study, upload=message.upload)


def retire(context: Context, conn: Connection, message: Retire) -> None:
    """Drop rows whose refs the registrar no longer holds (M6).

    Raises:
        ConflictError: the study is not known here: the comparator was restored to before it.
    """
    study = conn.execute("SELECT number, window_number FROM study WHERE name = ?", (message.study,)).fetchone()
    if study is None:
        raise ledger.out_of_step()
    number, window = study
    context.db.forget_soon()
    placing.remove(conn, number, message.refs)
    rows = len(message.refs) // placing.REF_BYTES
    context.audit(conn, Event.ROWS_RETIRE, "registrar", window, study=message.study, rows=rows)


def shut_out(context: Context, conn: Connection, message: ShutOut) -> None:
    """Let a practice that was turned out in no more, where this room lets clients in itself."""
    if context.directory is None:
        return
    codes = enrolment.end_codes(conn, message.site) if message.codes else 0
    if (message.access and context.directory.shut_out(conn, message.site)) or codes:
        context.audit(conn, Event.TOKEN_REVOKE, "registrar", 0, site=message.site)


def phase(context: Context, conn: Connection, message: StudyPhase) -> None:
    """Take rows of a study or no more; purge those it has. A study never heard of has none."""
    query = "SELECT number, window_number, purging FROM study WHERE name = ?"
    row = conn.execute(query, (message.study,)).fetchone()
    if row is None:
        return
    number, window, begun = row
    conn.execute("UPDATE study SET takes_rows = ?, purging = 0 WHERE number = ?", (int(message.takes_rows), number))
    if message.purge:
        context.db.forget_soon()
        purged = max(begun, placing.purge(conn, number, message.study))
        context.audit(conn, Event.ROWS_PURGE, "registrar", window, study=message.study, rows=purged)


def left(conn: Connection, study: str) -> int:
    """How many rows of a study there are."""
    row = conn.execute("SELECT number FROM study WHERE name = ?", (study,)).fetchone()
    return placing.left(conn, row[0], study) if row is not None else 0
