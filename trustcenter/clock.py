"""Time in one format: RFC 3339, UTC, microseconds. Passed in wherever a state machine or a test needs it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """`moment` as text that sorts in time order, for example 2026-11-24T15:30:00.000000Z."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
