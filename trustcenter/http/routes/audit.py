"""The logs: their heads for everybody, proofs for sites, exports for auditors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

from trustcenter.audit import AuditLog, Event, Selection
from trustcenter.audit.extract import unknown_events
from trustcenter.errors import NotFoundError, UsageError
from trustcenter.http.calls import APPROVER, AUDITOR, OPERATOR, SITE, Answer, Binary, Call, Lines, Route
from trustcenter.messages import api
from trustcenter.registrar import cosignatures, held, subject
from trustcenter.registrar.linking import linkage_disclosure
from trustcenter.store import Connection, Database

T = TypeVar("T")

_EXPORT_BATCH = 1_000  # lines
_PLACE_MAX = 999_999_999


def _room(call: Call) -> tuple[Database, AuditLog]:
    match call.segment("room"):
        case "registrar":
            return call.instance.registrar.db, call.instance.registrar.log
        case "comparator":
            return call.instance.comparator.db, call.instance.comparator.log
    raise NotFoundError("there is no such room", code="unknown_room", hint="registrar or comparator")


async def checkpoint(call: Call) -> Answer:
    db, log = _room(call)
    return Binary((await db.read(log.checkpoint)).encode(), "text/plain")


async def inclusion(call: Call) -> Answer:
    """The proof that an entry is in the log of the size that is named."""
    db, log = _room(call)
    index = call.integer("index", call.segment("index"), 0, _PLACE_MAX)
    size = call.integer("size", call.segment("size"), 1, _PLACE_MAX)

    def proof(conn: Connection) -> api.InclusionProof:
        chain = log.chain(conn)
        return api.InclusionProof(
            index=index,
            size=size,
            leaf_hash=log.leaf_hash(conn, index).hex(),
            hashes=[hash_.hex() for hash_ in log.inclusion_proof(conn, index, size)],
            vkey=chain.first.vkey,
            handovers=[handover.note for handover in chain.handovers],
        )

    return await db.read(lambda conn: _within(proof, conn))


async def consistency(call: Call) -> Answer:
    """The proof that the log of one size extends that of another, and the keys that signed in between."""
    db, log = _room(call)
    old = call.integer("old", call.segment("old"), 1, _PLACE_MAX)
    new = call.integer("new", call.segment("new"), 1, _PLACE_MAX)

    def proof(conn: Connection) -> api.ConsistencyProof:
        chain = log.chain(conn)
        return api.ConsistencyProof(
            old=old,
            new=new,
            hashes=[hash_.hex() for hash_ in log.consistency_proof(conn, old, new)],
            vkey=chain.first.vkey,
            handovers=[handover.note for handover in chain.handovers],
        )

    return await db.read(lambda conn: _within(proof, conn))


def _within(proof: Callable[[Connection], T], conn: Connection) -> T:
    try:
        return proof(conn)
    except ValueError:
        raise NotFoundError(
            "the log has no such place", code="unknown_place", hint="compare with the size in its checkpoint"
        ) from None


async def cosign(call: Call) -> Answer:
    db, log = _room(call)
    body: api.Cosignature = call.body
    gate, site = call.instance.gate, call.principal.name
    head = await db.read(lambda conn: cosignatures.checked(conn, log, site, body, gate.clock()))
    return await cosignatures.keep(gate.db, gate.audit, site, call.request_id, log.room, head)


async def cosigned(call: Call) -> Answer:
    _, log = _room(call)
    return await call.instance.gate.db.read(lambda conn: cosignatures.heads(conn, log))


async def export(call: Call) -> Answer:
    db, log = _room(call)
    await _note(call)
    return _lines(db, log.export)


async def extract(call: Call) -> Answer:
    """Chosen entries, each proven; who chose is logged with what was chosen."""
    db, log = _room(call)
    body: api.LogExtract = call.body
    selection = Selection(
        since=body.since, until=body.until, site=body.site, study=body.study, events=tuple(body.events)
    )
    if unknown_events(selection):
        raise UsageError("there is no such event", code="unknown_event", hint="docs/spec/audit-log.md, section 4")
    if (body.since or body.until) and log.room != "registrar":
        raise UsageError(
            "the comparator's entries carry windows and no time",
            code="no_time_in_this_room",
            hint="choose by study or event",
        )
    names = await call.instance.registrar.db.read(lambda conn: _domains(conn, body))
    chosen = {
        word: value
        for word, value in (
            ("since", body.since), ("until", body.until), ("site", body.site), ("study", body.study),
            ("events", list(body.events)),
        )
        if value
    }  # fmt: skip
    await _note(call, **chosen)

    def lines(conn: Connection) -> Iterator[bytes]:
        yield from log.extract(conn, selection, site_domains=names[0], study_domains=names[1], through=body.through)

    return _lines(db, lines)


def _domains(conn: Connection, body: api.LogExtract) -> tuple[list[str], list[str]]:
    """Names of the domains of the site and of the study that are asked for."""
    of_site = conn.execute("SELECT name FROM domain WHERE site = ?", (body.site,)) if body.site else ()
    of_study = conn.execute("SELECT name FROM domain WHERE study = ?", (body.study,)) if body.study else ()
    return [name for (name,) in of_site], [name for (name,) in of_study]


async def _note(call: Call, **chosen: object) -> None:
    # Who took a log out is itself logged, in the registrar's log; in its own where the comparator is apart.
    context = call.instance.gate
    room = call.segment("room")
    await context.db.write(
        lambda conn: context.audit(conn, Event.LOG_EXPORT, call.principal.name, call.request_id, room=room, **chosen)
    )


def _lines(db: Database, export_: Callable[[Connection], Iterator[bytes]]) -> Lines:
    def lines(conn: Connection) -> Iterator[bytes]:
        yield from export_(conn)

    async def batches() -> AsyncIterator[Sequence[bytes]]:
        async for batch in db.stream(lines, batch=_EXPORT_BATCH):
            yield batch

    return Lines(batches(), raw=True)


async def statements(call: Call) -> Answer:
    """Reasons and statements for the auditor's report; that they were read is logged first."""
    context = call.instance.registrar
    await context.db.write(
        lambda conn: context.audit(
            conn, Event.LOG_EXPORT, call.principal.name, call.request_id, room="registrar", part="statements"
        )
    )
    return Lines(context.db.stream(held.statements))


