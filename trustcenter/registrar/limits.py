"""How much one request may hold."""

from __future__ import annotations

from trustcenter.errors import BatchTooLargeError


def require_batch(count: int, most: int, what: str = "items") -> None:
    """Refuse a request with more than it may hold.

    Raises:
        BatchTooLargeError: it has more.
    """
    if count > most:
        raise BatchTooLargeError(f"too many {what} in one request", hint=f"send at most {most} at a time")
