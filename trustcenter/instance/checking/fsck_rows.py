"""The checks of `fsck` over the records of studies, the rows of the comparator, and what both rooms know."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from linkage.rows import as_words
from linkage.wording import counted
from trustcenter.comparator import placing
from trustcenter.registrar.linking import neighbours, retiring, sweeping, tally
from trustcenter.registrar.study import ref_owners, refs
from trustcenter.registrar.study.ref_owners import OWNERS
from trustcenter.store import Connection
from trustcenter.store.packed import PARTS, Packed

from .finding import Finding


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
                "SELECT count(*) FROM record_refs f LEFT JOIN record r ON r.domain = f.domain AND r.serial = f.serial"
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
                " (SELECT 1 FROM record_refs f WHERE f.domain = r.domain AND f.serial = r.serial)"
            ),
        ),
        (
            "records with other than one ref per pass and version",
            (
                "SELECT count(*) FROM record_refs f JOIN participant p ON p.domain = f.domain"
                " JOIN study s ON s.name = p.study WHERE length(f.refs) <> 16 * s.passes"
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
    if lost := neighbours.unnamed(conn):
        clean = False
        yield Finding("", "fail", f"{lost:,} pairs of records that their second record does not lead to")
    for (study,) in conn.execute("SELECT name FROM study ORDER BY name").fetchall():
        if (+tally.linked(conn, study), +tally.sizes(conn, study)) != tally.counted(conn, study):
            clean = False
            yield Finding("", "fail", "a study has other linked records or persons than are counted of it")
    by_record = {row[0] for row in conn.execute("SELECT DISTINCT domain FROM record_refs")}
    cleaned = {domain for sweep in sweeping.waiting(conn) for domain in refs.domains_of(conn, sweep.study)}
    total = 0
    for domain in sorted(by_record.union(OWNERS.spaces(conn)) - cleaned):  # those go, first here and then there
        mine, theirs = _by_record(conn, domain), _by_ref(conn, domain)
        total += mine[0]
        if mine != theirs or OWNERS.misfits(conn, domain):
            clean = False
            yield Finding("", "fail", f"{mine[0]:,} refs by record and {theirs[0]:,} by ref are not the same refs")
        if not ref_owners.agree(conn, domain):
            clean = False
            yield Finding("", "fail", "the beginnings of refs are not those of the refs that records have")
    if clean:
        (held,) = conn.execute("SELECT count(*) FROM record").fetchone()
        yield Finding("", "ok", f"{counted(held, 'record')} and {counted(total, 'ref')} fit each other")


def _by_record(conn: Connection, domain: int) -> tuple[int, int]:
    """How many refs records have, and a sum over (ref, record)."""
    count = total = 0
    cursor = conn.execute("SELECT serial, refs FROM record_refs WHERE domain = ?", (domain,))
    while rows := cursor.fetchmany(10_000):
        heads = as_words(refs.split(b"".join(row[1] for row in rows)))[0]
        each = np.array([len(row[1]) // refs.REF_BYTES for row in rows])
        count += len(heads)
        total += _sum(heads, np.repeat(np.array([row[0] for row in rows], np.int64), each))
    return count, total % 2**64


def _by_ref(conn: Connection, domain: int) -> tuple[int, int]:
    """The same by the table of owners."""
    count = total = 0
    for entries in OWNERS.read(conn, domain):
        count += len(entries)
        total += _sum(as_words(entries["ref"])[0], entries["serial"])
    return count, total % 2**64


def _sum(heads: NDArray[np.uint64], serials: NDArray[np.int64]) -> int:
    """Of products: a ref that moved to another record changes it."""
    return int((heads * (2 * serials.astype(np.uint64) + np.uint64(1))).sum(dtype=np.uint64))


def comparator_rows(conn: Connection) -> Iterator[Finding]:
    """Rows belong to uploads of their study, each has its ref, and an upload has as many as it says."""
    uploads = {
        number: (study, announced, held, state)
        for number, study, announced, held, state in conn.execute(
            "SELECT u.number, s.number, u.rows, u.held, u.state FROM upload u JOIN study s ON s.name = u.study"
        ).fetchall()
    }
    purging = {number for (number,) in conn.execute("SELECT number FROM study WHERE purging > 0").fetchall()}
    rows, refs = (
        {key: found for key, found in _by_upload(conn, table).items() if key[0] not in purging}
        for table in (placing.ROWS, placing.REFS)
    )
    # Of an upload that is about to become live, some chunks may be placed.
    query = "SELECT upload, sum(rows) FROM arrived WHERE length(body) = 0 GROUP BY upload"
    emptied = dict(conn.execute(query).fetchall())

    def belong(study: int, upload: int, count: int) -> bool:
        of, _, _, state = uploads.get(upload, (None, 0, 0, ""))
        return bool(of == study and (state == "live" or (state == "staged" and count <= emptied.get(upload, 0))))

    foreign = sum(
        count
        for found in (rows, refs)
        for (study, upload), (count, _) in found.items()
        if not belong(study, upload, count)
    )
    if foreign:
        yield Finding("", "fail", f"{foreign:,} rows belong to no accepted upload of their study")
    if rows != refs:
        yield Finding("", "fail", "rows by token and rows by ref are not the same rows")
    misfits = sum(t.misfits(conn, space) for t in (placing.ROWS, placing.REFS) for space in t.spaces(conn))
    if misfits:
        yield Finding("", "fail", f"{misfits:,} pages of rows are damaged")
    stored = dict(conn.execute("SELECT upload, sum(rows) FROM arrived GROUP BY upload"))
    for number, (study, announced, held, state) in sorted(uploads.items()):
        if study in purging:
            continue
        count = rows.get((study, number), (0, 0))[0]
        if count > announced:
            yield Finding("", "fail", "an upload has more rows than it announced")
        elif state == "live" and count != held:
            yield Finding("", "fail", "an accepted upload has other rows than are counted of it")
        elif state == "staged" and stored.get(number, 0) != announced:
            yield Finding("", "fail", "an upload with a receipt has fewer rows than its receipt says")
    if not (foreign or misfits):
        waiting = sum(
            stored.get(number, 0) - emptied.get(number, 0) for number, upload in uploads.items() if upload[3] != "live"
        )
        yield Finding(
            "", "ok", f"{sum(count for count, _ in rows.values()) + waiting:,} rows in {len(uploads)} uploads"
        )


def _by_upload(conn: Connection, table: Packed) -> dict[tuple[int, int], tuple[int, int]]:
    """By study and upload: how many rows a table has, and the sum of the beginnings of their refs (modulo 2^64)."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for space in table.spaces(conn):
        study = space // placing.PASSES if table is placing.ROWS else space
        for entries in table.read(conn, space):
            heads = as_words(entries["ref"])[0]
            uploads, place = np.unique(entries["upload"], return_inverse=True)
            sums = np.zeros(len(uploads), np.uint64)
            np.add.at(sums, place, heads)
            for upload, count, total in zip(uploads.tolist(), np.bincount(place).tolist(), sums.tolist(), strict=True):
                before = found.get((study, upload), (0, 0))
                found[study, upload] = (before[0] + count, (before[1] + total) % 2**64)
    return found


def rooms(registrar: Connection, comparator: Connection) -> Iterator[Finding]:
    """Refs that the registrar holds against rows that the comparator counts. A report, not a failure.

    The two snapshots are not of the same moment, and what lies in the outbox is still on its way.
    """
    waiting = registrar.execute("SELECT count(*) FROM outbox").fetchone()[0]
    differing = 0
    numbers = dict(comparator.execute("SELECT name, number FROM study"))
    for (study,) in registrar.execute("SELECT name FROM study ORDER BY name").fetchall():
        without_row = without_ref = 0
        domains, waiting_refs = refs.domains_of(registrar, study), retiring.between(registrar, study, b"", None)
        for part in range(PARTS):  # memory stays flat
            mine = {ref for at in domains for ref in refs.cut(OWNERS.sorted(registrar, at, part)["ref"].tobytes())}
            mine |= {ref for ref in waiting_refs if ref[0] == part}
            rows = placing.REFS.sorted(comparator, numbers.get(study, 0), part)
            theirs = set(refs.cut(rows["ref"].tobytes()))
            without_row, without_ref = without_row + len(mine - theirs), without_ref + len(theirs - mine)
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
