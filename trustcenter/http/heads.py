"""The log's head on every answer to a site, and the place of the site's own entry (docs/spec/log-heads.md).

A head is signed at most once a second, and not while an answer waits: single requests come by the thousand, and a
signature and its check would cost more than the pseudonym. So an answer may carry a head that its own entry is not in
yet; the client asks for a later one before it ends, and holds both against each other.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Final

import structlog
from aiohttp import web

from trustcenter.errors import TrustCenterError
from trustcenter.instance.opened import Instance

HEAD: Final = "Trust-Log-Head"
ENTRY: Final = "Trust-Log-Entry"
SECONDS: Final = 1.0  # between two heads

_log = structlog.get_logger()


class Heads:
    """The registrar's newest signed head, kept for the answers of the next moment."""

    def __init__(self, instance: Instance) -> None:
        self._registrar = instance.registrar_room  # a comparator of its own tells nothing: it knows no requests
        self._note = ""
        self._made = 0.0
        self._making: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sign the first head, so that no answer goes without one."""
        await self._make()

    async def stop(self) -> None:
        """Let a signature that is under way end."""
        if self._making is not None:
            await asyncio.wait([self._making])

    def tell(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the head, and the place of the request's entry, on an answer to a site."""
        to_site = bool(request.get("site"))
        response.headers.update(self.lines(request.get("request_id", ""), to_site, response.status < 300))

    def lines(self, request_id: str, to_site: bool, succeeded: bool) -> dict[str, str]:
        """The lines of an answer's header that tell of the log."""
        if self._registrar is None:
            return {}
        place = self._registrar.log.place_of(request_id)
        if not to_site:
            return {}
        found = {HEAD: self._note} if self._note else {}
        if place is not None and succeeded:
            found[ENTRY] = str(place)
        if (self._making is None or self._making.done()) and time.monotonic() - self._made >= SECONDS:
            self._making = asyncio.get_running_loop().create_task(self._make())
        return found

    async def _make(self) -> None:
        self._made = time.monotonic()
        if self._registrar is None:
            return
        try:
            note = await self._registrar.db.read(self._registrar.log.checkpoint)
        except TrustCenterError as error:  # answers go on with the head before; whoever appends is refused there
            _log.error("no_log_head", code=error.code)
            return
        self._note = base64.b64encode(note.encode()).decode()


HEADS: web.AppKey[Heads] = web.AppKey("heads", Heads)
