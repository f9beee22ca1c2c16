"""What the registrar asks of the other room, wherever that is: in this process, or on another machine.

The only way from one room to the other. What crosses it is a message of `trustcenter.messages.rooms`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from trustcenter.comparator import instructions
from trustcenter.comparator.context import Context
from trustcenter.messages.rooms import (
    KINDS,
    EdgesHeader,
    Envelope,
    Settle,
    Settled,
    StudyPhase,
    Told,
    WindowOrder,
    WindowState,
)

from .comparing import Windows


class Comparator(Protocol):
    """The comparator as the registrar sees it. Every call may be repeated."""

    async def tell(self, envelope: Envelope) -> Told:
        """Have a message carried out, in its place."""
        ...

    async def settle(self, message: Settle) -> Settled:
        """Have what a source staged without a map dropped."""
        ...

    async def start(self, order: WindowOrder) -> WindowState:
        """Have a window compared. One that is under way or delivered is described."""
        ...

    async def window(self, study: str, window: int, patience: float) -> WindowState:
        """How far a window is, once it has ended or `patience` seconds have passed."""
        ...

    async def cancel(self, study: str, window: int) -> None:
        """Stop comparing a window. Harmless if it has ended."""
        ...

    def edges(self, header: EdgesHeader) -> AsyncIterator[bytes]:
        """The packed edges of a delivered window (M5), in parts."""
        ...

    async def acknowledge(self, header: EdgesHeader) -> None:
        """The edges of a window are applied: the comparator may forget them."""
        ...


class LocalComparator:
    """The comparator in this process."""

    def __init__(self, context: Context, windows: Windows) -> None:
        self._context = context
        self._windows = windows

    async def tell(self, envelope: Envelope) -> Told:
        """See `Comparator`."""
        told = await instructions.carry_out(self._context, envelope)
        message = msgspec.json.decode(envelope.payload, type=KINDS[envelope.kind])
        if isinstance(message, StudyPhase) and message.purge:
            await self._windows.forget(message.study)
        return told

    async def settle(self, message: Settle) -> Settled:
        """See `Comparator`."""
        return await instructions.settle(self._context, message)

    async def start(self, order: WindowOrder) -> WindowState:
        """See `Comparator`."""
        return await self._windows.start(order)

    async def window(self, study: str, window: int, patience: float) -> WindowState:
        """See `Comparator`."""
        return await self._windows.show(study, window, patience)

    async def cancel(self, study: str, window: int) -> None:
        """See `Comparator`."""
        await self._windows.cancel(study, window)

    async def edges(self, header: EdgesHeader) -> AsyncIterator[bytes]:
        """See `Comparator`."""
        start = 0
        while part := await self._windows.edges(header.study, header.window, start):
            yield part
            start += len(part)

    async def acknowledge(self, header: EdgesHeader) -> None:
        """See `Comparator`."""
        await self._windows.acknowledge(header.study, header.window, header.sha256)
