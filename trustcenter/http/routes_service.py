"""Probes, version, the interface's own description, and the auditor's export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import trustcenter
from trustcenter.audit import AuditLog, Event
from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.store import Connection, Database

from .calls import AUDITOR, OPERATOR, PUBLIC, SITE, Answer, Binary, Call, Lines, Route

_EXPORT_BATCH = 1_000  # lines


async def healthz(call: Call) -> Answer:
    return api.Health(status="ok")


async def readyz(call: Call) -> Answer:
    await call.instance.registrar.db.read(lambda conn: conn.execute("SELECT 1").fetchone())
    await call.instance.comparator.db.read(lambda conn: conn.execute("SELECT 1").fetchone())
    return api.Health(status="ready")


async def version(call: Call) -> Answer:
    return api.Version(
        product="trustcenter",
        version=trustcenter.__version__,
        api=["v1"],
        suites=["computed/1"],
        encodings=["keyed-passes/1"],
        separation=call.instance.config.separation,
        instance=call.instance.id,
    )


def _room(call: Call) -> tuple[Database, AuditLog]:
    match call.segment("room"):
        case "registrar":
            return call.instance.registrar.db, call.instance.registrar.log
        case "comparator":
            return call.instance.comparator.db, call.instance.comparator.log
    raise NotFoundError("there is no such room", code="unknown_room", hint="registrar or comparator")


async def audit_checkpoint(call: Call) -> Answer:
    db, log = _room(call)
    return Binary((await db.read(log.checkpoint)).encode(), "text/plain")


async def audit_export(call: Call) -> Answer:
    db, log = _room(call)
    context = call.instance.registrar
    # Who took the log out is itself logged, in the registrar's log: the comparator's knows no auditor.
    await context.db.write(
        lambda conn: context.audit(
            conn, Event.LOG_EXPORT, call.principal.name, call.request_id, room=call.segment("room")
        )
    )

    def lines(conn: Connection) -> Iterator[bytes]:
        yield from log.export(conn)

    async def batches() -> AsyncIterator[Sequence[bytes]]:
        async for batch in db.stream(lines, batch=_EXPORT_BATCH):
            yield batch

    return Lines(batches(), raw=True)


ROUTES = (
    Route("GET", "/healthz", "healthz", PUBLIC, "The process answers", healthz, None, api.Health),
    Route("GET", "/readyz", "readyz", PUBLIC, "Both stores answer", readyz, None, api.Health),
    Route("GET", "/version", "version", PUBLIC, "What is running", version, None, api.Version),
    Route(
        "GET", "/v1/audit/{room}/checkpoint", "auditCheckpoint", AUDITOR | OPERATOR | SITE,
        "Signed head of a room's log", audit_checkpoint, None, "text",
    ),
    Route(
        "GET", "/v1/audit/{room}/export", "auditExport", AUDITOR, "A room's log as a verifiable bundle",
        audit_export, None, "bytes",
    ),
)  # fmt: skip
