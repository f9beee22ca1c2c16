"""The checks of `fsck` over the records of studies, the rows of the comparator, and what both rooms know."""

from __future__ import annotations

from collections.abc import Iterator

from trustcenter.store import Connection, Cursor

from .checks import Finding


def records(conn: Connection) -> Iterator[Finding]:
    """Records have entries, refs have records, and a mapped record has one ref per pass."""
    questions = (
        (
            "records without an entry",
            (
                "SELECT count(*) FROM record r LEFT JOIN entry e ON e.domain = r.domain AND e.serial = r.serial"
                " WHERE e.serial IS NULL"
            ),
        ),
        (
            "live entries of a study's domain without a record",
            (
                "SELECT count(*) FROM entry e JOIN participant p ON p.domain = e.domain LEFT JOIN record r"
                " ON r.domain = e.domain AND r.serial = e.serial WHERE e.status = 0 AND r.serial IS NULL"
            ),
        ),
        (
            "refs without a mapped record",
            (
                "SELECT count(*) FROM record_ref f LEFT JOIN record r ON r.domain = f.domain AND r.serial = f.serial"
                " WHERE r.serial IS NULL OR r.state = 'unlinked'"
            ),
        ),
        (
            "mapped records without refs",
            (
                "SELECT count(*) FROM record r JOIN participant p ON p.domain = r.domain"
                " JOIN study s ON s.name = p.study AND s.state IN ('open', 'frozen')"
                # Of a later version, or after the rooms were reconciled, one that was linked may be dormant.
                " WHERE r.state <> 'unlinked' AND s.version = 1 AND (r.state = 'mapped' OR s.window_floor = 0)"
                " AND NOT EXISTS"
                " (SELECT 1 FROM record_ref f WHERE f.domain = r.domain AND f.serial = r.serial)"
            ),
        ),
        (
            "records with other than one ref per pass and version",
            (
                "SELECT count(*) FROM (SELECT f.domain, f.serial, f.version, count(*) AS refs FROM record_ref f"
                " GROUP BY f.domain, f.serial, f.version) AS held JOIN participant p ON p.domain = held.domain"
                " JOIN study s ON s.name = p.study WHERE held.refs <> s.passes"
            ),
        ),
        (
            "linked records without a person, or persons of records that are not linked",
            "SELECT count(*) FROM record WHERE (state = 'linked') <> (person IS NOT NULL)",
        ),
    )
    clean = True
    for what, query in questions:
        count = conn.execute(query).fetchone()[0]
        if count:
            clean = False
            yield Finding("", "fail", f"{count:,} {what}")
    if clean:
        total, refs = conn.execute("SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM record_ref)").fetchone()
        yield Finding("", "ok", f"{total:,} records and {refs:,} refs fit each other")


def comparator_rows(conn: Connection) -> Iterator[Finding]:
    """Rows belong to uploads of their study; a finished upload never has more rows than it announced."""
    foreign = conn.execute(
        "SELECT count(*) FROM row r LEFT JOIN upload u ON u.number = r.upload LEFT JOIN study s ON s.name = u.study"
        " WHERE u.number IS NULL OR s.number IS NULL OR s.number <> r.study"
    ).fetchone()[0]
    if foreign:
        yield Finding("", "fail", f"{foreign:,} rows belong to no upload of their study")
    held = dict(conn.execute("SELECT upload, count(*) FROM row GROUP BY upload"))
    stored = dict(conn.execute("SELECT upload, sum(rows) FROM chunk GROUP BY upload"))
    for number, announced, state in conn.execute("SELECT number, rows, state FROM upload ORDER BY number").fetchall():
        rows = held.get(number, 0)
        if rows > announced:
            yield Finding("", "fail", "an upload has more rows than it announced")
        elif state == "staged" and rows != announced:
            yield Finding("", "fail", "an upload with a receipt has fewer rows than its receipt says")
        elif state != "live" and rows != stored.get(number, 0):
            yield Finding("", "fail", "an unfinished upload has other rows than its chunks")
    if not foreign:
        yield Finding("", "ok", f"{sum(held.values()):,} rows in {len(held)} uploads")


def rooms(registrar: Connection, comparator: Connection) -> Iterator[Finding]:
    """Refs that the registrar holds against rows that the comparator counts. A report, not a failure.

    The two snapshots are not of the same moment, and what lies in the outbox is still on its way.
    """
    waiting = registrar.execute("SELECT count(*) FROM outbox").fetchone()[0]
    differing = 0
    numbers = dict(comparator.execute("SELECT name, number FROM study"))
    for (study,) in registrar.execute("SELECT name FROM study ORDER BY name").fetchall():
        mine = registrar.execute(
            "SELECT f.ref FROM record_ref f JOIN participant p ON p.domain = f.domain WHERE p.study = ? ORDER BY f.ref",
            (study,),
        )
        theirs = comparator.execute(
            "SELECT r.ref FROM row r JOIN upload u ON u.number = r.upload"
            " WHERE r.study = ? AND u.state = 'live' ORDER BY r.ref",
            (numbers.get(study),),
        )
        without_row, without_ref = _difference(mine, theirs)
        if without_row or without_ref:
            differing += 1
            hint = "the sites concerned upload again: trustcenter study upload sends the difference"
            if waiting:
                hint = f"{waiting} messages between the rooms are on their way: look again when the service has run"
            yield Finding(
                "",
                "warn",
                f"a study has {without_row:,} refs without a row at the comparator and {without_ref:,} rows without a"
                " ref at the registrar",
                hint,
            )
    if not differing:
        yield Finding("", "ok", "both rooms hold the same refs")


def _difference(left: Cursor, right: Cursor) -> tuple[int, int]:
    """How many sorted values only the left or only the right has; memory stays flat."""
    only_left = only_right = 0
    a, b = left.fetchone(), right.fetchone()
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            only_left, a = only_left + 1, left.fetchone()
        elif a is None or b[0] < a[0]:
            only_right, b = only_right + 1, right.fetchone()
        else:
            a, b = left.fetchone(), right.fetchone()
    return only_left, only_right
