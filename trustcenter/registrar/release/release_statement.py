"""What approvers of a release sign: whose map, of which run, how large, and that changes follow to the same key."""

from __future__ import annotations

from typing import Final

from keys import hybrid
from trustcenter.errors import ConflictError
from trustcenter.registrar.consents import consent_study
from trustcenter.registrar.context import Context
from trustcenter.registrar.study.studies import StudyRow
from trustcenter.store import Connection

CONTEXT: Final = "trustcenter/release/1"


def latest_run(conn: Connection, study: str) -> tuple[str, int, str]:
    """Id, window and parameters of the run whose persons stand.

    Raises:
        ConflictError: nothing was linked yet.
    """
    row = conn.execute(
        "SELECT id, window_number, parameters_hash FROM run WHERE study = ? AND state = 'applied'"
        " ORDER BY window_number DESC LIMIT 1",
        (study,),
    ).fetchone()
    if row is None:
        raise ConflictError(
            "nothing was linked yet in this study",
            code="nothing_linked",
            hint="run trustcenter study link first",
        )
    return row[0], row[1], row[2]


def size(context: Context, conn: Connection, study: str) -> tuple[int, int]:
    """How many records and persons the join map has today."""
    without = consent_study.left_out(context, conn, study)
    rows = conn.execute(
        "SELECT r.domain, r.serial, r.person FROM record r JOIN participant p ON p.domain = r.domain"
        " WHERE p.study = ? AND r.state = 'linked' AND r.decoy = 0",
        (study,),
    )
    persons = [person for domain, serial, person in rows if (domain, serial) not in without]
    return len(persons), len(set(persons))


def compose(
    context: Context,
    study: StudyRow,
    release: tuple[str, str, str],
    run: tuple[str, int, str],
    counts: tuple[int, int],
) -> str:
    """The statement.

    Args:
        context: the registrar.
        study: as it is now.
        release: its id, the recipient's name and public key.
        run: id, window and hash of the parameters.
        counts: records and persons in the map.
    """
    return "\n".join(
        (
            CONTEXT,
            f"instance: {context.head.instance}",
            f"release: {release[0]}",
            f"study: {study.name} version {study.version}",
            f"purpose: {study.purpose}",
            f"permit: {study.permit}",
            f"recipient: {release[1]}",
            f"recipient key: {hybrid.fingerprint(release[2])}",
            f"run: {run[0]} window {run[1]}",
            f"parameters: {run[2]}",
            f"records: {counts[0]}",
            f"persons: {counts[1]}",
            "afterwards: merges, moves and withdrawals of these records, sealed to the same key",
            "",
        )
    )
