"""A study as one of its sources meets it at the comparator, and the numbers of the source's receipts."""

from __future__ import annotations

import json
from dataclasses import dataclass

from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.store import Connection


@dataclass(frozen=True)
class Study:
    """A study as the comparator knows it."""

    number: int
    name: str
    version: int
    fingerprint: str
    passes: int
    minimum_rows: int
    sources: tuple[str, ...]
    window: int
    takes_rows: bool
    removed: bool = False  # the source was, with an earlier version


def find_study(conn: Connection, name: str, source: str) -> Study:
    """A study that a source takes part in.

    Raises:
        NotFoundError: there is none.
    """
    row = conn.execute(
        "SELECT number, version, fingerprint, passes, minimum_rows, window_number, sources, takes_rows, former"
        " FROM study WHERE name = ?",
        (name,),
    ).fetchone()
    if row is None or source not in (sources := tuple(json.loads(row[6]))):
        raise NotFoundError(
            "there is no such study, or you do not take part in it",
            code="unknown_study",
            hint="trustcenter study list shows the studies that you may use",
        )
    number, version, fingerprint, passes, minimum_rows, window, _, takes_rows, former = row
    removed = source in json.loads(former)
    return Study(number, name, version, fingerprint, passes, minimum_rows, sources, window, bool(takes_rows), removed)


def is_source(conn: Connection, name: str) -> bool:
    """Whether a site takes part in any study."""
    return any(name in json.loads(names) for (names,) in conn.execute("SELECT sources FROM study").fetchall())


def require_takes_rows(study: Study, version: int | None = None) -> None:
    """Refuse rows of a source that was removed, or for a study that takes none.

    Args:
        study: as the source sees it.
        version: of the study when the upload was opened; None: it is about to be.

    Raises:
        PolicyError: the source was removed, or the study takes no more data.
        ConflictError: there is a new version since.
    """
    if study.removed:
        raise PolicyError(
            "this site takes no part in the study any more",
            code="site_removed",
            hint="its pseudonyms and results can still be read",
        )
    if version is not None and version != study.version:
        raise ConflictError(
            "the study has a new version since this upload was opened",
            code="version_over",
            hint="encode again with the study secret of the new version",
        )
    if not study.takes_rows:
        raise PolicyError(
            "this study takes no more data",
            code="study_closed",
            hint="it is frozen, released or closed; trustcenter study show names its state",
        )


def last_sequence(conn: Connection, study: str, source: str) -> int:
    """The number of the last receipt of a source in a study, 0 for none."""
    query = "SELECT last_sequence FROM receipt_count WHERE study = ? AND source = ?"
    row = conn.execute(query, (study, source)).fetchone()
    return int(row[0]) if row is not None else 0


def lift_sequence(conn: Connection, study: str, source: str, sequence: int) -> None:
    """The next receipt of a source gets a greater number than this."""
    conn.execute(
        "INSERT INTO receipt_count VALUES (?,?,?) ON CONFLICT (study, source) DO UPDATE SET last_sequence ="
        " CASE WHEN receipt_count.last_sequence < excluded.last_sequence THEN excluded.last_sequence"
        " ELSE receipt_count.last_sequence END",
        (study, source, sequence),
    )
