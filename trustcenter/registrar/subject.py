"""What the centre holds and did about one pseudonym, for the person it stands for (GDPR Art. 15).

The site asks for its own pseudonym only, and the answer depends on nothing of other sites: whether a record was joined
with others is not in it (no oracle). That somebody asked is logged, without the pseudonym.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from trustcenter.audit import Event
from trustcenter.audit.canonical import decode
from trustcenter.auth import Operation, Principal
from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.store import Connection

from . import policy
from .context import Context
from .domains import DomainRow
from .head import COUNTER_BITS
from .pseudonyms import batches, issue_index, lookup
from .study import refs


async def report(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.SubjectQuery
) -> api.SubjectReport:
    """Everything about one pseudonym of the caller's own domain.

    Raises:
        NotFoundError: no such domain, not the caller's, or no live pseudonym of this text.
    """
    domain = await batches.own_domain(context, caller, domain_name, 1, Operation.GET, studies=True)
    question = await asyncio.to_thread(lookup.read, context, domain, [body.pseudonym])

    def effect(conn: Connection) -> tuple[int, bytes] | None:
        now = context.clock()
        policy.require_keys(conn, domain.id, now)
        found = lookup.find(context, conn, domain, question, now)
        lookup.alarm(context, conn, domain, found, caller.name, request)
        (row,) = found.rows
        context.audit(conn, Event.SUBJECT_REPORT, caller.name, request, domain=domain.name, count=int(row is not None))
        return row

    row = await context.db.write(effect)
    if row is None:
        raise NotFoundError(
            "there is no live pseudonym of this text in this domain",
            code="unknown_pseudonym",
            hint="compare it with the source; a deleted one leaves nothing to tell",
        )
    await issue_index.refresh(context.db)
    return await context.db.read(lambda conn: _report(conn, domain, row[0]))


def _report(conn: Connection, domain: DomainRow, serial: int) -> api.SubjectReport:
    held, expires = conn.execute(
        "SELECT CASE WHEN sealed IS NULL THEN 0 ELSE 1 END, expires FROM entry WHERE domain = ? AND serial = ?",
        (domain.id, serial),
    ).fetchone()
    issued = issue_index.find(conn, domain.name, serial >> COUNTER_BITS, serial & (2**COUNTER_BITS - 1))
    events = [] if issued is None else [_event(*issued)]
    seqs = conn.execute(
        "SELECT seq FROM reidentification_salt WHERE domain = ? AND serial = ? ORDER BY seq", (domain.id, serial)
    ).fetchall()
    for (seq,) in seqs:
        (leaf,) = conn.execute("SELECT leaf FROM audit_entry WHERE seq = ?", (seq,)).fetchone()
        events.append(_event(seq, leaf))
    record = conn.execute(
        "SELECT (SELECT coalesce(sum(length(f.refs)), 0) FROM record_refs f WHERE f.domain = r.domain"
        " AND f.serial = r.serial) FROM record r WHERE r.domain = ? AND r.serial = ?",
        (domain.id, serial),
    ).fetchone()
    return api.SubjectReport(
        domain=domain.name,
        site=domain.site or "",
        study=domain.study or "",
        suite=domain.policy.suite,
        original_held=bool(held),
        expires=datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if expires is not None else "",
        registered=record is not None,
        rows=int(record[0]) // refs.REF_BYTES if record is not None else 0,
        events=events,
    )


def _event(seq: int, leaf: bytes) -> api.SubjectEvent:
    entry = decode(bytes(leaf))
    assert isinstance(entry, dict)
    return api.SubjectEvent(
        entry=seq,
        time=entry["time"],
        event=entry["event"],
        who=entry["who"],
        reidentification=str(entry["data"].get("reidentification", "")),
    )
