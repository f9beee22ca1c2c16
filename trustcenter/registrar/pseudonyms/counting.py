"""What new rows of a domain use up: serials of its counter, and the quota of its site."""

from __future__ import annotations

from trustcenter.auth import quotas
from trustcenter.errors import LimitError
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.head import COUNTER_BITS
from trustcenter.store import Connection


def take_serials(context: Context, conn: Connection, domain: DomainRow, count: int) -> int:
    """Reserve `count` consecutive serials inside the caller's transaction; returns the first.

    Raises:
        LimitError: the counter of 36 bits is used up.
    """
    epoch = context.head.epoch
    row = conn.execute("SELECT next FROM counter WHERE domain = ? AND epoch = ?", (domain.id, epoch)).fetchone()
    first = row[0] if row else 1
    end = first + count
    if end >= 2**COUNTER_BITS:
        raise LimitError("this domain has issued as many pseudonyms as it can", code="counter_exhausted")
    context.head.reserve(domain.uuid, end, lambda: context.db.read_sync(context.log.head))
    conn.execute(
        "INSERT INTO counter VALUES (?,?,?) ON CONFLICT (domain, epoch) DO UPDATE SET next = excluded.next",
        (domain.id, epoch, end),
    )
    return (epoch << COUNTER_BITS) | first


def count_new(context: Context, conn: Connection, domain: DomainRow, count: int) -> None:
    """Count new rows of a site's domain against its quota of the day, in the transaction that makes them.

    Raises:
        QuotaExceededError: they do not fit; the whole batch is refused.
    """
    if domain.site is not None:
        kind = quotas.Kind.PSEUDONYMS if domain.kind == "site" else quotas.Kind.RECORDS
        quotas.take(conn, context.limits, context.clock(), domain.site, kind, count)
