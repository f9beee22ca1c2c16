"""The comparator in another process: the one connection that the registrar opens, to the paired peer and nobody else.

Mutual TLS with both certificates pinned: the comparator's is the only one that this side trusts, and its side trusts
ours. What goes over it are messages of `trustcenter.messages.rooms`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import msgspec

from trustcenter.client.answers import decoded, quoted
from trustcenter.client.connection import Connection
from trustcenter.client.errors import RemoteError
from trustcenter.client.settings import Settings
from trustcenter.client.transport import Transport
from trustcenter.config import Config
from trustcenter.errors import UnavailableError
from trustcenter.messages import reconcile, rooms
from trustcenter.messages.api import Problem
from trustcenter.messages.common import Message

from . import cards

T = TypeVar("T")
CODE: Final = re.compile(rooms.CODE)
_SETTINGS: Final = Settings(retry_for=3.0)  # a site may wait for the answer; what is not delivered is tried again
_PATIENT: Final = Settings(retry_for=120.0, first_retries=60.0, first_contact=60.0)  # a run outlives a restart


class RemoteComparator:
    """`port.Comparator` over HTTPS."""

    apart = True

    def __init__(self, config: Config) -> None:
        self._config = config
        self._http: Transport | None = None
        self._windows: Transport | None = None  # the same connection, with more patience

    async def start(self) -> None:
        """Make the connection's ends ready; nothing is sent. Without a card of the peer there is none."""
        card = cards.peer(self._config)
        if card is None:
            return
        files = self._config.files
        connection = Connection(
            url=card.url,
            ca=card.certificate,
            staff="registrar",
            certificate=str(self._config.path(files.peer_certificate)),
            certificate_key=str(self._config.path(files.peer_key)),
        )
        self._http = await Transport(connection, _SETTINGS).__aenter__()
        self._windows = await Transport(connection, _PATIENT).__aenter__()

    async def stop(self) -> None:
        """Close the connection."""
        ends, self._http, self._windows = (self._http, self._windows), None, None
        for http in ends:
            if http is not None:
                await http.__aexit__(None, None, None)

    async def state(self) -> rooms.PeerState:
        """See `port.Comparator`."""
        return await self._call("GET", "/v1/peer/state", None, rooms.PeerState)

    async def tell(self, envelope: rooms.Envelope) -> rooms.Told:
        """See `port.Comparator`."""
        return await self._call("POST", "/v1/peer/messages", envelope, rooms.Told)

    async def settle(self, message: rooms.Settle) -> rooms.Settled:
        """See `port.Comparator`."""
        return await self._call("POST", "/v1/peer/settle", message, rooms.Settled)

    async def reconcile_study(self, message: reconcile.ReconcileStudy) -> reconcile.ReconciledStudy:
        """See `port.Comparator`."""
        return await self._call("POST", "/v1/peer/reconcile/study", message, reconcile.ReconciledStudy)

    async def reconcile_refs(self, message: reconcile.ReconcileRefs) -> reconcile.ReconciledRefs:
        """See `port.Comparator`."""
        return await self._call("POST", "/v1/peer/reconcile/refs", message, reconcile.ReconciledRefs)

    async def rejoin(self, message: reconcile.Rejoin) -> None:
        """See `port.Comparator`."""
        await self._send("POST", "/v1/peer/reconcile/end", message)

    async def start_window(self, order: rooms.WindowOrder) -> rooms.WindowState:
        """See `port.Comparator`."""
        return await self._call("POST", "/v1/peer/windows", order, rooms.WindowState)

    async def estimate(self, order: rooms.WindowOrder) -> rooms.WindowEstimate:
        """See `Comparator`."""
        return await self._call("POST", "/v1/peer/windows/estimate", order, rooms.WindowEstimate)

    async def window(self, study: str, window: int, patience: float) -> rooms.WindowState:
        """See `port.Comparator`."""
        path = f"{_window(study, window)}?patience={int(patience)}"
        return await self._call("GET", path, None, rooms.WindowState)

    async def cancel(self, study: str, window: int) -> None:
        """See `port.Comparator`."""
        await self._send("DELETE", _window(study, window), None)

    async def edges(self, header: rooms.EdgesHeader) -> AsyncIterator[bytes]:
        """See `port.Comparator`."""
        number = 0
        while part := await self._send("GET", f"{_window(header.study, header.window)}/edges/{number}", None):
            yield part
            number += 1

    async def acknowledge(self, header: rooms.EdgesHeader) -> None:
        """See `port.Comparator`."""
        await self._send("POST", "/v1/peer/applied", header)

    async def _call(self, method: str, path: str, body: Message | None, kind: type[T]) -> T:
        return decoded(await self._send(method, path, body), kind)

    async def _send(self, method: str, path: str, body: Message | None) -> bytes:
        http = self._windows if path.startswith("/v1/peer/windows") else self._http
        if http is None:
            raise UnavailableError(
                "the registrar is not paired with a comparator",
                code="not_paired",
                hint="trustcenter rooms card and rooms pair, on both machines: docs/how-to/separate-rooms.md",
            )
        sent = msgspec.json.encode(body) if body is not None else None
        try:
            return await http.call(method, path, body=sent, repeatable=True)
        except RemoteError as error:
            raise refusal(error) from None


def refusal(error: RemoteError) -> RemoteError:
    """A refusal of the comparator's as the registrar passes it on: its code and status, none of its words.

    What it says would reach sites and operators as if it were the registrar's.
    """
    told = Problem(
        type="about:blank",
        title="Refused",
        status=error.status if error.status != 401 else 403,  # it is not the caller who was not let in there
        code=error.code if CODE.fullmatch(error.code) else "unexpected_answer",
        detail="the comparator refused what the registrar asked for it",
        hint="docs/how-to/separate-rooms.md; the comparator's log has the reason",
        request_id="",
    )
    ours = RemoteError.of(told)
    ours.retry_after = error.retry_after
    return ours


def _window(study: str, window: int) -> str:
    return f"/v1/peer/windows/{quoted(study)}/{window:d}"
