"""The checks of `fsck` over what an entry is made of: its parts, the tag index, stored strings, what was forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from trustcenter.audit import Event
from trustcenter.audit.entries import Entry
from trustcenter.registrar.pseudonyms import rows
from trustcenter.registrar.pseudonyms.tagindex import TagIndex
from trustcenter.registrar.rotating.keyring import domain_scope
from trustcenter.store import Connection, select_in

from .finding import Finding

_TABLES: Final = ("tag_main", "tag_recent")
_HELD: Final = "length(e.nonce) > 0 OR length(e.salt) > 0 OR e.tag IS NOT NULL OR e.sealed IS NOT NULL"


def _verdict(problems: Mapping[str, int], good: str) -> Iterator[Finding]:
    """A failure for each kind of problem that was found, or one line that all is well."""
    for what, count in problems.items():
        if count:
            yield Finding("", "fail", f"{count:,} {what}")
    if not any(problems.values()):
        yield Finding("", "ok", good)


def _count(conn: Connection, query: str, *values: int) -> int:
    return int(conn.execute(query, values).fetchone()[0])


def blobs(conn: Connection) -> Iterator[Finding]:
    """Each row has the parts that its status and its domain's policy ask for, and no others."""
    conditions = {
        "live rows without nonce or salt": "e.status = 0 AND (length(e.nonce) <> 5 OR length(e.salt) <> 16)",
        "tags of another length": "length(e.tag) <> 16",
        "rows with an original but no tag": "e.tag IS NULL AND e.sealed IS NOT NULL",
        "live rows of a reversible domain without their original": (
            "e.status = 0 AND d.reversible = 1 AND e.tag IS NOT NULL AND e.sealed IS NULL"
        ),
        "rows with an original in a domain that keeps none": "d.reversible = 0 AND e.sealed IS NOT NULL",
        "deleted or expired rows that still hold something": (f"e.status <> 0 AND ({_HELD} OR e.expires IS NOT NULL)"),
        "rows of an unknown status": f"e.status NOT IN ({rows.LIVE}, {rows.DELETED}, {rows.EXPIRED})",
        "rows with a negative index": "e.idx < 0",
    }
    sums = ", ".join(f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END)" for condition in conditions.values())
    found = conn.execute(
        f"SELECT count(*), {sums} FROM entry e JOIN domain d ON d.id = e.domain"  # noqa: S608 - constants
    ).fetchone()
    problems = {what: int(count or 0) for what, count in zip(conditions, found[1:], strict=True)}
    problems["rows of a domain that is not there"] = _count(
        conn, "SELECT count(*) FROM entry e LEFT JOIN domain d ON d.id = e.domain WHERE d.id IS NULL"
    )
    yield from _verdict(problems, f"{found[0]:,} rows have the parts that their status asks for")


def forgotten(conn: Connection, told: Sequence[Entry]) -> Iterator[Finding]:
    """Tombstones and rows without an original are those that the log names, and the reverse."""
    names = dict(conn.execute("SELECT name, id FROM domain"))
    kinds = {
        Event.PSEUDONYM_DELETE.value: rows.DELETED,
        Event.PSEUDONYM_EXPIRE.value: rows.EXPIRED,
        Event.PSEUDONYM_ANONYMISE.value: rows.LIVE,
    }
    named: dict[int, set[tuple[int, int]]] = {rows.DELETED: set(), rows.EXPIRED: set(), rows.LIVE: set()}
    for entry in told:
        status = kinds.get(entry.event)
        if status is not None and entry.data["domain"] in names:
            named[status].update((names[entry.data["domain"]], serial) for serial in entry.data["serials"])
    tombs = named[rows.DELETED] | named[rows.EXPIRED]
    held: set[tuple[int, int]] = set()
    problems = dict.fromkeys(
        (
            "tombstones that the log does not name",
            "rows without an original that the log does not name",
            "rows that the log calls forgotten and that are there, as after a restore",
        ),
        0,
    )
    unnamed, bare, back = problems
    for domain, serial, status in conn.execute("SELECT domain, serial, status FROM entry WHERE tag IS NULL"):
        place = (domain, serial)
        held.add(place)
        if status != rows.LIVE:
            problems[unnamed] += place not in named[status] if status in named else 1
        else:
            problems[bare] += place not in named[rows.LIVE]
            problems[back] += place in tombs
    problems[back] += len((tombs | named[rows.LIVE]) - held)
    yield from _verdict(problems, f"{len(held):,} forgotten rows, each named by the log")


def tag_index(conn: Connection) -> Iterator[Finding]:
    """Each live first row is found exactly once by its tag, and nothing else is found."""
    index, moving = TagIndex(), _moving(conn)
    dangling = wrong = held = 0
    for table in _TABLES:
        for domain, key, tag, status, idx in conn.execute(
            f"SELECT t.domain, t.key, e.tag, e.status, e.idx FROM {table} t"  # noqa: S608 - constants
            " LEFT JOIN entry e ON e.domain = t.domain AND e.serial = t.serial"
        ):
            if domain in moving:
                continue
            held += 1
            if tag is None or status != rows.LIVE or idx != 0:
                dangling += 1
            elif index.key(tag) != key:
                wrong += 1
    clashes = conn.execute(
        "SELECT c.domain, c.tag, e.tag, e.status, e.idx FROM tag_clash c"
        " LEFT JOIN entry e ON e.domain = c.domain AND e.serial = c.serial"
    ).fetchall()
    clashes = [clash for clash in clashes if clash[0] not in moving]
    held += len(clashes)
    dangling += sum(found != tag or status != rows.LIVE or idx != 0 for _, tag, found, status, idx in clashes)
    twice = _count(conn, "SELECT count(*) FROM tag_main m JOIN tag_recent r ON r.key = m.key")
    twice += _named_by_their_key(conn, index, {(domain, tag) for domain, tag, *_ in clashes})
    counts = conn.execute(
        "SELECT domain, count(*) FROM entry WHERE status = ? AND idx = 0 AND tag IS NOT NULL GROUP BY domain",
        (rows.LIVE,),
    )
    first = sum(count for domain, count in counts if domain not in moving)
    problems = {
        "rows of the tag index lead to no live first row": dangling,
        "rows of the tag index stand under the key of another tag": wrong,
        "tags are found twice": twice,
        "live first rows are not found by their tag": max(first - (held - dangling - wrong - twice), 0),
    }
    yield from _verdict(problems, f"{first:,} live first rows, each found once by its tag")


