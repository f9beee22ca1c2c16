"""Duplicates that a site found in its own plaintext: one record is superseded by another of the same site.

The comparator never compares within a source, so only the site can say it. The superseded record leaves linkage: its
refs are retired and it has no person any more. Its pseudonym stays, and names its successor in the site's results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, UsageError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.doubts import clearing_tasks
from trustcenter.registrar.limits import require_batch
from trustcenter.registrar.linking import pairs as pairs_kept
from trustcenter.registrar.linking import retiring, tally
from trustcenter.registrar.pseudonyms import layout
from trustcenter.registrar.pseudonyms.batches import serials_of
from trustcenter.registrar.release import release_changes
from trustcenter.store import Connection, Migration

from . import refs, studies

MIGRATIONS: Final = (
    Migration(
        number=501,
        name="own duplicates of a site",
        sql="""
        CREATE TABLE successor (
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            successor INTEGER NOT NULL,   -- serial of a record of the same domain that has no successor itself
            declared TEXT NOT NULL,
            PRIMARY KEY (domain, serial)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


async def declare(
    context: Context, caller: Principal, request: str, study_name: str, body: api.DuplicateRequest
) -> api.DuplicateAnswer:
    """Take a site's own duplicates: all or none. The same declaration again is harmless.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        UsageError: a record that was never registered, twice, or its own successor.
        ConflictError: a record that has another successor already.
        LimitError: more than a batch.
    """
    require_batch(len(body.duplicates), context.limits.batch_items, "duplicates")
    _, domain = await context.db.read(lambda conn: studies.open_to(context, conn, study_name, caller))
    numbers = [bytes.fromhex(n) for pair in body.duplicates for n in (pair.record_number, pair.successor)]
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, layout.LOOKUP_VERSION, numbers)

    def effect(conn: Connection) -> api.DuplicateAnswer:
        studies.require_open(context, studies.find(conn, study_name, caller))
        serials = serials_of(context, conn, domain, tags, "a duplicate", lambda at: f"duplicate {at // 2 + 1}")
        known = successors(conn, domain.id)
        new = _new(list(zip(serials[::2], serials[1::2], strict=True)), known)
        refs = _supersede(context, conn, domain, new)
        if refs:
            retiring.wait(context, conn, study_name, refs)
        if new:
            context.audit(
                conn,
                Event.RECORD_SUPERSEDE,
                caller.name,
                request,
                study=study_name,
                count=len(new),
                retired=len(refs),
            )
        return api.DuplicateAnswer(superseded=len(new))

    return await context.db.write(effect)


def _new(pairs: Sequence[tuple[int, int]], known: Mapping[int, int]) -> dict[int, int]:
    """The declarations that are not known yet, each pointing to a record without a successor."""
    wanted: dict[int, int] = {}
    for position, (serial, successor) in enumerate(pairs):
        where = f"duplicate {position + 1}"
        if serial in wanted:
            raise UsageError("a record is declared a duplicate twice", code="duplicate_twice", where=where)
        wanted[serial] = successor
    every = {**known, **wanted}
    new = {}
    for position, serial in enumerate(wanted):
        end, steps = every[serial], 0
        while end in every and steps <= len(every):
            end, steps = every[end], steps + 1
        where = f"duplicate {position + 1}"
        if end in every:
            raise UsageError(
                "duplicates follow each other in a circle",
                code="duplicate_circle",
                hint="one of them stays",
                where=where,
            )
        if serial in known:
            if known[serial] != end:
                raise ConflictError("this record has another successor already", code="successor_exists", where=where)
            continue
        new[serial] = end
    return new


def _supersede(context: Context, conn: Connection, domain: DomainRow, new: Mapping[int, int]) -> list[bytes]:
    """Write the successors; returns the refs that are retired, sorted."""
    if not new:
        return []
    retired = refs.remove(conn, domain.id, list(new))
    rows = [(domain.id, serial) for serial in new]
    pairs_kept.forget(conn, domain.id, list(new))
    assert domain.study is not None
    with tally.changing(conn, domain.study, rows):
        conn.executemany(
            "UPDATE record SET state = 'unlinked', person = NULL, quality = NULL WHERE domain = ? AND serial = ?", rows
        )
    clearing_tasks.forget(conn, domain.id, list(new))
    # Whoever pointed to a record that is superseded now points to its successor.
    conn.executemany(
        "UPDATE successor SET successor = ? WHERE domain = ? AND successor = ?",
        [(end, domain.id, serial) for serial, end in new.items()],
    )
    day = stamp(context.clock())
    conn.executemany(
        "INSERT INTO successor VALUES (?,?,?,?)", [(domain.id, serial, end, day) for serial, end in new.items()]
    )
    release_changes.after_duplicates(context, conn, domain.study, [(domain.id, serial) for serial in new])
    return retired


def successors(conn: Connection, domain: int) -> dict[int, int]:
    """Serial of each superseded record of a domain, and of the record that stands for it."""
    return dict(conn.execute("SELECT serial, successor FROM successor WHERE domain = ?", (domain,)).fetchall())


def require_current(conn: Connection, domain: int, serials: Sequence[int]) -> None:
    """Refuse rows for records that are superseded.

    Raises:
        ConflictError: one is.
    """
    gone = successors(conn, domain)
    for position, serial in enumerate(serials):
        if serial in gone:
            raise ConflictError(
                "the map names a record that you declared a duplicate of another",
                code="superseded_record",
                hint="leave it out of the source; its pseudonym stays",
                where=f"record {position + 1}",
            )
