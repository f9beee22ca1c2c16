"""How much one request may hold."""

from __future__ import annotations

from trustcenter.errors import LimitError


def require_batch(count: int, most: int, what: str = "items") -> None:
    """Refuse a request with more than it may hold.

    Raises:
        LimitError: it has more.
    """
    if count > most:
        raise LimitError(
            f"too many {what} in one request", code="batch_too_large", hint=f"send at most {most} at a time"
        )
