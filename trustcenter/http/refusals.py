"""Refused requests in the audit log, bounded: whoever is refused a million times leaves one entry a minute."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.instance.opened import Gate

_log = structlog.get_logger()
_Key = tuple[Event, str, str]  # event, who, code: every part from a closed list, so there are few


@dataclass
class _Window:
    """Refusals of one client for one reason since the last entry."""

    timer: asyncio.TimerHandle
    count: int = 0


class RefusalLog:
    """The first refusal of a client is logged at once; those that follow within a window become one entry.

    An entry says how often (`count`), not what was asked for. What a crash cuts off is the count of the window under
    way, never the first refusal.
    """

    def __init__(self, context: Gate, window: float) -> None:
        """Args: context: the room whose clients are refused. window: seconds."""
        self._context = context
        self._seconds = window
        self._windows: dict[_Key, _Window] = {}
        self._writes: set[asyncio.Task[None]] = set()

    def note(self, principal: Principal | None, code: str, request_id: str) -> None:
        """Take note of a refusal; `principal` is None where it is not known who called."""
        if principal is None or not principal.name:
            key = (Event.REQUEST_REFUSED, "service", code)
        else:
            key = (Event.SITE_REFUSED if principal.is_site else Event.STAFF_REFUSED, principal.name, code)
        window = self._windows.get(key)
        if window is not None:
            window.count += 1
            return
        self._open(key)
        self._write(key, 1, request_id)

    async def close(self) -> None:
        """Write what the open windows hold."""
        for key, window in list(self._windows.items()):
            window.timer.cancel()
            if window.count:
                self._write(key, window.count, "")
        self._windows.clear()
        await asyncio.gather(*self._writes, return_exceptions=True)

    def _open(self, key: _Key) -> None:
        timer = asyncio.get_running_loop().call_later(self._seconds, self._end, key)
        self._windows[key] = _Window(timer)

    def _end(self, key: _Key) -> None:
        window = self._windows.pop(key)
        if window.count:
            self._open(key)
            self._write(key, window.count, "")

    def _write(self, key: _Key, count: int, request_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._append(key, count, request_id))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _append(self, key: _Key, count: int, request_id: str) -> None:
        event, who, code = key
        try:
            await self._context.db.write(
                lambda conn: self._context.audit(conn, event, who, request_id, reason=code, count=count)
            )
        except Exception as error:  # the refusal stands all the same
            _log.error("refusal not logged", error_type=type(error).__name__, code=code)
