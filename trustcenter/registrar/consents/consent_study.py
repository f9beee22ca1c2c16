"""Consent of a study's records: what a withdrawal takes away, and what a run and a release leave out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from trustcenter.messages.consent import code_system
from trustcenter.registrar import domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.doubts import clearing_tasks
from trustcenter.registrar.linking import pairs, retiring, tally
from trustcenter.registrar.study import refs
from trustcenter.store import Connection, select_in

from . import consent_gate
from .consent_decision import Status, decide, relevant, unpack

_AT_ONCE: Final = 10_000  # values of one statement


def forget(context: Context, conn: Connection, domain: DomainRow, serials: Sequence[int]) -> tuple[int, int]:
    """Remove records whose entries are erased: refs, links, and sealed join maps. The comparator is told later.

    Returns:
        How many refs are retired, and how many sealed join maps erased.
    """
    assert domain.study is not None
    query = "SELECT serial FROM record WHERE domain = ? AND serial IN {values}"
    held = [row[0] for row in select_in(conn, query, (domain.id,), serials)]
    if not held:
        return 0, 0
    retired = refs.remove(conn, domain.id, held)
    pairs.forget(conn, domain.id, held)
    keys = [(domain.id, serial) for serial in held]
    with tally.changing(conn, domain.study, keys):
        conn.executemany("DELETE FROM record WHERE domain = ? AND serial = ?", keys)
    clearing_tasks.forget(conn, domain.id, held)
    for part in _parts(held):
        marks = ",".join("?" * len(part))
        for side in ("a", "b"):
            conn.execute(
                f"DELETE FROM link WHERE domain_{side} = ? AND serial_{side} IN ({marks})",  # noqa: S608 - constants
                (domain.id, *part),
            )
    if retired:
        retiring.wait(context, conn, domain.study, retired)
    maps = conn.execute(
        "UPDATE release SET sealed = NULL WHERE study = ? AND state = 'released' AND sealed IS NOT NULL",
        (domain.study,),
    ).rowcount
    return len(retired), maps


def left_out(context: Context, conn: Connection, study: str) -> frozenset[tuple[int, int]]:
    """Records (domain row id, serial) of a study whose persons have not permitted today what it requires."""
    found = []
    system, day = code_system(), consent_gate.today(context)
    rows = conn.execute("SELECT domain FROM participant WHERE study = ? ORDER BY site", (study,)).fetchall()
    for (domain,) in rows:
        required = domains.by_id(conn, domain).policy.consent
        if not required:
            continue
        only = relevant(system, required)
        for serial, stored in conn.execute(
            "SELECT r.serial, c.provisions FROM record r JOIN entry e ON e.domain = r.domain AND e.serial = r.serial"
            " LEFT JOIN consent c ON c.domain = e.domain AND c.tag = e.tag WHERE r.domain = ?",
            (domain,),
        ):
            held = unpack(stored, only) if stored is not None else {}
            if decide(system, held, required, day) is not Status.PERMITTED:
                found.append((domain, serial))
    return frozenset(found)


def moment(context: Context, conn: Connection, study: str) -> tuple[str, int]:
    """The day, and how often consents of a study were changed: while both stand, nobody else is left out."""
    query = "SELECT coalesce(sum(d.consent_changes), 0) FROM domain d JOIN participant p ON p.domain = d.id"
    (changes,) = conn.execute(query + " WHERE p.study = ?", (study,)).fetchone()
    return consent_gate.today(context).isoformat(), int(changes)


def withdrawals(conn: Connection, study: str) -> int:
    """How many withdrawals a study has seen: whether there was one since is a comparison of two such numbers."""
    query = "SELECT count(*) FROM consent_salt s JOIN participant p ON p.domain = s.domain WHERE p.study = ?"
    return int(conn.execute(query, (study,)).fetchone()[0])


def unlink(
    conn: Connection, run: str, records: frozenset[tuple[int, int]], late: frozenset[tuple[int, int]], complete: bool
) -> None:
    """Records that a run left out belong to no person. Links go of those that were decided about before (`late`), and,
    unless all are there (`complete`), of records that were removed or superseded meanwhile. The next run looks at
    whoever had edges with a late one.
    """
    conn.executemany(
        "UPDATE record SET state = 'mapped', person = NULL, quality = NULL"
        " WHERE domain = ? AND serial = ? AND state = 'linked'",
        sorted(records),
    )
    for domain in {record[0] for record in late}:
        pairs.touch(conn, domain, [serial for at, serial in late if at == domain])
    for side in ("a", "b"):
        conn.executemany(
            f"DELETE FROM link WHERE run = ? AND domain_{side} = ? AND serial_{side} = ?",  # noqa: S608 - constants
            [(run, *record) for record in sorted(late)],
        )
        if complete:
            continue
        conn.execute(
            "DELETE FROM link WHERE run = ? AND NOT EXISTS (SELECT 1 FROM record r"  # noqa: S608 - constants
            f" WHERE r.domain = link.domain_{side} AND r.serial = link.serial_{side} AND r.state <> 'unlinked')",
            (run,),
        )


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
