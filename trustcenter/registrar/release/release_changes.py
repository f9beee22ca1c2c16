"""What happens to a released join map afterwards: merges, moves and withdrawals, each sealed to the data recipient.

A batch is written in the transaction of its cause and sealed there, so that the centre keeps counts only. A batch with
withdrawals holds a code that nobody can read but the recipient: whoever brings it back has opened the batch. What is
inside: docs/spec/changes.md.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import Final

from keys import hybrid
from keys.ids import Purpose
from trustcenter.audit import Event
from trustcenter.audit.letter import Sealed
from trustcenter.clock import stamp
from trustcenter.registrar import domains, letters
from trustcenter.registrar.context import Context
from trustcenter.registrar.pseudonyms import issue, layout, rows
from trustcenter.store import Connection, Migration, select_in

MIGRATIONS: Final = (
    Migration(
        number=592,
        name="changes after a release",
        sql="""
        -- What the latest map of a recipient holds, with the persons as the recipient knows them by now.
        CREATE TABLE released_record (
            study TEXT NOT NULL REFERENCES study(name),
            recipient TEXT NOT NULL,
            domain INTEGER NOT NULL,
            serial INTEGER NOT NULL,
            person BLOB NOT NULL,
            PRIMARY KEY (study, recipient, domain, serial)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX released_person ON released_record (study, recipient, person);
        CREATE TABLE change_batch (
            study TEXT NOT NULL REFERENCES study(name),
            recipient TEXT NOT NULL,
            number INTEGER NOT NULL,      -- from 1, without gaps
            created TEXT NOT NULL,
            merged INTEGER NOT NULL,
            moved INTEGER NOT NULL,
            withdrawn INTEGER NOT NULL,
            sealed BLOB NOT NULL,
            code BLOB,                    -- SHA-256 of the code inside; null: nothing to acknowledge
            acknowledged TEXT,
            PRIMARY KEY (study, recipient, number)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)
FORMAT: Final = "trustcenter/changes/1"
EPOCH_NUMBERS: Final = 1_000_000  # numbers of one epoch of the instance
Line = dict[str, str]
Record = tuple[int, int]  # domain row id, serial


def seal_info(study: str, recipient: str, number: int) -> bytes:
    """What a sealed batch is bound to (docs/spec/changes.md)."""
    return b"\0".join((FORMAT.encode(), study.encode(), recipient.encode(), str(number).encode()))


def released(conn: Connection, study: str, recipient: str, records: Iterable[tuple[int, int, bytes]]) -> None:
    """Remember what a map that is just released holds: (domain row id, serial, person). It replaces the one before."""
    conn.execute("DELETE FROM released_record WHERE study = ? AND recipient = ?", (study, recipient))
    conn.executemany(
        "INSERT INTO released_record (study, recipient, domain, serial, person) VALUES (?,?,?,?,?)",
        [(study, recipient, *record) for record in records],
    )


def forget_study(conn: Connection, study: str) -> None:
    """Forget what was released of a study that is deleted; the batches go too."""
    conn.execute("DELETE FROM released_record WHERE study = ?", (study,))
    conn.execute("DELETE FROM change_batch WHERE study = ?", (study,))
    letters.forget_study(conn, study)


def after_run(context: Context, conn: Connection, study: str, looked_at: Set[Record] | None) -> None:
    """Tell every recipient of a released map what a run that was just applied did to it. In the run's transaction.

    Args:
        context: the registrar.
        conn: of the writing transaction.
        study: its name.
        looked_at: records whose person may be another now; None: all.
    """
    for recipient in _recipients(conn, study):
        _compare(context, conn, study, recipient, _changed(conn, study, recipient, looked_at))


def after_duplicates(context: Context, conn: Connection, study: str, declared: Iterable[Record] | None = None) -> None:
    """Tell recipients of records that their site declared duplicates: those just declared, or all there are (None).

    In the transaction of the declaration, and in that of a release: its map was built before, and a declaration in
    between found nothing of it to tell of.
    """
    if declared is None:
        query = "SELECT x.domain, x.serial FROM successor x JOIN participant p ON p.domain = x.domain WHERE p.study = ?"
        declared = conn.execute(query, (study,)).fetchall()
    after_run(context, conn, study, {(domain, serial) for domain, serial in declared})


_Changed = list[tuple[int, int, bytes, bytes | None]]  # domain, serial, person before and now


def _changed(conn: Connection, study: str, recipient: str, looked_at: Set[Record] | None) -> _Changed:
    """Records of a recipient's map that have another person now, or none."""
    # A record that its site declared a duplicate stands where its successor does. One that has no person and no
    # successor is in nobody's map any more: its consent has lapsed. A successor without a person yet is waited for.
    query = (
        "SELECT s.domain, s.serial, s.person, CASE WHEN x.serial IS NULL THEN r.person ELSE n.person END"
        " FROM released_record s"
        " LEFT JOIN record r ON r.domain = s.domain AND r.serial = s.serial"
        " LEFT JOIN successor x ON x.domain = s.domain AND x.serial = s.serial"
        " LEFT JOIN record n ON n.domain = x.domain AND n.serial = x.successor"
        " WHERE s.study = ? AND s.recipient = ?"
        " AND ((x.serial IS NULL AND (r.person IS NULL OR r.person <> s.person))"
        "  OR (n.person IS NOT NULL AND n.person <> s.person))"
    )
    if looked_at is None:
        found = conn.execute(query, (study, recipient)).fetchall()
    else:
        found = []
        of: dict[int, list[int]] = defaultdict(list)
        for domain, serial in looked_at:
            of[domain].append(serial)
        for domain, serials in of.items():
            for column in ("s.serial", "x.successor"):
                part = f"{query} AND s.domain = ? AND {column} IN {{values}}"
                found.extend(select_in(conn, part, (study, recipient, domain), serials))
    rows = {(d, s): (bytes(old), None if new is None else bytes(new)) for d, s, old, new in found}
    return [(d, s, old, new) for (d, s), (old, new) in sorted(rows.items())]


def _compare(context: Context, conn: Connection, study: str, recipient: str, changed: _Changed) -> None:
    if not changed:
        return
    moved = [(d, s, old, new) for d, s, old, new in changed if new is not None]
    gone = [(d, s, old) for d, s, old, new in changed if new is None]
    conn.executemany(
        "UPDATE released_record SET person = ? WHERE study = ? AND recipient = ? AND domain = ? AND serial = ?",
        [(new, study, recipient, d, s) for d, s, _, new in moved],
    )
    _tell(context, conn, study, recipient, moved, gone)


def withdraw(context: Context, conn: Connection, study: str, domain: int, serials: Sequence[int]) -> None:
    """Tell recipients of records that are about to be erased. Before the erasure, in its transaction."""
    for recipient in _recipients(conn, study):
        query = "SELECT domain, serial, person FROM released_record WHERE study = ? AND recipient = ? AND domain = ?"
        found = select_in(conn, query + " AND serial IN {values}", (study, recipient, domain), serials)
        gone = [(d, s, bytes(person)) for d, s, person in found]
        if gone:
            _tell(context, conn, study, recipient, [], sorted(gone))


def _recipients(conn: Connection, study: str) -> list[str]:
    query = "SELECT DISTINCT recipient FROM release WHERE study = ? AND state = 'released' ORDER BY recipient"
    return [row[0] for row in conn.execute(query, (study,))]


def _tell(
    context: Context,
    conn: Connection,
    study: str,
    recipient: str,
    moved: list[tuple[int, int, bytes, bytes]],
    gone: list[tuple[int, int, bytes]],
) -> None:
    """Write one sealed batch: persons that went over as a whole, records that moved, records that were withdrawn."""
    domain, public_key = conn.execute(
        "SELECT domain, public_key FROM recipient WHERE study = ? AND name = ?", (study, recipient)
    ).fetchone()
    conn.executemany(
        "DELETE FROM released_record WHERE study = ? AND recipient = ? AND domain = ? AND serial = ?",
        [(study, recipient, d, s) for d, s, _ in gone],
    )
    sites, strings = _strings(context, conn, study, [row[:2] for row in moved] + [row[:2] for row in gone])
    # What is erased already cannot be named any more; whoever erased it has told of it before.
    moved, gone = [row for row in moved if row[:2] in strings], [row for row in gone if row[:2] in strings]
    if not moved and not gone:
        return
    whole = _whole(conn, study, recipient, moved, {person for _, _, person in gone})
    single = [row for row in moved if row[2] not in whole]
    persons = {p for row in single for p in row[2:]} | {p for *_, p in gone} | {*whole, *whole.values()}
    names = _names(context, conn, domains.by_id(conn, domain), sorted(persons))
    lines: list[Line] = [{"kind": "merged", "person": names[p], "into": names[q]} for p, q in sorted(whole.items())]
    lines += [
        {"kind": "moved", "site": sites[d], "pseudonym": strings[d, s], "person": names[p], "into": names[q]}
        for d, s, p, q in single
    ]
    lines += [
        {"kind": "withdrawn", "site": sites[d], "pseudonym": strings[d, s], "person": names[p]} for d, s, p in gone
    ]
    lines.sort(key=lambda line: (line["kind"], line["person"], line.get("pseudonym", "")))  # no order of issue
    query = "SELECT coalesce(max(number), 0) FROM change_batch WHERE study = ? AND recipient = ?"
    last = int(conn.execute(query, (study, recipient)).fetchone()[0])
    number = following(last, context.head.epoch)
    code = os.urandom(16).hex() if gone else None
    text = {"format": FORMAT, "study": study, "recipient": recipient, "number": number, "code": code, "changes": lines}
    if number != last + 1:
        text["after"] = last
    sealed = hybrid.seal(public_key, json.dumps(text).encode(), seal_info(study, recipient, number))
    conn.execute(
        "INSERT INTO change_batch VALUES (?,?,?,?,?,?,?,?,?,NULL)",
        (study, recipient, number, stamp(context.clock()), len(whole), len(single), len(gone), sealed, digest(code)),
    )
    sha256 = hashlib.sha256(sealed).hexdigest()
    letters.sign(context, conn, Sealed("changes", study, str(number), sha256), recipient)
    context.audit(
        conn,
        Event.RELEASE_CHANGE,
        "service",
        "",
        study=study,
        recipient=recipient,
        number=number,
        merged=len(whole),
        moved=len(single),
        withdrawn=len(gone),
        sha256=sha256,
    )


def following(last: int, epoch: int) -> int:
    """The number of the batch after `last`: each epoch of the instance has numbers of its own.

    An instance that was restored to before its outside head goes on under another epoch, so no number comes again.
    """
    return max(last, epoch * EPOCH_NUMBERS) + 1


def digest(code: str | None) -> bytes | None:
    """What is kept of a code."""
    return None if code is None else hashlib.sha256(code.encode()).digest()


def _whole(
    conn: Connection, study: str, recipient: str, moved: list[tuple[int, int, bytes, bytes]], partly: set[bytes]
) -> dict[bytes, bytes]:
    """Persons whose records in the map have all gone over to one other person."""
    into: dict[bytes, set[bytes]] = defaultdict(set)
    for _, _, old, new in moved:
        into[old].add(new)
    query = "SELECT DISTINCT person FROM released_record WHERE study = ? AND recipient = ? AND person IN {values}"
    staying = {bytes(row[0]) for row in select_in(conn, query, (study, recipient), sorted(into))}
    return {
        old: next(iter(new)) for old, new in into.items() if len(new) == 1 and old not in staying and old not in partly
    }


def _names(context: Context, conn: Connection, domain: domains.DomainRow, persons: list[bytes]) -> dict[bytes, str]:
    """Persons as the recipient knows them; one that it did not know gets its pseudonym now."""
    tags = context.keys.tags(domain.uuid, layout.LOOKUP_VERSION, persons)
    issued = issue.create_or_get(context, conn, domain, persons, tags, "service", "")
    strings = layout.format_rows(context, domain, issued.version, issued.serials, issued.nonces)
    return dict(zip(persons, strings, strict=True))


def _strings(
    context: Context, conn: Connection, study: str, records: list[Record]
) -> tuple[dict[int, str], dict[Record, str]]:
    """Site of each domain of a study, and study pseudonyms of records."""
    sites = dict(conn.execute("SELECT domain, site FROM participant WHERE study = ?", (study,)).fetchall())
    strings: dict[Record, str] = {}
    for domain_id in sorted({domain for domain, _ in records}):
        domain = domains.by_id(conn, domain_id)
        version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version
        serials = [serial for d, serial in records if d == domain_id]
        query = "SELECT serial, nonce FROM entry WHERE domain = ? AND status = 0 AND serial IN {values}"
        found = [(serial, bytes(nonce)) for serial, nonce in select_in(conn, query, (domain_id,), serials)]
        made = layout.format_rows(context, domain, version, *rows.columns(found))
        strings.update({(domain_id, serial): text for (serial, _), text in zip(found, made, strict=True)})
    return sites, strings
