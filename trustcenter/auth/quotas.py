"""Quotas of a day, counted durably in the transaction of what they count, and the limits an operator sets per site."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from trustcenter.config import Limits
from trustcenter.errors import QuotaExceededError
from trustcenter.store import Connection, Migration

MIGRATIONS = (
    Migration(
        number=110,
        name="limits of a site and the use of quotas",
        sql="""
        CREATE TABLE site_limit (
            site TEXT PRIMARY KEY REFERENCES site(name),
            requests_per_second REAL, new_per_day INTEGER, records_per_day INTEGER,
            changed TEXT NOT NULL
        ) STRICT;
        CREATE TABLE quota_use (
            site TEXT NOT NULL REFERENCES site(name),
            kind TEXT NOT NULL CHECK (kind IN ('pseudonyms', 'records')),
            day TEXT NOT NULL,
            used INTEGER NOT NULL,
            PRIMARY KEY (site, kind, day)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


class Kind(StrEnum):
    """What a quota counts."""

    PSEUDONYMS = "pseudonyms"  # newly issued in the domains of a site
    RECORDS = "records"  # newly registered in studies


_COLUMN = {Kind.PSEUDONYMS: "new_per_day", Kind.RECORDS: "records_per_day"}


@dataclass(frozen=True)
class SiteLimits:
    """What an operator set for a site; None: the limit of the configuration holds."""

    requests_per_second: float | None = None
    new_per_day: int | None = None
    records_per_day: int | None = None


def limits_of(conn: Connection, site: str) -> SiteLimits:
    """The limits that were set for a site."""
    row = conn.execute(
        "SELECT requests_per_second, new_per_day, records_per_day FROM site_limit WHERE site = ?", (site,)
    ).fetchone()
    return SiteLimits(*row) if row else SiteLimits()


def set_limits(conn: Connection, site: str, limits: SiteLimits, now: str) -> None:
    """Replace the limits of a site, which must exist."""
    conn.execute(
        "INSERT INTO site_limit VALUES (?,?,?,?,?) ON CONFLICT (site) DO UPDATE SET"
        " requests_per_second = excluded.requests_per_second, new_per_day = excluded.new_per_day,"
        " records_per_day = excluded.records_per_day, changed = excluded.changed",
        (site, limits.requests_per_second, limits.new_per_day, limits.records_per_day, now),
    )


def used(conn: Connection, site: str, kind: Kind, now: datetime) -> int:
    """How much of today's quota a site has used."""
    row = conn.execute(
        "SELECT used FROM quota_use WHERE site = ? AND kind = ? AND day = ?", (site, kind.value, _day(now))
    ).fetchone()
    return int(row[0]) if row else 0


def _allowed(conn: Connection, limits: Limits, site: str, kind: Kind) -> int:
    own = getattr(limits_of(conn, site), _COLUMN[kind])
    return int(own if own is not None else getattr(limits, _COLUMN[kind]))


def left(conn: Connection, limits: Limits, now: datetime, site: str, kind: Kind) -> int:
    """How much of today's quota a site may still use."""
    return _allowed(conn, limits, site, kind) - used(conn, site, kind, now)


def take(conn: Connection, limits: Limits, now: datetime, site: str, kind: Kind, count: int) -> None:
    """Count `count` new items of a site inside the caller's transaction: if that rolls back, nothing was used.

    Args:
        conn: of the writing transaction.
        limits: of the configuration, for a site without limits of its own.
        now: the time, from which the day (UTC) follows.
        site: who uses it.
        kind: pseudonyms or records.
        count: items; a batch counts as all its new items.

    Raises:
        QuotaExceededError: they do not fit into what is left of the day; none of them is counted.
    """
    if count == 0:
        return
    allowed = _allowed(conn, limits, site, kind)
    before = used(conn, site, kind, now)
    if before + count > allowed:
        raise QuotaExceededError(
            f"the day's quota of new {kind.value} does not suffice for this request; nothing of it was done",
            retry_after=_until_midnight(now),
            hint=(
                "send smaller batches: this one is larger than the quota of a whole day"
                if count > allowed
                else "known ones are still answered; the quota starts anew at midnight UTC, or an operator raises it"
            ),
        )
    if before == 0:
        conn.execute("DELETE FROM quota_use WHERE site = ? AND day < ?", (site, _day(now)))
    conn.execute(
        "INSERT INTO quota_use VALUES (?,?,?,?)"
        " ON CONFLICT (site, kind, day) DO UPDATE SET used = quota_use.used + excluded.used",
        (site, kind.value, _day(now), count),
    )


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()


def _until_midnight(now: datetime) -> float:
    now = now.astimezone(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()
