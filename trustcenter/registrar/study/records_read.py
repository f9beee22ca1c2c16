"""What a site reads back of its own records in a study: pseudonyms, successors, date shifts and refs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from keys.ids import Purpose
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import layout, rows
from trustcenter.store import Connection

from . import date_shift, studies, study_states
from .studies import StudyRow

_CHUNK: Final = 5_000


@dataclass(frozen=True)
class _Results:
    """What the lines of one answer have in common."""

    domain: DomainRow
    version: int
    successors: dict[int, tuple[int, bytes]]  # serial: serial and nonce of the record that stands for it
    shift: tuple[str, int] | None  # UUID of the key and greatest offset, once there was a release


async def own_results(
    context: Context, caller: Principal, request: str, study_name: str
) -> AsyncIterator[list[api.ResultLine]]:
    """The caller's own record numbers with their study pseudonyms, successors and, after a release, date shifts.

    Only the date shift depends on others: records of one person at two sites have the same.
    """

    def begin(conn: Connection) -> _Results:
        study = studies.find(conn, study_name, caller)
        study_states.require(study.state, study_states.Act.HAND_OVER)
        domain = studies.participation(conn, study, caller)
        version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version
        count = conn.execute("SELECT count(*) FROM record WHERE domain = ?", (domain.id,)).fetchone()[0]
        stands = {
            serial: (int(successor), bytes(nonce))
            for serial, successor, nonce in conn.execute(
                "SELECT s.serial, s.successor, e.nonce FROM successor s"
                " JOIN entry e ON e.domain = s.domain AND e.serial = s.successor AND e.status = 0 WHERE s.domain = ?",
                (domain.id,),
            )
        }
        shift = _shift(conn, study)
        context.audit(
            conn,
            Event.RESULT_READ,
            caller.name,
            request,
            study=study_name,
            count=count,
            **({"shifts": study.settings.date_shift_days} if shift else {}),
        )
        return _Results(domain, version, stands, shift)

    results = await context.db.write(begin)
    domain = results.domain

    def query(conn: Connection) -> Iterator[tuple[int, bytes, bytes, bytes, bytes | None]]:
        yield from conn.execute(
            "SELECT e.serial, e.nonce, e.tag, e.sealed, r.person FROM record r JOIN entry e"
            " ON e.domain = r.domain AND e.serial = r.serial WHERE r.domain = ? AND e.status = 0 ORDER BY e.serial",
            (domain.id,),
        )

    def render(part: list[tuple[int, bytes, bytes, bytes, bytes | None]]) -> list[api.ResultLine]:
        numbers = layout.unseal_rows(context, domain, [row[:4] for row in part])
        strings = layout.format_rows(context, domain, results.version, *rows.columns([row[:2] for row in part]))
        superseded = [row[0] for row in part if row[0] in results.successors]
        ends = rows.columns([results.successors[serial] for serial in superseded])
        stands = dict(
            zip(superseded, layout.format_rows(context, domain, results.version, *ends), strict=True)
            if superseded
            else ()
        )
        shifts = _offsets(context, results.shift, [row[4] for row in part])
        return [
            api.ResultLine(
                record_number=number.hex(), pseudonym=string, successor=stands.get(row[0]), date_shift=offset
            )
            for number, string, row, offset in zip(numbers, strings, part, shifts, strict=True)
        ]

    async for part in context.db.stream(query, batch=_CHUNK):
        yield await asyncio.to_thread(render, part)


def _shift(conn: Connection, study: StudyRow) -> tuple[str, int] | None:
    greatest = study.settings.date_shift_days
    if not greatest or study.shift_scope is None:
        return None
    query = "SELECT 1 FROM release WHERE study = ? AND state = 'released'"
    released = conn.execute(query, (study.name,)).fetchone()
    return (study.shift_scope.removeprefix("domain:"), greatest) if released else None


def _offsets(context: Context, shift: tuple[str, int] | None, persons: Sequence[bytes | None]) -> list[int | None]:
    known = [person for person in persons if person is not None]
    if shift is None or not known:
        return [None] * len(persons)
    uuid, greatest = shift
    tags = context.keys.tags(uuid, layout.LOOKUP_VERSION, date_shift.inputs(known))
    found = {person: date_shift.offset(tag, greatest) for person, tag in zip(known, tags, strict=True)}
    return [None if person is None else found[person] for person in persons]


async def own_refs(context: Context, caller: Principal, study_name: str) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    """(record number, its refs joined) of the caller's mapped records: what a site needs to send a difference.

    Refs are those of the study's version; a record that was not sent under it yet has none.
    """

    def begin(conn: Connection) -> tuple[DomainRow, int]:
        study = studies.find(conn, study_name, caller)
        return studies.participation(conn, study, caller), study.version

    domain, version = await context.db.read(begin)

    def query(conn: Connection) -> Iterator[tuple[int, bytes, bytes, bytes, bytes]]:
        found = conn.execute(
            "SELECT e.serial, e.nonce, e.tag, e.sealed, f.refs"
            " FROM record r JOIN entry e ON e.domain = r.domain AND e.serial = r.serial"
            " LEFT JOIN record_refs f ON f.domain = r.domain AND f.serial = r.serial AND f.version = ?"
            " WHERE r.domain = ? AND r.state <> 'unlinked' AND e.status = 0 ORDER BY e.serial",
            (version, domain.id),
        )
        for serial, nonce, tag, sealed, refs in found:
            yield serial, nonce, tag, sealed, refs or b""

    def render(part: list[tuple[int, bytes, bytes, bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        numbers = layout.unseal_rows(context, domain, [row[:4] for row in part])
        return [(number, row[4]) for number, row in zip(numbers, part, strict=True)]

    async for part in context.db.stream(query, batch=_CHUNK):
        yield await asyncio.to_thread(render, part)
