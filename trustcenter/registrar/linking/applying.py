"""The one transaction that applies a run, and what is written before it: edges, which decide nothing by themselves."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from trustcenter.audit import Event
from trustcenter.clock import stamp
from trustcenter.messages.rooms import EdgesHeader
from trustcenter.registrar.consents import consent_study
from trustcenter.registrar.context import Context
from trustcenter.registrar.doubts import clearing_tasks
from trustcenter.registrar.release import release_changes
from trustcenter.registrar.study import studies
from trustcenter.store import Connection, update_rows

from . import pairs, tally
from .changes import Changes, Slice
from .links import Links
from .outcome import Decided
from .pairs import Key
from .runs import RunRow, find, require_step, require_wanted

_SLICE: Final = 20_000  # rows made ready at a time


async def keep_edges(context: Context, run: RunRow, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Write the edges that a run changed, in several transactions, so that others have their turn. Twice is harmless.

    Yields:
        After each transaction how many there were, and how many there are.

    Raises:
        ConflictError: the run has ended meanwhile. CancelledRun: it is not to be applied.
    """
    changes = Changes(folder)

    def slice_of(part: Slice) -> Callable[[Connection], None]:
        def effect(conn: Connection) -> None:
            require_step(find(conn, run.study, run.id).state, "applied")
            require_wanted(conn, run)
            changes.keep(conn, part, _mark(run))

        return effect

    slices = changes.slices()
    for done, part in enumerate(slices, 1):
        await context.db.write(slice_of(part), large=True)
        yield done, len(slices)


async def apply(
    context: Context,
    run: RunRow,
    decided: Decided,
    header: EdgesHeader,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write links, persons and counts of a run, once, with its audit entry.

    Links, which count for nothing without the run, go first, in several transactions. What else `consent_study` leaves
    out now is looked for before the last one, and in it only if a consent was changed meanwhile.

    Who is whose successor: docs/spec/persons.md, section 4. The entry counts who was created, grew, was split, merged.

    Args:
        context: the registrar.
        run: of what was decided.
        decided: what comes of it.
        header: of the edges.
        tell: is told how many of the first transactions are done, and how many there are.

    Raises:
        ConflictError: the run has ended meanwhile. CancelledRun: it is not to be applied.
    """
    links = Links(context, run, decided)
    async for done, total in links.keep():
        tell(done, total)
    before, without = await context.db.read(
        lambda conn: (consent_study.moment(context, conn, run.study), consent_study.left_out(context, conn, run.study))
    )

    def effect(conn: Connection) -> None:
        require_step(find(conn, run.study, run.id).state, "applied")
        require_wanted(conn, run)
        study = studies.find(conn, run.study)
        # Asked once more: since it was decided a withdrawal may have come, or the last day of a consent have passed.
        same = consent_study.moment(context, conn, run.study) == before
        late = (without if same else consent_study.left_out(context, conn, run.study)) - decided.left_out
        left_out = decided.left_out | late
        complete = not late and pairs.departures(conn, run.study) == decided.departures
        with _counted(conn, run.study, decided, left_out, complete):
            _write_records(conn, decided)
            consent_study.unlink(conn, run.id, left_out, late, complete)
        looked_at = None if decided.everything else {*map(tuple, decided.records.tolist()), *decided.left}
        clearing = study.settings.clearing
        clearing_tasks.take_over(context, conn, run.study, run.id, clearing, decided.bounds[1], decided.cut, looked_at)
        unmet = clearing_tasks.note_unmet(conn, run.study, decided.unmet, looked_at)
        release_changes.after_run(context, conn, run.study, None if looked_at is None else looked_at | left_out)
        counts = msgspec.structs.replace(decided.counts, unmet=unmet)
        _settle(conn, run, decided, header)
        conn.execute(
            "UPDATE run SET state = 'applied', parameters_hash = ?, counts = ?, finished = ? WHERE id = ?",
            (
                decided.parameters_hash,
                msgspec.json.encode(counts).decode(),
                stamp(context.clock()),
                run.id,
            ),
        )
        context.audit(
            conn,
            Event.RUN_APPLY,
            "service",
            "",
            study=run.study,
            run=run.id,
            window=run.window,
            mode=run.mode,
            decided=decided.counts.decided,
            parameters=decided.parameters_hash,
            fingerprint=study.fingerprint,
            thresholds_ppm=[round(bound * 1e6) for bound in (study.settings.lower, study.settings.upper)],
            edges=header.edges,
            edges_sha256=header.sha256,
            sources=[{"site": s.site, "records": s.records} for s in decided.counts.sources],
            pairs=[{"sites": p.sites, "matches": p.matches, "possible": p.possible} for p in decided.counts.pairs],
            persons=decided.counts.persons,
            changes=decided.happened,
            **links.entry,
            **({"left_out": len(left_out)} if left_out else {}),
            **({"unmet": unmet} if unmet else {}),
        )

    await context.db.write(effect, large=True)


@contextlib.contextmanager
def _counted(
    conn: Connection, study: str, decided: Decided, left_out: frozenset[Key], complete: bool
) -> Iterator[None]:
    """Keep the counts of the study right while its records come to other persons.

    Args:
        conn: of the writing transaction.
        study: its name.
        decided: what is written.
        left_out: records that come to nobody.
        complete: whether all records are still there, and permitted, that were decided about.
    """
    if decided.everything:
        yield
        if decided.counted is not None and complete:
            tally.put(conn, study, decided.counted)
        else:
            tally.recount(conn, study)
        return
    records = [*map(tuple, decided.records[decided.changed].tolist()), *left_out]
    persons = {person.tobytes() for person in decided.persons[decided.changed]}
    with tally.changing(conn, study, records, persons):
        yield


def _write_records(conn: Connection, decided: Decided) -> None:
    """Person and quality of the records with which one of them is another now."""
    chosen = np.flatnonzero(decided.changed)
    for start in range(0, len(chosen), _SLICE):
        part = chosen[start : start + _SLICE]
        packed = decided.persons[part].tobytes()
        persons = [packed[at : at + 16] for at in range(0, len(packed), 16)]
        quality = [None if math.isnan(value) else value for value in decided.quality[part].tolist()]
        update_rows(
            conn,
            "record",
            "state = 'linked', person = ?, quality = ?",
            "domain = ? AND serial = ? AND state <> 'unlinked'",
            list(zip(persons, quality, *decided.records[part].T.tolist(), strict=True)),
        )


def _settle(conn: Connection, run: RunRow, decided: Decided, header: EdgesHeader) -> None:
    """Which delivery was applied, and with what the next run decides."""
    last = pairs.standing(conn, run.study)
    records = sum(source.records for source in decided.counts.sources)
    if not decided.everything and last is not None:
        records = last.records
    state = pairs.Standing(header.link, decided.parameters, decided.basis, records)
    pairs.settle(conn, run.study, state, decided.settled, _mark(run))


def _mark(run: RunRow) -> bytes:
    """The same when an interrupted run is taken up again: it has read then what it marked before."""
    return bytes.fromhex(run.id)
