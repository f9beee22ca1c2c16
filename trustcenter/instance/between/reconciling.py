"""M7 at the registrar: bring the two rooms together again after one of their stores was restored alone.

Refs that only the registrar has belong to rows that are lost: they are dropped with all refs of their records, so that
the site's next upload, which sends the difference, brings those records again. Rows that only the comparator has are
dropped there. The next window compares everything.

A comparator could say that it lost a single row, to be told which others are of the same record. So records lose their
refs in groups of at least a minimum batch, which are the same ones each time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from trustcenter.audit import Event
from trustcenter.errors import VerificationError
from trustcenter.messages.reconcile import ReconciledStudy, ReconcileRefs, ReconcileStudy, Rejoin
from trustcenter.messages.rooms import Retire, Step, StudyPhase
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import ledger, outbox, pairs, receipt_keys, retiring
from trustcenter.registrar.study import enrolment, refs, studies, study_states
from trustcenter.store import Connection
from trustcenter.store.packed import Keys

from .port import Comparator

PAGE_REFS: Final = 200_000
_AHEAD_MAX: Final = 1_000_000  # messages, windows or receipts that a room can be behind the other
_log = structlog.get_logger()


async def reconcile(registrar: Context, comparator: Comparator) -> None:
    """Compare what both rooms hold, study by study, and settle every difference. Begun again, it is harmless."""
    theirs = (await comparator.state()).step
    mine = await registrar.db.read(ledger.step)
    require_near(theirs.number, mine.number)
    names = await registrar.db.read(announced)
    lost = dropped = 0
    for name in names:
        message = await _study_message(registrar, name)
        answer = await comparator.reconcile_study(message)
        missing = bytearray()
        low = b""
        while True:
            asked = await registrar.db.read(lambda conn, n=name, low=low: refs_message(conn, n, low))  # type: ignore[misc]
            found = await comparator.reconcile_refs(asked)
            missing += missing_of(found.missing, asked)
            dropped += found.dropped
            if asked.high is None:
                break
            low = asked.high
        lost += await settle(registrar, message, answer, bytes(missing))
    step = next_step(mine, theirs)
    await comparator.rejoin(Rejoin(studies=names, step=step))
    await rejoin(registrar, theirs, step, records=lost, rows=dropped)


async def _study_message(registrar: Context, name: str) -> ReconcileStudy:
    """What the comparator is to know of a study again, with nothing waiting that would undo it."""

    def look(conn: Connection) -> ReconcileStudy | None:
        return None if came_again(conn) else study_message(conn, name)

    while (found := await registrar.db.read(look)) is None:
        await registrar.db.write(spare)
    return found


def next_step(mine: Step, theirs: Step) -> Step:
    """A step that neither room was at before: a message of another moment never fits it."""
    return Step(max(mine.number, theirs.number) + 1, mine.after("reconcile", theirs.chain).chain)


async def settle(registrar: Context, message: ReconcileStudy, answer: ReconciledStudy, missing: bytes) -> int:
    """Drop the refs of a study's records that lost rows (packed), in whole groups; how many records."""
    require_near(answer.window, message.window)
    return await registrar.db.write(lambda conn: _settle(conn, message.params.study, missing, answer.window))


async def rejoin(registrar: Context, theirs: Step, step: Step, *, records: int, rows: int) -> None:
    """Go on from the step that both rooms are at now, with the entry of it. Twice is harmless."""

    def effect(conn: Connection) -> bool:
        mine = ledger.step(conn)
        if mine == step:
            return False
        ledger.set_step(conn, step)
        enrolment.tell_turned_out(conn)
        receipt_keys.forget(conn)
        registrar.audit(
            conn,
            Event.ROOMS_REJOIN,
            "service",
            "",
            from_step=mine.number,
            comparator_step=theirs.number,
            to_step=step.number,
            records=records,
            rows=rows,
        )
        return True

    if await registrar.db.write(effect):
        _log.warning("rooms_reconciled", records=records, rows=rows)


def require_near(said: int, known: int) -> None:
    """Refuse a number of the comparator's that is far ahead: numbers only grow, and it would use up all that follow.

    Raises:
        VerificationError: it is.
    """
    if said > known + _AHEAD_MAX:
        raise VerificationError(
            "the comparator is at a number that it cannot have come to",
            code="number_too_far",
            hint="nothing was changed; tell the operator of the comparator",
        )


def announced(conn: Connection) -> list[str]:
    """Studies that the comparator was told of."""
    query = "SELECT name FROM study WHERE state <> 'draft' ORDER BY name"
    return [name for (name,) in conn.execute(query)]


def study_message(conn: Connection, name: str) -> ReconcileStudy:
    """What the comparator is to know of a study again."""
    study = studies.find(conn, name)
    accepted = conn.execute("SELECT upload FROM map WHERE study = ? ORDER BY upload", (name,))
    (window,) = conn.execute("SELECT coalesce(max(window_number), 0) FROM run WHERE study = ?", (name,)).fetchone()
    takes_rows = study.state == study_states.StudyState.OPEN
    return ReconcileStudy(
        params=studies.current_params(conn, study),
        phase=StudyPhase(study=name, takes_rows=takes_rows, purge=study.purged is not None),
        accepted=[upload for (upload,) in accepted],
        window=window,
    )


