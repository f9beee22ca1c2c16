"""A stretch of time in which the service does not answer and calls are tried again: told once, where it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .settings import Settings


class Absence:
    """From the first try that failed to the next answer."""

    def __init__(self, settings: Settings, tell: Callable[[float], None] | None) -> None:
        """Args: settings: how long to say nothing. tell: called with the seconds for which calls are still tried."""
        self._settings = settings
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, started: float) -> None:
        """A call that began at `started` (seconds, monotonic) is tried again; nothing new where others are, too."""
        if self._tell is None or self._timer is not None:
            return
        self._timer = asyncio.get_running_loop().call_later(self._settings.silent_for, self._say, started)

    def end(self) -> None:
        """The service answers, or nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _say(self, started: float) -> None:
        left = started + self._settings.retry_for - time.monotonic()
        if self._tell is not None and left > 0:
            self._tell(left)
