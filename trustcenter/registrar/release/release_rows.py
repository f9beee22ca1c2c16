"""Releases as they are stored and shown."""

from __future__ import annotations

from dataclasses import dataclass

from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.study import studies
from trustcenter.store import Connection


@dataclass(frozen=True)
class ReleaseRow:
    """A release as stored, without the sealed map."""

    id: str
    study: str
    recipient: str
    run: str
    statement: str
    state: str
    records: int
    proposed_by: str
    created: str


COLUMNS = "id, study, recipient, run, statement, state, records, proposed_by, created"


def find(conn: Connection, study: str, release: str) -> ReleaseRow:
    """A release of a study.

    Raises:
        NotFoundError: there is none.
    """
    row = conn.execute(f"SELECT {COLUMNS} FROM release WHERE study = ? AND id = ?", (study, release)).fetchone()  # noqa: S608
    if row is None:
        raise NotFoundError(
            "this study has no such release", code="unknown_release", hint="trustcenter study release STUDY lists them"
        )
    return ReleaseRow(*row)


def describe(conn: Connection, release: ReleaseRow) -> api.Release:
    """A release as a message, with who has approved it."""
    names = [
        row[0] for row in conn.execute("SELECT staff FROM approval WHERE release = ? ORDER BY created", (release.id,))
    ]
    study = studies.find(conn, release.study)
    return api.Release(
        release=release.id,
        study=release.study,
        recipient=release.recipient,
        run=release.run,
        statement=release.statement,
        approvals=names,
        required=study.settings.approvals,
        state=release.state,
        records=release.records,
        created=release.created,
    )


async def show(context: Context, study: str, release: str) -> api.Release:
    """A release and who has approved it."""
    return await context.db.read(lambda conn: describe(conn, find(conn, study, release)))


async def listing(context: Context, study: str) -> api.Releases:
    """Every release of a study, newest first.

    Raises:
        NotFoundError: no such study.
    """

    def look(conn: Connection) -> api.Releases:
        studies.find(conn, study)
        rows = conn.execute(f"SELECT {COLUMNS} FROM release WHERE study = ? ORDER BY created DESC, id", (study,))  # noqa: S608
        return api.Releases(releases=[describe(conn, ReleaseRow(*row)) for row in rows.fetchall()])

    return await context.db.read(look)