def refs_message(conn: Connection, study: str, low: bytes) -> ReconcileRefs:
    """The next refs of a study in their order, after `low`; `high` is the last of them if more may follow."""
    page = refs.after(conn, refs.domains_of(conn, study), low, PAGE_REFS)
    high = page[-1] if len(page) == PAGE_REFS else None
    # What waits to be retired is held, too: what it is not told of is dropped, which would say what was one record.
    page = sorted(page + retiring.between(conn, study, low, high))
    return ReconcileRefs(study=study, low=low, high=high, refs=b"".join(page))


def refs_messages(conn: Connection, study: str) -> Iterator[ReconcileRefs]:
    """All refs of a study, in pages."""
    high: bytes | None = b""
    while high is not None:
        page = refs_message(conn, study, high)
        yield page
        high = page.high


def came_again(conn: Connection) -> dict[int, Retire]:
    """Messages that wait and would retire refs which a record has again, without those refs.

    A correction that was undone: the rows came again after the message. Told in their order, the message takes the old
    rows and the upload brings the new ones. But reconciling makes accepted uploads live before anything is told.
    """
    found = {}
    for row_id in outbox.waiting(conn):
        message = outbox.message(*outbox.get(conn, row_id))
        if not isinstance(message, Retire):
            continue
        held = refs.holders(conn, refs.domains_of(conn, message.study), Keys.of(refs.split(message.refs)))
        again = {ref for _, some in held for ref in refs.cut(some["ref"].tobytes())}
        if again:
            rest = b"".join(ref for ref in refs.cut(message.refs) if ref not in again)
            found[row_id] = Retire(study=message.study, refs=rest)
    return found


def spare(conn: Connection) -> None:
    """Change those messages so, before the rooms are reconciled."""
    for row_id, message in came_again(conn).items():
        if message.refs:
            outbox.change(conn, row_id, message)
        else:
            outbox.done(conn, row_id)


def _settle(conn: Connection, study: str, missing: bytes, window: int) -> int:
    """Drop the refs of records that lost rows; what the comparator still has of them is retired. How many records."""
    conn.execute(
        "UPDATE study SET window_floor = CASE WHEN window_floor < ? THEN ? ELSE window_floor END WHERE name = ?",
        (window, window, study),
    )
    (size,) = conn.execute("SELECT minimum_batch FROM study WHERE name = ?", (study,)).fetchone()
    named: dict[int, set[int]] = {}
    gone = Keys.of(refs.split(missing))
    for domain, found in refs.holders(conn, refs.domains_of(conn, study), gone):
        named.setdefault(domain, set()).update(found["serial"].tolist())  # others were withdrawn meanwhile
    records: list[tuple[int, int]] = []
    for domain, lost in named.items():
        query = "SELECT DISTINCT serial FROM record_refs WHERE domain = ? ORDER BY serial"
        held = [serial for (serial,) in conn.execute(query, (domain,))]
        records += [(domain, s) for group in groups(held, size) if not lost.isdisjoint(group) for s in group]
    rest: list[bytes] = []
    for domain in named:
        removed = refs.split(b"".join(refs.remove(conn, domain, [serial for at, serial in records if at == domain])))
        rest += refs.cut(removed[~gone.among(removed)].tobytes())
    conn.executemany(
        "UPDATE record SET state = 'unlinked' WHERE domain = ? AND serial = ? AND state = 'mapped'", list(records)
    )
    for domain in named:
        pairs.note_departure(conn, domain)
        # Those that are linked have edges whose refs are gone now.
        pairs.touch(conn, domain, pairs.mapped(conn, domain, [serial for at, serial in records if at == domain]))
    for start in range(0, len(rest), PAGE_REFS):
        part = sorted(rest[start : start + PAGE_REFS])
        outbox.put(conn, "retire", Retire(study=study, refs=b"".join(part)))
    return len(records)


def groups(serials: Iterable[int], size: int) -> list[list[int]]:
    """Serials, ascending, cut into groups of at least `size`; fewer are one group.

    A cut depends on the serials' numbers, not on how many there are before it: a record that comes or goes changes its
    own group, and at most those beside it. Otherwise two answers about one record would meet in it alone.
    """
    found: list[list[int]] = []
    for _, part in itertools.groupby(serials, key=lambda serial: serial // size):
        if found and len(found[-1]) < size:
            found[-1] += part
        else:
            found.append(list(part))
    if len(found) > 1 and len(found[-1]) < size:
        last = found.pop()
        found[-1] += last
    return found


def missing_of(packed: bytes, asked: ReconcileRefs) -> bytes:
    """The refs that the comparator has no row of, packed.

    Raises:
        VerificationError: one that it was not asked about.
    """
    if not frozenset(refs.cut(asked.refs)).issuperset(refs.cut(packed)):
        raise VerificationError("the comparator misses refs that it was not asked about", code="foreign_refs")
    return packed
