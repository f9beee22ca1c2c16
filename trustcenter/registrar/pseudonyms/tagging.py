"""Lookup tags of originals, and what follows when a domain's lookup key was rotated.

`domain.lookup` names the versions that rows may be found by, newest first; mostly there is one. While there are more,
every transaction that may create first gives the originals in its hands their new tag (`settle`): afterwards it finds
and makes rows under the newest version only, so no original ever gets a second row.
"""

from __future__ import annotations

from collections.abc import Sequence

from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.rotating import retagging, stored_values
from trustcenter.store import Connection, select_in


def tags(context: Context, domain: DomainRow, values: Sequence[bytes]) -> list[bytes]:
    """Tag of each original under the newest version that was known when the domain was read, 16 bytes each."""
    return context.keys.tags(domain.uuid, domain.lookup[0], values)


def in_use(conn: Connection, domain: int) -> tuple[int, ...]:
    """The versions that rows of a domain may be found by now, newest first."""
    return parse(conn.execute("SELECT lookup FROM domain WHERE id = ?", (domain,)).fetchone()[0])


def parse(stored: str) -> tuple[int, ...]:
    """Versions as `domain.lookup` holds them."""
    return tuple(int(version) for version in stored.split())


def set_in_use(conn: Connection, domain: int, versions: Sequence[int]) -> None:
    """Exchange the versions that rows may be found by."""
    conn.execute("UPDATE domain SET lookup = ? WHERE id = ?", (" ".join(map(str, versions)), domain))


def settle(
    context: Context, conn: Connection, domain: DomainRow, values: Sequence[bytes], known: Sequence[bytes]
) -> list[bytes]:
    """Tags by which this transaction finds and makes rows of originals; rows under older versions are moved to them.

    Args:
        context: the registrar.
        conn: of a writing transaction.
        domain: as it was read before; its key may have been rotated since.
        values: the originals.
        known: their tags, from `tags`.
    """
    versions = in_use(conn, domain.id)
    if versions == domain.lookup and len(versions) == 1:
        return list(known)
    newest = context.keys.tags(domain.uuid, versions[0], values)
    older = [context.keys.tags(domain.uuid, version, values) for version in versions[1:]]
    retagging.move(context, conn, domain, newest, older)
    return newest


def older(context: Context, conn: Connection, domain: DomainRow, values: Sequence[bytes]) -> list[bytes]:
    """Tags under whose keys the rows of originals may stand in the index as well; none outside a rotation."""
    return [tag for version in in_use(conn, domain.id)[1:] for tag in context.keys.tags(domain.uuid, version, values)]


def found_by(
    context: Context, conn: Connection, domain: DomainRow, values: Sequence[bytes], known: Sequence[bytes]
) -> list[bytes]:
    """As `settle`, where nothing may be written: the tag that each original has at this moment."""
    versions = in_use(conn, domain.id)
    if versions == domain.lookup and len(versions) == 1:
        return list(known)
    answer = context.keys.tags(domain.uuid, versions[0], values)
    for version in versions[1:]:
        before = context.keys.tags(domain.uuid, version, values)
        bearing = {row[3] for row in stored_values.of_tags(context, conn, domain, before)}
        query = "SELECT tag FROM consent WHERE domain = ? AND tag IN {values}"
        bearing.update(tag for (tag,) in select_in(conn, query, (domain.id,), sorted(set(before))))
        answer = [old if old in bearing else tag for old, tag in zip(before, answer, strict=True)]
    return answer
