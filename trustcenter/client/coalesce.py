"""Many single calls, few requests: calls of a few milliseconds, or made while a request is under way, share one.

Rules:

* The first call of a batch opens a window (`Settings.coalesce_wait`); what comes until it closes goes along.
* While a request is under way, the next batch gathers until that one ends, at most `Settings.coalesce_hold`
  longer; a full batch goes at once. At most `Settings.concurrency` requests of one queue are under way.
* A call gets the answer to its own value: its pseudonym, or the service's error for it. A request that fails as a
  whole fails for the calls that were in it, each with an exception of its own.
* A cancelled call leaves its batch, and nobody else notices.
* What could spoil a shared request (text that is not Unicode, or without any measure) is refused before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from trustcenter.errors import TrustCenterError
from trustcenter.messages.api import ItemError

from .errors import ItemRefusedError, UnreachableError
from .settings import Settings

Ask = Callable[[Sequence[str]], Awaitable[tuple[Sequence[str | None], Sequence[ItemError]]]]

_CHARS = 4096  # far above what a service accepts: its own limit is answered by it, item by item


class Coalescer:
    """A queue of values for one kind of request, as one caller, in one event loop."""

    def __init__(self, ask: Ask, settings: Settings) -> None:
        self._ask = ask
        self._settings = settings
        self._waiting: dict[str, list[asyncio.Future[str]]] = {}
        self._flights: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def __call__(self, value: str) -> str:
        """The answer to one value.

        Raises:
            ItemRefusedError: the service (or this client) refuses this value.
            TrustCenterError: the request failed, as the batched call would.
        """
        _check(value)
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        self._waiting.setdefault(value, []).append(future)
        self._plan(loop)
        return await future

    async def close(self) -> None:
        """End the requests under way; calls that still wait get an error."""
        self._closed = True
        self._stop_timer()
        for future in [future for futures in self._waiting.values() for future in futures]:
            if not future.done():
                future.set_exception(_closed())
        self._waiting.clear()
        for task in self._flights:
            task.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._waiting) >= self._settings.batch:
            self._send()
        elif self._timer is None and len(self._flights) < self._settings.concurrency:
            wait = self._settings.coalesce_hold if self._flights else self._settings.coalesce_wait
            self._timer = loop.call_later(wait, self._send)

    def _send(self) -> None:
        self._stop_timer()
        if self._closed:
            return
        while self._waiting and len(self._flights) < self._settings.concurrency:
            batch: dict[str, list[asyncio.Future[str]]] = {}
            while self._waiting and len(batch) < self._settings.batch:
                value = next(iter(self._waiting))
                live = [future for future in self._waiting.pop(value) if not future.done()]
                if live:  # a value that nobody waits for any more is not sent
                    batch[value] = live
            if batch:
                task = asyncio.create_task(self._fly(batch))
                self._flights.add(task)
                task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flights.discard(task)
        # Calls that came meanwhile have waited long enough; with a free slot they go now.
        if self._waiting:
            self._send()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _fly(self, batch: dict[str, list[asyncio.Future[str]]]) -> None:
        try:
            answers, errors = await self._ask(list(batch))
        except asyncio.CancelledError:
            _fail(batch, _closed())
            raise
        except Exception as error:
            _fail(batch, error)
            return
        refused = {error.index: error for error in errors}
        for index, (futures, answer) in enumerate(zip(batch.values(), answers, strict=True)):
            for future in futures:
                if future.done():
                    continue
                if answer is not None:
                    future.set_result(answer)
                else:
                    future.set_exception(ItemRefusedError.of(refused.get(index)))


def _check(value: str) -> None:
    if not isinstance(value, str):
        raise TypeError("a value is a str")
    try:
        fits = len(value) <= _CHARS and len(value.encode()) > 0
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise ItemRefusedError(
            "the value cannot be sent", code="invalid_value", hint=f"1 to {_CHARS} characters of Unicode text"
        )


def _fail(batch: dict[str, list[asyncio.Future[str]]], error: Exception) -> None:
    for futures in batch.values():
        for future in futures:
            if not future.done():
                future.set_exception(_twin(error))


def _twin(error: Exception) -> Exception:
    """An equal exception for one caller: a shared one would collect the tracebacks of all of them."""
    if not isinstance(error, TrustCenterError):
        return error
    twin = type(error).__new__(type(error))
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin


def _closed() -> UnreachableError:
    return UnreachableError("the client was closed while the call waited", code="client_closed")
