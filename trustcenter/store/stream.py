"""A long read: one snapshot, fetched a batch at a time as it is asked for."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NoReturn, TypeVar

from trustcenter.errors import StoreUnavailableError

from .connection import Connection
from .engine import Engine, Session

T = TypeVar("T")


class Stream:
    """One long read with its own connection and thread, so that its steps never overlap."""

    def __init__(self, engine: Engine, fn: Callable[[Connection], Iterator[T]], batch: int) -> None:
        self._engine = engine
        self._fn = fn
        self._batch = batch
        self._conn: Session | None = None
        self._rows: Iterator[object] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-stream")
        self._ended = False

    def next(self) -> Future[list]:  # type: ignore[type-arg]
        """The next batch, empty at the end."""
        try:
            return self._thread.submit(self._fetch)
        except RuntimeError:
            raise closing() from None

    def _fetch(self) -> list[object]:
        if self._ended:
            raise closing()
        try:
            if self._rows is None:
                self._conn = self._engine.streamer()
                self._engine.begin_read(self._conn)
                self._rows = iter(self._fn(self._conn))
            return list(itertools.islice(self._rows, self._batch))
        except Exception as error:
            raise_translated(self._engine, error)

    def close(self, *, wait: bool) -> None:
        """End it, between two of its steps; twice is harmless."""
        with contextlib.suppress(RuntimeError):  # closed before
            self._thread.submit(self._end)
        self._thread.shutdown(wait=wait)

    def _end(self) -> None:
        self._ended = True
        close = getattr(self._rows, "close", None)
        try:
            if close is not None:
                close()
        finally:
            if self._conn is not None:
                self._conn.close()


def closing() -> StoreUnavailableError:
    """What is told to whoever comes too late."""
    return StoreUnavailableError("the database is closing", hint="try again when the service is back")


def raise_translated(engine: Engine, error: BaseException) -> NoReturn:
    """Raise what a driver's error means to those who call the store; others as they are."""
    translated = engine.translate(error)
    if translated is error:
        raise error
    raise translated from error