def _moving(conn: Connection) -> set[int]:
    """Domains whose lookup key is being rotated: their index follows at the end, and verification looks at it."""
    stages = conn.execute(
        "SELECT d.id, r.stage FROM rotation r JOIN domain d ON r.scope = 'domain:' || d.uuid"
        " WHERE r.purpose = 'lookup' AND r.stage NOT IN ('prepared', 'aborted') ORDER BY r.to_version"
    )
    return {domain for domain, stage in dict(stages.fetchall()).items() if stage in ("rewriting", "superseded")}


def _named_by_their_key(conn: Connection, index: TagIndex, clashes: set[tuple[int, bytes]]) -> int:
    """How many of the clashing tags also stand where only the first tag of a key may stand."""
    keys = sorted({index.key(tag) for _, tag in clashes})
    count = 0
    for table in _TABLES:
        query = (
            f"SELECT e.domain, e.tag FROM {table} t JOIN entry e"  # noqa: S608 - constants
            " ON e.domain = t.domain AND e.serial = t.serial WHERE t.key IN {values}"
        )
        count += sum((domain, tag) in clashes for domain, tag in select_in(conn, query, (), keys))
    return count


def strings(conn: Connection) -> Iterator[Finding]:
    """Each drawn row has one stored string, sealed as long as it lives; tags outlive their rows, nothing else does."""
    joined = "FROM stored_string s LEFT JOIN entry e ON e.domain = s.domain AND e.serial = s.serial"
    drawn = (
        "FROM entry e JOIN domain d ON d.id = e.domain LEFT JOIN stored_string s"
        " ON s.domain = e.domain AND s.serial = e.serial WHERE d.suite = 'drawn' AND s.serial IS NULL"
    )
    problems = {
        "stored strings of rows that are not there": _count(conn, f"SELECT count(*) {joined} WHERE e.serial IS NULL"),
        "stored strings of live rows that are not sealed there": _count(
            conn, f"SELECT count(*) {joined} WHERE e.status = 0 AND s.sealed IS NULL"
        ),
        "stored strings of deleted or expired rows that are still there": _count(
            conn, f"SELECT count(*) {joined} WHERE e.status <> 0 AND s.sealed IS NOT NULL"
        ),
        "rows of a drawn domain without a stored string": _count(conn, f"SELECT count(*) {drawn}"),
        "stored strings with a tag of another length or an impossible attempt": _count(
            conn, "SELECT count(*) FROM stored_string WHERE length(tag) <> 16 OR attempt < 0"
        ),
        "rows with two stored strings": _count(
            conn,
            "SELECT count(*) FROM (SELECT domain, serial FROM stored_string GROUP BY domain, serial"
            " HAVING count(*) > 1) t",
        ),
        "domains whose number of stored strings is not what they count": _count(
            conn,
            "SELECT count(*) FROM domain d WHERE d.strings <>"
            " (SELECT count(*) FROM stored_string s WHERE s.domain = d.id)",
        ),
    }
    total = _count(conn, "SELECT count(*) FROM stored_string")
    yield from _verdict(problems, f"{total:,} stored strings, one for each row that needs one")


def idempotency(conn: Connection) -> Iterator[Finding]:
    """Each record names rows of its domain and a version of its key, by keyed MACs of key and body."""
    versions: dict[str, set[int]] = {}
    for scope, version in conn.execute("SELECT scope, version FROM key_version WHERE purpose = 'pseudonym'"):
        versions.setdefault(scope, set()).add(version)
    able = {
        domain: versions.get(domain_scope(uuid), set())
        for domain, uuid in conn.execute("SELECT id, uuid FROM domain WHERE multi = 1 AND state <> 'closed'")
    }
    problems = dict.fromkeys(
        (
            "records that are not made of MACs and serials",
            "records of a domain or key version that has none",
            "records with serials that are not there",
        ),
        0,
    )
    form, place, missing = problems
    wanted: dict[int, set[int]] = {}
    lists: list[tuple[int, set[int]]] = []
    for domain, key, body, version, packed in conn.execute(
        "SELECT domain, key, body, version, serials FROM idempotency"
    ):
        problems[form] += len(key) != 32 or len(body) != 32 or len(packed) % 6 != 0
        problems[place] += version not in able.get(domain, ())
        # 0 stands in the place of an original that was refused.
        serials = {int.from_bytes(packed[at : at + 6], "big") for at in range(0, len(packed), 6)} - {0}
        wanted.setdefault(domain, set()).update(serials)
        lists.append((domain, serials))
    there = {
        domain: {
            serial
            for (serial,) in select_in(
                conn, "SELECT serial FROM entry WHERE domain = ? AND serial IN {values}", (domain,), sorted(serials)
            )
        }
        for domain, serials in wanted.items()
    }
    problems[missing] += sum(not serials <= there[domain] for domain, serials in lists)
    yield from _verdict(problems, f"{len(lists):,} remembered requests, each with its rows")
