"""The reverse direction: originals of the rows of an approved ticket, one log entry per subject.

Check of the ticket, quota, originals, entries, salts and the spent fetch are one transaction; an original leaves
only after its commit.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.clock import stamp
from trustcenter.errors import NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.messages import reidentification as wire
from trustcenter.registrar import domains, policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.limits import require_batch
from trustcenter.registrar.pseudonyms import layout, lookup, sealing
from trustcenter.store import Connection, select_in

from . import reidentify, requests, tickets
from .tickets import TicketState


@dataclass(frozen=True)
class _Fetch:
    """One fetch: who asks, in which request, for which ticket of which domain, and what."""

    caller: Principal
    request: str
    domain: DomainRow
    ident: str
    pseudonyms: Sequence[str]


async def release(
    context: Context, caller: Principal, request: str, domain_name: str, ident: str, pseudonyms: Sequence[str]
) -> api.OriginalsAnswer:
    """Originals of pseudonyms of an approved ticket of the caller, in the order asked.

    Any pseudonym of a row of the ticket will do, that of an earlier or later key version included.

    Raises:
        NotFoundError: no such domain, or not the caller's.
        TicketNeededError: no approved ticket of that id, whatever the reason.
        PolicyError: the domain is not reversible, or the site's originals of the day are used up.
        LimitError: too many pseudonyms.
    """
    require_batch(len(pseudonyms), context.limits.reidentify_items, "pseudonyms")
    domain = await context.db.read(lambda conn: domains.find(conn, domain_name, caller, Operation.REIDENTIFY))
    reidentify.require_reversible(domain)
    question = await asyncio.to_thread(lookup.read, context, domain, pseudonyms)
    fetch = _Fetch(caller, request, domain, ident, pseudonyms)
    return await reidentify.write(context, lambda conn: _release(context, conn, fetch, question))


def _release(
    context: Context, conn: Connection, fetch: _Fetch, question: lookup.Question
) -> api.OriginalsAnswer | Exception:
    now = context.clock()
    policy.require_keys(conn, fetch.domain.id, now)
    try:
        row = requests.find(conn, fetch.ident, fetch.caller)
        if row.domain != fetch.domain.id:
            raise tickets.needed()
        before = tickets.at(requests.ticket(conn, row), now)
        if before.state is TicketState.EXPIRED:
            requests.keep(conn, row, before)
        after = tickets.use(before, now)
    except NotFoundError:
        return _refuse(context, conn, fetch, tickets.needed(), len(fetch.pseudonyms))
    except tickets.TicketNeededError as error:
        return _refuse(context, conn, fetch, error, len(fetch.pseudonyms))
    allowed = requests.serials(conn, row)
    answer = lookup.find(context, conn, fetch.domain, question, now)
    lookup.alarm(context, conn, fetch.domain, answer, fetch.caller.name, fetch.request)
    rows = answer.rows
    wanted = [found[0] if found is not None and found[0] in allowed else None for found in rows]
    originals = unseal(context, conn, fetch.domain, {serial for serial in wanted if serial is not None})
    refused = sum(serial not in originals for serial in wanted)
    quota = _spend(context, conn, fetch.caller.name, stamp(now)[:10], len(originals))
    if quota is not None:
        return _refuse(context, conn, fetch, quota, len(originals))
    _log(context, conn, fetch, wanted, rows, originals)
    if refused:
        _note(context, conn, fetch, "not_in_ticket", refused)
    kept = requests.keep(conn, row, after)
    return api.OriginalsAnswer(
        originals=[None if serial is None else originals.get(serial) for serial in wanted],
        errors=[
            _error(index, int(question.status[index]))
            for index, serial in enumerate(wanted)
            if originals.get(serial) is None
        ],
        fetches_left=kept.fetches_left,
        state=kept.state,
    )


def unseal(context: Context, conn: Connection, domain: DomainRow, serials: set[int]) -> Mapping[int | None, str]:
    """Originals by serial; rows that were anonymised have none."""
    query = (
        "SELECT serial, nonce, idx, tag, sealed FROM entry WHERE domain = ? AND status = 0"
        " AND sealed IS NOT NULL AND serial IN {values}"
    )
    found: list[tuple[int, bytes, int, bytes, bytes]] = list(select_in(conn, query, (domain.id,), sorted(serials)))
    head = layout.seal_head(domain)
    ids = [layout.row_id(serial, nonce) for serial, nonce, *_ in found]
    opened = sealing.unseal(
        context,
        domain,
        [ident + b"\1" for ident in ids],
        [row[4] for row in found],
        [head + ident + row[2].to_bytes(4, "big") + row[3] for ident, row in zip(ids, found, strict=True)],
    )
    return {row[0]: original.decode() for row, original in zip(found, opened, strict=True)}


def _spend(context: Context, conn: Connection, site: str, day: str, count: int) -> PolicyError | None:
    limit = context.limits.reidentify_per_day
    row = conn.execute("SELECT released FROM reidentification_day WHERE site = ? AND day = ?", (site, day)).fetchone()
    if (row[0] if row else 0) + count > limit:
        return PolicyError(
            "the originals that this site may fetch in a day are used up",
            code="reidentification_quota",
            hint=f"the limit is {limit} a day (UTC); an operator sets limits.reidentify_per_day",
        )
    conn.execute(
        "INSERT INTO reidentification_day VALUES (?,?,?)"
        " ON CONFLICT (site, day) DO UPDATE SET released = reidentification_day.released + excluded.released",
        (site, day, count),
    )
    return None


def _log(
    context: Context,
    conn: Connection,
    fetch: _Fetch,
    wanted: Sequence[int | None],
    rows: Sequence[tuple[int, bytes] | None],
    originals: Mapping[int | None, str],
) -> None:
    """One entry per subject with a commitment under a salt of its own; the salts go into an erasable table."""
    subjects: dict[int, tuple[bytes, str]] = {}
    for serial, row, pseudonym in zip(wanted, rows, fetch.pseudonyms, strict=True):
        if row is not None and serial is not None and serial in originals:
            subjects.setdefault(serial, (row[1], pseudonym))
    noise = os.urandom(wire.SALT_BYTES * len(subjects))
    salts = [noise[at : at + wire.SALT_BYTES] for at in range(0, len(noise), wire.SALT_BYTES)]
    common = {
        "who": fetch.caller.name,
        "request": fetch.request,
        "domain": fetch.domain.name,
        "reidentification": fetch.ident,
    }
    first = context.log.append_many(
        conn,
        [
            (
                Event.PSEUDONYM_REIDENTIFY,
                {
                    **common,
                    "commitment": wire.commitment(
                        salt, fetch.domain.uuid, fetch.ident, layout.row_id(serial, nonce), pseudonym
                    ),
                },
            )
            for salt, (serial, (nonce, pseudonym)) in zip(salts, subjects.items(), strict=True)
        ],
    )
    conn.executemany(
        "INSERT INTO reidentification_salt VALUES (?,?,?,?)",
        [
            (fetch.domain.id, serial, first + at, salt)
            for at, (serial, salt) in enumerate(zip(subjects, salts, strict=True))
        ],
    )


def _refuse(context: Context, conn: Connection, fetch: _Fetch, error: PolicyError, count: int) -> PolicyError:
    _note(context, conn, fetch, error.code, count)
    return error


def _note(context: Context, conn: Connection, fetch: _Fetch, code: str, count: int) -> None:
    # The id is the caller's text here: it is logged only where it names a request of theirs.
    known = conn.execute(
        "SELECT 1 FROM reidentification WHERE id = ? AND site = ?", (fetch.ident, fetch.caller.name)
    ).fetchone()
    extra = {"reidentification": fetch.ident} if known else {}
    context.audit(
        conn,
        Event.REIDENTIFY_REFUSED,
        fetch.caller.name,
        fetch.request,
        domain=fetch.domain.name,
        code=code,
        count=count,
        **extra,
    )


def _error(index: int, status: int) -> api.ItemError:
    if status == 2:
        return api.ItemError(
            index=index, code="wrong_check_characters", hint="probably mistyped: compare with the source"
        )
    return api.ItemError(index=index, code="not_in_ticket", hint="not requested with this ticket, or deleted since")