async def propose_decisions(call: Call) -> Answer:
    return await linkage_disclosure.propose(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.segment("run"), call.body
    )


async def show_decisions(call: Call) -> Answer:
    return await linkage_disclosure.show(call.instance.registrar, call.segment("disclosure"))


async def approve_decisions(call: Call) -> Answer:
    return await linkage_disclosure.approve(
        call.instance.registrar, call.principal, call.request_id, call.segment("disclosure"), call.body
    )


async def read_decisions(call: Call) -> Answer:
    return Lines(
        linkage_disclosure.read(call.instance.registrar, call.principal, call.request_id, call.segment("disclosure"))
    )


async def subject_report(call: Call) -> Answer:
    return await subject.report(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
    )


_READERS = AUDITOR | OPERATOR | SITE
ROUTES = (
    Route(
        "GET", "/v1/audit/{room}/checkpoint", "auditCheckpoint", _READERS,
        "Signed head of a room's log", checkpoint, None, "text",
    ),
    Route(
        "GET", "/v1/audit/{room}/inclusion/{index}/{size}", "auditInclusion", _READERS,
        "Proof that an entry is at its place in a room's log", inclusion, None, api.InclusionProof,
    ),
    Route(
        "GET", "/v1/audit/{room}/consistency/{old}/{new}", "auditConsistency", _READERS,
        "Proof that a room's log extends what it was", consistency, None, api.ConsistencyProof,
    ),
    Route(
        "POST", "/v1/audit/{room}/cosignatures", "auditCosign", SITE,
        "Say that the calling site saw a head of a room's log", cosign, api.Cosignature, api.CosignedHead,
    ),
    Route(
        "GET", "/v1/audit/{room}/cosigned", "auditCosigned", _READERS,
        "Heads of a room's log that sites have cosigned", cosigned, None, api.CosignedHeads,
    ),
    Route(
        "GET", "/v1/audit/{room}/export", "auditExport", AUDITOR, "A room's log as a verifiable bundle",
        export, None, "bytes",
    ),
    Route(
        "POST", "/v1/audit/{room}/extracts", "auditExtract", AUDITOR,
        "Chosen entries of a room's log as a verifiable bundle", extract, api.LogExtract, "bytes",
    ),
    Route(
        "GET", "/v1/statements", "auditStatements", AUDITOR,
        "Signed statements of re-identifications and disclosures that are still held", statements, None, None, api.HeldStatement,
    ),
    Route(
        "POST", "/v1/studies/{study}/runs/{run}/disclosures", "proposeDecisions", AUDITOR,
        "Ask for the decisions of a run", propose_decisions, api.LinkageDisclosurePropose, api.LinkageDisclosure,
    ),
    Route(
        "GET", "/v1/disclosures/{disclosure}", "showDisclosure", AUDITOR | APPROVER,
        "What is to be signed before decisions leave", show_decisions, None, api.LinkageDisclosure,
    ),
    Route(
        "POST", "/v1/disclosures/{disclosure}/approvals", "approveDecisions", APPROVER,
        "Sign: the auditor may read the decisions of a run", approve_decisions, api.Approval, api.LinkageDisclosure,
    ),
    Route(
        "GET", "/v1/disclosures/{disclosure}/decisions", "readDecisions", AUDITOR,
        "The decisions of a run, each with what opens its commitment", read_decisions, None, None, api.LinkageDecision,
    ),
    Route(
        "POST", "/v1/domains/{domain}/subject-reports", "subjectReport", SITE,
        "What the centre holds and did about one pseudonym", subject_report, api.SubjectQuery, api.SubjectReport,
    ),
)  # fmt: skip
