"""A dry run: the effect itself in its transaction, and all of it taken back. It refuses what the real one would."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from trustcenter.store import Connection

from .context import Context

T = TypeVar("T")


class _Back(Exception):
    """Carries the answer out of a transaction that is undone."""

    def __init__(self, answer: object) -> None:
        super().__init__("taken back")
        self.answer = answer


async def write(context: Context, effect: Callable[[Connection], T], *, dry_run: bool) -> T:
    """Write, or only try: the answer is the one that writing would give, and nothing is kept.

    Errors as `effect`.
    """
    if not dry_run:
        return await context.db.write(effect)

    def tried(conn: Connection) -> T:
        raise _Back(effect(conn))

    try:
        return await context.db.write(tried)
    except _Back as back:
        return back.answer  # type: ignore[return-value]
