"""What the registrar asks of the other room, wherever that is: in this process, or on another machine.

The only way from one room to the other. What crosses it is a message of `trustcenter.messages.rooms`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

import trustcenter
from trustcenter.comparator import instructions, ledger, reconcile
from trustcenter.comparator.context import Context
from trustcenter.messages.reconcile import ReconciledRefs, ReconciledStudy, ReconcileRefs, ReconcileStudy, Rejoin
from trustcenter.messages.rooms import (
    KINDS,
    EdgesHeader,
    Envelope,
    PeerState,
    Settle,
    Settled,
    StudyPhase,
    Told,
    WindowEstimate,
    WindowOrder,
    WindowState,
)

from .comparing import PART_BYTES, Windows


class Comparator(Protocol):
    """The comparator as the registrar sees it. Every call may be repeated."""

    @property
    def apart(self) -> bool:
        """Whether it is in another process, and may be out of reach."""
        ...

    async def tell(self, envelope: Envelope) -> Told:
        """Have a message carried out, in its place."""
        ...

    async def settle(self, message: Settle) -> Settled:
        """Have what a source staged without a map dropped."""
        ...

    async def state(self) -> PeerState:
        """What the comparator is, and how far the exchange of messages is there."""
        ...

    async def reconcile_study(self, message: ReconcileStudy) -> ReconciledStudy:
        """Have a study learnt again (M7)."""
        ...

    async def reconcile_refs(self, message: ReconcileRefs) -> ReconciledRefs:
        """Have the refs of a range compared (M7)."""
        ...

    async def rejoin(self, message: Rejoin) -> None:
        """Go on from a new step (M7)."""
        ...

    async def start_window(self, order: WindowOrder) -> WindowState:
        """Have a window compared. One that is under way or delivered is described."""
        ...

    async def estimate(self, order: WindowOrder) -> WindowEstimate:
        """What a window would compare; nothing is changed."""
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

    apart = False

    def __init__(self, context: Context, windows: Windows, instance: str, separation: str) -> None:
        self._context = context
        self._windows = windows
        self._instance = instance
        self._separation = separation

    async def state(self) -> PeerState:
        """See `Comparator`."""
        step = await self._context.db.read(ledger.step)
        return msgspec.convert(
            {
                "instance": self._instance,
                "version": trustcenter.__version__,
                "separation": self._separation,
                "step": {"number": step.number, "chain": step.chain},
            },
            type=PeerState,
        )

    async def reconcile_study(self, message: ReconcileStudy) -> ReconciledStudy:
        """See `Comparator`."""
        if message.phase.purge:
            await self._windows.forget(message.phase.study)
        return await reconcile.study(self._context, message)

    async def reconcile_refs(self, message: ReconcileRefs) -> ReconciledRefs:
        """See `Comparator`."""
        return await reconcile.refs(self._context, message)

    async def rejoin(self, message: Rejoin) -> None:
        """See `Comparator`."""
        await self._windows.forget_others(message.studies)
        await reconcile.rejoin(self._context, message)

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

    async def start_window(self, order: WindowOrder) -> WindowState:
        """See `Comparator`."""
        return await self._windows.start(order)

    async def estimate(self, order: WindowOrder) -> WindowEstimate:
        """See `Comparator`."""
        return await self._windows.estimate(order)

    async def window(self, study: str, window: int, patience: float) -> WindowState:
        """See `Comparator`."""
        return await self._windows.show(study, window, patience)

    async def cancel(self, study: str, window: int) -> None:
        """See `Comparator`."""
        await self._windows.cancel(study, window)

    async def edges(self, header: EdgesHeader) -> AsyncIterator[bytes]:
        """See `Comparator`."""
        number = 0
        while part := await self.part(header.study, header.window, number):
            yield part
            number += 1

    async def part(self, study: str, window: int, number: int) -> bytes:
        """One part of the packed edges of a window; empty after the last."""
        return await self._windows.edges(study, window, number * PART_BYTES)

    async def acknowledge(self, header: EdgesHeader) -> None:
        """See `Comparator`."""
        await self._windows.acknowledge(header.study, header.window, header.sha256)
