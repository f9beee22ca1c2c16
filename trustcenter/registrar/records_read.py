"""What a site reads back of its own records in a study: pseudonyms and refs, and nothing that depends on others."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Final

from keys.ids import Purpose
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.messages import api
from trustcenter.store import Connection

from . import issue, rows, studies
from .context import Context
from .domains import DomainRow

_CHUNK: Final = 5_000


async def own_results(
    context: Context, caller: Principal, request: str, study_name: str
) -> AsyncIterator[list[api.ResultLine]]:
    """The caller's own record numbers with their study pseudonyms, and nothing that depends on others."""

    def begin(conn: Connection) -> tuple[DomainRow, int]:
        study = studies.find(conn, study_name, caller)
        domain = studies.participation(conn, study, caller)
        version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version
        count = conn.execute("SELECT count(*) FROM record WHERE domain = ?", (domain.id,)).fetchone()[0]
        context.audit(conn, Event.RESULT_READ, caller.name, request, study=study_name, count=count)
        return domain, version

    domain, version = await context.db.write(begin)

    def query(conn: Connection) -> Iterator[tuple[int, bytes, bytes, bytes]]:
        yield from conn.execute(
            "SELECT e.serial, e.nonce, e.tag, e.sealed FROM record r JOIN entry e"
            " ON e.domain = r.domain AND e.serial = r.serial WHERE r.domain = ? AND e.status = 0 ORDER BY e.serial",
            (domain.id,),
        )

    def render(part: list[tuple[int, bytes, bytes, bytes]]) -> list[api.ResultLine]:
        numbers = issue.unseal_rows(context, domain, part)
        columns = rows.columns([row[:2] for row in part])
        strings = issue.format_rows(context, domain, version, *columns)
        return [
            api.ResultLine(record_number=number.hex(), pseudonym=string)
            for number, string in zip(numbers, strings, strict=True)
        ]

    async for part in context.db.stream(query, batch=_CHUNK):
        yield await asyncio.to_thread(render, part)


async def own_refs(context: Context, caller: Principal, study_name: str) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    """(record number, its refs joined) of the caller's mapped records: what a site needs to send a difference."""

    def begin(conn: Connection) -> DomainRow:
        return studies.participation(conn, studies.find(conn, study_name, caller), caller)

    domain = await context.db.read(begin)

    def query(conn: Connection) -> Iterator[tuple[int, bytes, bytes, bytes, bytes]]:
        found = conn.execute(
            "SELECT e.serial, e.nonce, e.tag, e.sealed, f.ref"
            " FROM record r JOIN entry e ON e.domain = r.domain AND e.serial = r.serial"
            " LEFT JOIN record_ref f ON f.domain = r.domain AND f.serial = r.serial"
            " WHERE r.domain = ? AND r.state <> 'unlinked' AND e.status = 0 ORDER BY e.serial, f.ref",
            (domain.id,),
        )
        for (serial, nonce, tag, sealed), refs in itertools.groupby(found, key=lambda row: row[:4]):
            yield serial, nonce, tag, sealed, b"".join(ref or b"" for *_, ref in refs)

    def render(part: list[tuple[int, bytes, bytes, bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        numbers = issue.unseal_rows(context, domain, [row[:4] for row in part])
        return [(number, row[4]) for number, row in zip(numbers, part, strict=True)]

    async for part in context.db.stream(query, batch=_CHUNK):
        yield await asyncio.to_thread(render, part)
