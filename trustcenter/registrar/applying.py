"""The one transaction that applies a run, and what is written before it: edges, which decide nothing by themselves."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from trustcenter.audit import Event
from trustcenter.clock import stamp
from trustcenter.messages.rooms import EdgesHeader
from trustcenter.store import Connection, select_in

from . import clearing_tasks, consent_study, linkage_log, pairs, release_changes, studies
from .context import Context
from .deciding import Decided
from .pairs import Changes, Key
from .runs import RunRow, find, require_step, require_wanted


async def keep_edges(context: Context, run: RunRow, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Write the edges that a run brought, in several transactions, so that others have their turn. Twice is harmless.

    Yields:
        After each transaction how many there were, and how many there are.

    Raises:
        ConflictError: the run has ended meanwhile. CancelledRun: it is not to be applied.
    """
    changes = Changes(folder)

    def slice_at(start: int) -> Callable[[Connection], None]:
        def effect(conn: Connection) -> None:
            require_step(find(conn, run.study, run.id).state, "applied")
            require_wanted(conn, run)
            changes.keep(conn, start)

        return effect

    slices = changes.slices()
    for done, start in enumerate(slices, 1):
        await context.db.write(slice_at(start))
        yield done, len(slices)


async def apply(context: Context, run: RunRow, decided: Decided, header: EdgesHeader) -> None:
    """Write persons, links and counts of a run, once, with its audit entry.

    Who is whose successor: docs/spec/persons.md, section 4. The entry counts who was created, grew, was split, merged.

    Raises:
        ConflictError: the run has ended meanwhile. CancelledRun: it is not to be applied.
    """

    def effect(conn: Connection) -> None:
        require_step(find(conn, run.study, run.id).state, "applied")
        require_wanted(conn, run)
        study = studies.find(conn, run.study)
        before = _before(conn, decided)
        persons, happened = _persons(before, decided)
        _write_records(conn, before, decided, persons)
        conn.executemany(
            "INSERT INTO link VALUES (?,?,?,?,?,?,?,?,?)",
            [
                (run.id, *decided.records[a], *decided.records[b], count, level, posterior, cls)
                for a, b, count, level, posterior, cls in decided.links
            ],
        )
        # Asked once more: since it was decided a withdrawal may have come, or the last day of a consent have passed.
        late = consent_study.left_out(context, conn, run.study) - decided.left_out
        left_out = decided.left_out | late
        consent_study.unlink(conn, run.id, left_out, late)
        looked_at = None if decided.everything else {*decided.records, *decided.left}
        clearing_tasks.take_over(context, conn, run.study, run.id, study.settings.clearing, looked_at)
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
            changes=happened,
            **linkage_log.commit(conn, run.id),
            **({"left_out": len(left_out)} if left_out else {}),
            **({"unmet": unmet} if unmet else {}),
        )

    await context.db.write(effect)


_Before = dict[Key, tuple[bytes | None, float | None]]  # person and quality


def _before(conn: Connection, decided: Decided) -> _Before:
    """Of all records that were looked at and are still there."""
    found: _Before = {}
    wanted: dict[int, list[int]] = {}
    for domain, serial in (*decided.records, *decided.left):
        wanted.setdefault(domain, []).append(serial)
    for domain, serials in wanted.items():
        query = "SELECT serial, person, quality FROM record WHERE domain = ? AND serial IN {values}"
        for serial, person, quality in select_in(conn, query, (domain,), serials):
            found[domain, serial] = (bytes(person) if person is not None else None, quality)
    return found


def _persons(before: _Before, decided: Decided) -> tuple[dict[int, bytes], dict[str, int]]:
    """The person of every cluster, and what happened to how many; records are senior in the order of their keys."""
    from linkage.cluster import succession

    members: dict[int, list[Key]] = {}
    for key, label in zip(decided.records, decided.labels, strict=True):
        members.setdefault(label, []).append(key)
    held = {key: person for key, (person, _) in before.items() if person is not None}
    made = succession(held, list(members.values()), lambda key: key, lambda _: os.urandom(16))
    happened = Counter(event.kind.value for event in made.events)
    return dict(zip(members, made.persons, strict=True)), dict(sorted(happened.items()))


def _write_records(conn: Connection, before: _Before, decided: Decided, persons: dict[int, bytes]) -> None:
    """Person and quality of the records with which one of them is another now."""
    conn.executemany(
        "UPDATE record SET state = 'linked', person = ?, quality = ? WHERE domain = ? AND serial = ?",
        [
            (persons[label], quality, *key)
            for key, label, quality in zip(decided.records, decided.labels, decided.quality, strict=True)
            if before.get(key) != (persons[label], quality)
        ],
    )


def _settle(conn: Connection, run: RunRow, decided: Decided, header: EdgesHeader) -> None:
    """Which delivery was applied, and with what the next run decides."""
    last = pairs.standing(conn, run.study)
    records = sum(source.records for source in decided.counts.sources)
    if not decided.everything and last is not None:
        records = last.records
    state = pairs.Standing(header.link, decided.parameters, decided.basis, records)
    pairs.settle(conn, run.study, state, decided.settled)
