"""The work of a lookup key's rotation: the tag of each original is made anew, and its value is sealed with that tag.

A tag is part of what its value's seal is bound to, and a nonce (serial and nonce of the row) serves once under a data
key. So new tags go with a new data key, and a value is sealed under it exactly once: whatever opens only under an
older data key still has its old tag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keys.errors import SealError
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import layout, sealing
from trustcenter.store import Connection, select_in

from . import reindexing
from .rotation_record import Rotation
from .stored_values import ORIGINALS, Part, entries, of_tags, strings_of_tags

_CONSENT: Final = 4_000  # persons looked at together


@dataclass(frozen=True)
class Made:
    """New tags and boxes for a part; what had them already is left out of it."""

    part: Part
    tags: list[bytes]
    boxes: list[bytes | None]


def make(context: Context, domain: DomainRow, found: Rotation, part: Part) -> Made:
    """New tags and seals of a part. Run it in a thread.

    Raises:
        SealError: a value was changed outside the service.
    """
    assert found.companion is not None, "a lookup key is rotated together with a data key"
    plain = sealing.unseal_older(context, domain, found.companion, part.nonces, part.sealed(), part.aads())
    open_ones = [place for place, value in enumerate(plain) if value is not None]
    kept, values = part.pick(open_ones), [value for value in plain if value is not None]
    if part.table == ORIGINALS:
        tags = context.keys.tags(domain.uuid, found.to_version, values)
    else:
        tags = layout.string_tags(context, domain, [value.decode() for value in values], found.to_version)
    boxes = context.keys.seal(domain.uuid, found.companion, kept.nonces, values, kept.aads(tags))
    return Made(kept, tags, list(boxes))


def write(context: Context, conn: Connection, domain: DomainRow, made: Made) -> None:
    """Put new tags and boxes in the place of those that were read, wherever these still stand; `reindexing` follows."""
    _replace(context, conn, domain, made.part, made.tags, made.boxes)


def _replace(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    part: Part,
    tags: Sequence[bytes],
    boxes: Sequence[bytes | None],
) -> None:
    rows = list(zip(part.serials, part.boxes, tags, boxes, part.tags, strict=True))
    if part.table != ORIGINALS:
        conn.executemany(
            "UPDATE stored_string SET tag = ?, sealed = ? WHERE domain = ? AND tag = ? AND (sealed = ? OR ? = 0)",
            [(tag, box, domain.id, old, before, int(before is not None)) for _, before, tag, box, old in rows],
        )
        return
    query = "SELECT serial, sealed FROM entry WHERE domain = ? AND tag IS NOT NULL AND serial IN {values}"
    now = dict(select_in(conn, query, (domain.id,), sorted(part.serials)))
    rows = [row for row in rows if row[0] in now and now[row[0]] == row[1]]
    conn.executemany(
        "UPDATE entry SET tag = ?, sealed = ? WHERE domain = ? AND serial = ?",
        [(tag, box, domain.id, serial) for serial, _, tag, box, _ in rows],
    )
    _consent(conn, domain, {old: tag for _, _, tag, _, old in rows})


def _consent(conn: Connection, domain: DomainRow, tags: Mapping[bytes, bytes]) -> None:
    if domain.policy.consent:
        for table in ("consent", "consent_salt"):
            conn.executemany(
                f"UPDATE {table} SET tag = ? WHERE domain = ? AND tag = ?",  # noqa: S608 - constants
                [(new, domain.id, old) for old, new in tags.items()],
            )


def move(
    context: Context, conn: Connection, domain: DomainRow, newest: Sequence[bytes], older: Sequence[Sequence[bytes]]
) -> None:
    """Give everything that bears an older tag of some originals its newest one, in the caller's transaction.

    Args:
        context: the registrar.
        conn: of the writing transaction.
        domain: whose originals they are.
        newest: the tag of each.
        older: for each older version of the key, the tag of each.

    Raises:
        SealError: a value was changed outside the service.
    """
    becomes = {tag: new for tags in older for tag, new in zip(tags, newest, strict=True)}
    part = entries(domain, of_tags(context, conn, domain, list(becomes)))
    _reseal(context, conn, domain, part, [becomes[tag] for tag in part.tags])
    _consent(conn, domain, becomes)
    # Rows of the job as well bear their newest tag before the index follows (`reindexing`).
    bearing = context.tags.find(conn, domain.id, newest, list(becomes)).rows
    there = context.tags.find(conn, domain.id, newest).rows
    astray = {tag: serial for tag, (serial, _) in bearing.items() if tag not in there}
    reindexing.touched(conn, domain.id, [*part.serials, *astray.values()])
    context.tags.move(conn, domain.id, list(becomes), astray)


def move_strings(context: Context, conn: Connection, domain: DomainRow, tags: Mapping[bytes, bytes]) -> None:
    """As `move`, for stored strings and their tags."""
    part = strings_of_tags(conn, domain, list(tags))
    _reseal(context, conn, domain, part, [tags[tag] for tag in part.tags])


def _reseal(context: Context, conn: Connection, domain: DomainRow, part: Part, tags: Sequence[bytes]) -> None:
    version = sealing.version(context, conn, domain)
    places = [at for at, box in enumerate(part.boxes) if box is not None]
    some, new = part.pick(places), [tags[at] for at in places]
    plain = sealing.unseal_older(context, domain, version, some.nonces, some.sealed(), some.aads())
    if any(value is None for value in plain):
        raise SealError("a sealed value has another tag than its data key says")
    values = [value for value in plain if value is not None]
    boxes: list[bytes | None] = [None] * len(part.boxes)
    for at, box in zip(
        places, context.keys.seal(domain.uuid, version, some.nonces, values, some.aads(new)), strict=True
    ):
        boxes[at] = box
    _replace(context, conn, domain, part, tags, boxes)


def check(context: Context, conn: Connection, domain: DomainRow, found: Rotation, part: Part) -> bool:
    """Whether the values of a part open under the new data key, and are found by the tag that the new key gives."""
    assert found.companion is not None
    try:
        values = context.keys.unseal(domain.uuid, found.companion, part.nonces, part.sealed(), part.aads())
    except SealError:
        return False
    if part.table != ORIGINALS:
        return layout.string_tags(context, domain, [value.decode() for value in values], found.to_version) == part.tags
    if context.keys.tags(domain.uuid, found.to_version, values) != part.tags:
        return False
    first = [(tag, serial) for tag, serial, idx in zip(part.tags, part.serials, part.idx, strict=True) if idx == 0]
    rows = context.tags.find(conn, domain.id, [tag for tag, _ in first]).rows if first else {}
    return all(tag in rows and rows[tag][0] == serial for tag, serial in first)


def left_behind(context: Context, conn: Connection, domain: DomainRow) -> bool:
    """Whether something may still bear an old tag: what has no original here, from which a tag could be made.

    Rows of a domain that keeps no originals, strings of deleted rows, consent of persons without a pseudonym. What
    came in under the new key is counted with it, so the answer is never wrongly no.
    """
    if not domain.policy.reversible:
        query = "SELECT 1 FROM entry WHERE domain = ? AND tag IS NOT NULL LIMIT 1"
        if conn.execute(query, (domain.id,)).fetchone() is not None:
            return True
    if domain.strings:
        query = "SELECT 1 FROM stored_string WHERE domain = ? AND sealed IS NULL LIMIT 1"
        if conn.execute(query, (domain.id,)).fetchone() is not None:
            return True
    return any(
        len({row[3] for row in of_tags(context, conn, domain, tags)}) < len(tags) for tags in _persons(conn, domain)
    )


def _persons(conn: Connection, domain: DomainRow) -> Iterator[list[bytes]]:
    last = b""
    while domain.policy.consent:
        query = "SELECT tag FROM consent WHERE domain = ? AND tag > ? ORDER BY tag LIMIT ?"
        tags = [tag for (tag,) in conn.execute(query, (domain.id, last, _CONSENT)).fetchall()]
        if not tags:
            return
        yield tags
        last = tags[-1]
