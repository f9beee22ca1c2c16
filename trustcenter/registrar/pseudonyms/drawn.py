"""Stored strings: pseudonyms of suite "drawn", and those brought along from another system.

A string is kept as a keyed tag, by which it is found, and sealed, by which it is shown: a stolen database holds
none. Tags outlive their entries, so that no string ever stands for a second person (docs/spec/pseudonym-rows.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keys import drawn
from trustcenter.errors import LimitError
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.rotating import retagging
from trustcenter.store import Connection, select_in

from . import layout, sealing, tagging

_ATTEMPTS: Final = 64


def settle(
    context: Context, conn: Connection, domain: DomainRow, texts: Sequence[str], known: Sequence[bytes]
) -> list[bytes]:
    """`tagging.settle` for strings: the tags by which this transaction finds and makes them."""
    versions = tagging.in_use(conn, domain.id)
    if versions == domain.lookup and len(versions) == 1:
        return list(known)
    newest = layout.string_tags(context, domain, texts, versions[0])
    for older in versions[1:]:
        before = layout.string_tags(context, domain, texts, older)
        retagging.move_strings(context, conn, domain, dict(zip(before, newest, strict=True)))
    return newest


def format_of(domain: DomainRow) -> drawn.Format:
    """The format of a domain of suite "drawn"."""
    return drawn.Format.parse(domain.policy.format_fields())


def store(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    entries: Sequence[tuple[int, bytes]],
    texts: Sequence[str | None],
) -> list[str]:
    """Store a string for each entry (serial, nonce): the given one, or a new one; returns them in order.

    The caller has seen to it that no given string is stored already.

    Raises:
        LimitError: more than half of the format's strings would be used.
    """
    if not entries:
        return []
    given = [text for text in texts if text is not None]
    taken = dict(
        zip(settle(context, conn, domain, given, layout.string_tags(context, domain, given)), given, strict=True)
    )
    assert len(taken) == len(given), "the caller refuses a string that comes twice"
    fresh = _draw(context, conn, domain, len(texts) - len(given), set(taken))
    by_text = {text: tag for tag, text in taken.items()}
    supply = iter(fresh)
    chosen = [next(supply) if text is None else (by_text[text], text, 0) for text in texts]
    ids = [layout.row_id(*entry) for entry in entries]
    sealed = context.keys.seal(
        domain.uuid,
        sealing.version(context, conn, domain),
        [ident + b"\2" for ident in ids],
        [text.encode() for _, text, _ in chosen],
        layout.string_aads(domain, ids, [tag for tag, _, _ in chosen]),
    )
    conn.executemany(
        "INSERT INTO stored_string (domain, tag, serial, sealed, attempt) VALUES (?,?,?,?,?)",
        sorted(
            (domain.id, tag, entry[0], box, attempt)
            for (tag, _, attempt), entry, box in zip(chosen, entries, sealed, strict=True)
        ),
    )
    conn.execute("UPDATE domain SET strings = strings + ? WHERE id = ?", (len(entries), domain.id))
    return [text for _, text, _ in chosen]


def _draw(
    context: Context, conn: Connection, domain: DomainRow, count: int, taken: set[bytes]
) -> list[tuple[bytes, str, int]]:
    """`count` strings that were never used in this domain: (tag, string, attempt)."""
    if not count:
        return []
    form = format_of(domain)
    (used,) = conn.execute("SELECT strings FROM domain WHERE id = ?", (domain.id,)).fetchone()
    if 2 * (used + len(taken) + count) > drawn.capacity(form):
        raise LimitError(
            "more than half of the pseudonyms that this format has would be used",
            code="format_exhausted",
            hint="make a domain with a longer format and translate into it",
        )
    found: list[tuple[bytes, str, int]] = []
    for attempt in range(1, _ATTEMPTS + 1):
        texts = drawn.draw(form, count - len(found))
        candidates = list(
            zip(settle(context, conn, domain, texts, layout.string_tags(context, domain, texts)), texts, strict=True)
        )
        used_tags = taken | _used(conn, domain.id, [tag for tag, _ in candidates])
        for tag, text in candidates:
            if tag not in used_tags:
                used_tags.add(tag)
                taken.add(tag)
                found.append((tag, text, attempt))
        if len(found) == count:
            return found
    raise LimitError("no free pseudonym was found", code="format_exhausted")  # 2^-64 for one that is half full


def _used(conn: Connection, domain: int, wanted: Sequence[bytes]) -> set[bytes]:
    query = "SELECT tag FROM stored_string WHERE domain = ? AND tag IN {values}"
    return {tag for (tag,) in select_in(conn, query, (domain,), sorted(set(wanted)))}


Owner = tuple[int, bytes | None, int, bytes, int | None]  # serial, tag of the original, status, nonce, expires


def owners(conn: Connection, domain: int, wanted: Sequence[bytes]) -> dict[bytes, Owner]:
    """By string tag, the entry that it stands for."""
    query = (
        "SELECT s.tag, e.serial, e.tag, e.status, e.nonce, e.expires FROM stored_string s"
        " JOIN entry e ON e.domain = s.domain AND e.serial = s.serial"
        " WHERE s.domain = ? AND s.tag IN {values}"
    )
    return {tag: (*owner,) for tag, *owner in select_in(conn, query, (domain,), sorted(set(wanted)))}


def with_string(conn: Connection, domain: int, serials: Sequence[int]) -> set[int]:
    """Those of `serials` that have a stored string."""
    query = "SELECT serial FROM stored_string WHERE domain = ? AND serial IN {values}"
    return {serial for (serial,) in select_in(conn, query, (domain,), sorted(set(serials)))}


def sealed(conn: Connection, domain: DomainRow, serials: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """(tag, sealed string) of each serial, in order; every one of them is live."""
    query = "SELECT serial, tag, sealed FROM stored_string WHERE domain = ? AND serial IN {values}"
    found = {serial: (tag, box) for serial, tag, box in select_in(conn, query, (domain.id,), sorted(set(serials)))}
    return [found[serial] for serial in serials]


def unseal(
    context: Context, domain: DomainRow, entries: Sequence[tuple[int, bytes]], stored: Sequence[tuple[bytes, bytes]]
) -> list[str]:
    """The strings of entries (serial, nonce), in order.

    Raises:
        SealError: a row was changed outside the service.
    """
    ids = [layout.row_id(*entry) for entry in entries]
    texts = sealing.unseal(
        context,
        domain,
        [ident + b"\2" for ident in ids],
        [box for _, box in stored],
        layout.string_aads(domain, ids, [tag for tag, _ in stored]),
    )
    return [text.decode() for text in texts]
