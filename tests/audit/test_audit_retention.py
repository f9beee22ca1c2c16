"""Deletions by rule: what both verifiers let pass, and what they name."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from trustcenter.audit import AuditLog, Event, Selection, verify_bundle, verify_log
from trustcenter.audit.retention import years_before
from trustcenter.errors import BundleError

KIND = "site:pseudonym:reidentify"
Days = list[tuple[int, Event, dict[str, Any]]]
SUBJECT: tuple[Event, dict[str, Any]] = (Event.PSEUDONYM_REIDENTIFY, {"who": "nord", "commitment": "00"})


def rule(day: int, years: int = 1, kind: str = KIND) -> tuple[int, Event, dict[str, Any]]:
    return day, Event.RETENTION_SET, {"detail_of": kind, "years": years}


def wanted(
    day: int, years: int = 1, who: str = "olga", kind: str = KIND, ident: str = "p"
) -> tuple[int, Event, dict[str, Any]]:
    return day, Event.RETENTION_PROPOSE, {"detail_of": kind, "years": years, "proposal": ident, "who": who}


def agreed(
    day: int, years: int = 1, who: str = "anna", kind: str = KIND, ident: str = "p"
) -> tuple[int, Event, dict[str, Any]]:
    return day, Event.RETENTION_APPROVE, {"detail_of": kind, "years": years, "proposal": ident, "who": who}


def by_two(day: int, years: int = 1, ident: str = "p") -> tuple[int, Event, dict[str, Any]]:
    return day, Event.RETENTION_SET, {"detail_of": KIND, "years": years, "proposal": ident, "approved_by": "anna"}


def gone(day: int, before: str, entries: Any, since: Any = "", **other: Any) -> tuple[int, Event, dict[str, Any]]:
    told = {"detail_of": KIND, "years": 1, "since": since, "before": before, "entries": entries, "details": 1}
    return day, Event.DETAIL_DELETE, {**told, **other}


def outcome(make_log: Callable[..., AuditLog], conn: sqlite3.Connection, clock: Any, what: Days, **chosen: Any) -> Any:
    """Write entries on days after the first of 2026, export, verify twice: the deletions told, or where it breaks."""
    log = make_log()
    start = clock.now.replace(year=2026, month=1, day=1)
    for day, event, fields in what:
        clock.now = start + timedelta(days=day)
        log.append(conn, event, fields)
    raw = b"".join(log.extract(conn, Selection(**chosen)))
    try:
        report = verify_bundle(io.BytesIO(raw))
    except BundleError as error:
        where = error.where
        with pytest.raises(verify_log.Broken, match=where):
            verify_log.verify(io.BytesIO(raw))
        return where
    assert len(verify_log.verify(io.BytesIO(raw))["details deleted"]) == len(report.deletions)
    return [(found.before, found.entries) for found in report.deletions]


TWO: Days = [(0, *SUBJECT), (3, *SUBJECT), rule(5)]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (
            [*TWO, gone(368, "2026-01-03", 1), gone(370, "2026-01-05", 1, "2026-01-03")],
            [("2026-01-03", 1), ("2026-01-05", 1)],
        ),
        ([*TWO, gone(370, "2026-01-05", 2)], [("2026-01-05", 2)]),
        ([*TWO, gone(365, "2026-01-01", 0)], [("2026-01-01", 0)]),
        ([rule(0, 3), rule(9), gone(400, "2026-01-02", 0)], [("2026-01-02", 0)]),
        ([*TWO, gone(370, "2026-01-05", 1)], "entry 3"),  # there are two
        ([*TWO, gone(370, "2026-01-05", 3)], "entry 3"),
        ([*TWO, gone(370, "2026-01-07", 2)], "entry 3"),  # not a year yet
        ([*TWO, gone(370, "2026-01-05", 1, "2026-01-02")], "entry 3"),  # what of the days before?
        ([*TWO, gone(368, "2026-01-03", 1), gone(370, "2026-01-05", 1, "2026-01-04")], "entry 4"),
        ([*TWO, gone(368, "2026-01-03", 1), gone(370, "2026-01-03", 0, "2026-01-03")], "entry 4"),
        ([*TWO[:2], gone(370, "2026-01-05", 2)], "entry 2"),  # no rule
        ([*TWO, rule(360), gone(370, "2026-01-05", 2)], "entry 4"),  # said again, and not 30 days ago
        ([*TWO, rule(300, 2), gone(370, "2026-01-05", 2)], "entry 4"),  # another rule is in force
        ([*TWO[:2], rule(5, 1, "auditor:linkage:propose"), gone(370, "2026-01-05", 2)], "entry 3"),
        ([*TWO, gone(370, "2026-01-05", 2, years=2)], "entry 3"),
        ([*TWO, gone(370, "2026-01-05", 2, detail_of="site:pseudonym:issue")], "entry 3"),
        ([*TWO, gone(370, "20260105", 2)], "entry 3"),
        ([*TWO, gone(370, "2026-02-30", 2)], "entry 3"),
        ([*TWO, gone(370, "", 0)], "entry 3"),
        ([*TWO, gone(370, "2026-01-05", 2, details="1")], "entry 3"),
        ([*TWO, gone(370, "2026-01-05", "2")], "entry 3"),
        ([*TWO, gone(370, "2026-01-05", 2, since=7)], "entry 3"),
        ([wanted(0), agreed(1), by_two(2), gone(370, "2026-01-02", 0)], [("2026-01-02", 0)]),
        ([wanted(0), wanted(1, 2, ident="q"), agreed(2, 2, ident="q"), by_two(3, 2, "q"), rule(4, 3)], []),
        ([rule(0, 3), rule(1, 2), wanted(2), agreed(3), by_two(4), rule(5, 1)], []),  # one person, before it took two
        ([wanted(0), agreed(1, who="olga")], "entry 1"),
        ([agreed(0)], "entry 0"),
        ([wanted(0), agreed(1, 2)], "entry 1"),
        ([wanted(0), agreed(1, kind="auditor:linkage:propose")], "entry 1"),
        ([wanted(0), by_two(1)], "entry 1"),
        ([by_two(0)], "entry 0"),
        ([wanted(0), agreed(1), by_two(2, 2)], "entry 2"),
        ([wanted(0), agreed(1), by_two(2), by_two(3)], "entry 3"),
        ([wanted(0), agreed(1), wanted(2), by_two(3)], "entry 3"),  # proposed anew, and not approved since
        ([rule(0, 3), wanted(1, 2, ident="q"), rule(2, 2)], "entry 2"),
        ([wanted(0), rule(1)], "entry 1"),
        ([wanted(0, 0)], "entry 0"),
        ([rule(0, 0)], "entry 0"),
        ([rule(0, 101)], "entry 0"),
        ([rule(0, 1, "site:pseudonym:issue")], "entry 0"),
    ],
)
def test_what_was_deleted_was_allowed_to_be(
    make_log: Callable[..., AuditLog], connection: sqlite3.Connection, clock: Any, what: Days, expected: Any
) -> None:
    assert outcome(make_log, connection, clock, what) == expected


def test_an_extract_is_held_against_what_it_holds(
    make_log: Callable[..., AuditLog], connection: sqlite3.Connection, clock: Any
) -> None:
    only = {"events": ("operator:detail:delete",)}
    assert outcome(make_log, connection, clock, [*TWO, gone(370, "2026-01-05", 9)], **only) == [("2026-01-05", 9)]
    again = [(371, *SUBJECT), gone(372, "2026-01-07", 0, "2026-01-05")]
    for day, event, fields in again:
        clock.now = clock.now.replace(year=2026, month=1, day=1) + timedelta(days=day)
        make_log().append(connection, event, fields)
    raw = b"".join(make_log().extract(connection, Selection(**only)))
    assert len(verify_bundle(io.BytesIO(raw)).deletions) == 2
    assert outcome(make_log, connection, clock, [gone(373, "2026-02-05", 0, "2026-01-07")], **only) == "entry 6"


def test_years_end_on_the_28th_where_there_is_no_29th() -> None:
    assert years_before(date(2028, 2, 29), 1) == date(2027, 2, 28)
    assert years_before(date(2028, 2, 29), 4) == date(2024, 2, 29)
    assert years_before(date(2026, 11, 28), 10) == date(2016, 11, 28)
