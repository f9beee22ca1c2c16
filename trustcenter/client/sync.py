"""The client for scripts without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from .api import TrustCenter
from .connection import Connection
from .settings import DEFAULT, Settings

T = TypeVar("T")


class SyncTrustCenter:
    """`TrustCenter` with methods that block.

    Methods that answer once have the same names and arguments; those that stream give a list. `run` takes any
    coroutine function that wants the asynchronous client, such as those of `trustcenter.client.site`.

    Example:
        with SyncTrustCenter(Connection.load(path)) as center:
            answer = center.pseudonymize("uk-nord", ["4711", "4712"])
    """

    def __init__(self, connection: Connection, settings: Settings = DEFAULT) -> None:
        self._connection = connection
        self._settings = settings
        self._runner = asyncio.Runner()
        self._center: TrustCenter | None = None

    def __enter__(self) -> Self:
        async def enter() -> TrustCenter:
            return await TrustCenter(self._connection, self._settings).__aenter__()

        self._center = self._runner.run(enter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._center is not None:
            self._runner.run(self._center.__aexit__(kind, error, trace))
            self._center = None
        self._runner.close()

    def run(self, job: Callable[[TrustCenter], Coroutine[Any, Any, T]]) -> T:
        """Run a job with the asynchronous client and wait for its result."""
        if self._center is None:
            raise RuntimeError("use the client inside `with`")
        return self._runner.run(job(self._center))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or not callable(getattr(TrustCenter, name, None)):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            async def job(center: TrustCenter) -> Any:
                answer = getattr(center, name)(*args, **kwargs)
                return [item async for item in answer] if hasattr(answer, "__aiter__") else await answer

            return self.run(job)

        call.__name__ = name
        call.__doc__ = getattr(TrustCenter, name).__doc__
        return call
