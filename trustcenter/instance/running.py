"""What runs of an instance beside its stores: windows at the comparator, deliveries and runs at the registrar."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from trustcenter.comparator import enrolment
from trustcenter.errors import TrustCenterError
from trustcenter.instance.between.by_hand import CarriedComparator
from trustcenter.instance.between.by_hand_comparator import ComparatorFiles
from trustcenter.instance.between.by_hand_registrar import RegistrarFiles
from trustcenter.instance.between.comparing import Windows
from trustcenter.instance.between.linking import Linking
from trustcenter.instance.between.port import Comparator, LocalComparator
from trustcenter.instance.between.remote import RemoteComparator

from .between import cards
from .opened import Instance
from .workers import Workers

_HOUR_SECONDS: Final = 3600.0
_log = structlog.get_logger()


class Rooms:
    """The running parts of the rooms that this process holds. Lives on its event loop."""

    def __init__(self, instance: Instance) -> None:
        config = instance.config
        self._instance = instance
        self._forgetting: asyncio.Task[None] | None = None
        self._workers = Workers(config.workers)
        self.readers = Workers(1)  # for forms of rows whose reading may end the process
        self._windows: Windows | None = None
        self._remote: RemoteComparator | None = None
        self.local: LocalComparator | None = None
        self.linking: Linking | None = None
        self.files: RegistrarFiles | ComparatorFiles | None = None  # carried by hand
        if instance.comparator_room is not None:
            self._windows = Windows(config, instance.comparator, self._workers)
            self.local = LocalComparator(instance.comparator, self._windows, instance.id, config.separation)
            if instance.registrar_room is None:
                self.files = ComparatorFiles(instance, self.local)
        if instance.registrar_room is not None:
            comparator: Comparator
            card = cards.peer(config)
            if self.local is not None:
                comparator = self.local
            elif card is not None and not card.url:
                comparator = CarriedComparator(config)
                self.files = RegistrarFiles(instance, comparator)
            else:
                comparator = self._remote = RemoteComparator(config)
            self.linking = Linking(instance, comparator, self._workers)

    async def start(self) -> None:
        """Deliver what waits, and take up interrupted runs."""
        if self._remote is not None:
            await self._remote.start()
        if self.linking is not None:
            await self.linking.start()
        else:
            self._forgetting = asyncio.create_task(self._forget())

    async def _forget(self) -> None:
        """A comparator of its own has codes for practices of its own, some of which nobody uses."""
        while True:
            try:
                await enrolment.forget_unused(self._instance.comparator)
            except TrustCenterError as error:  # the next hour tries again
                _log.warning("codes_not_forgotten", code=error.code)
            await asyncio.sleep(_HOUR_SECONDS)

    async def stop(self) -> None:
        """Stop between two steps."""
        if self._forgetting is not None:
            self._forgetting.cancel()
            await asyncio.gather(self._forgetting, return_exceptions=True)
        if self.linking is not None:
            await self.linking.stop()
        if self._windows is not None:
            await self._windows.stop()
        if self._remote is not None:
            await self._remote.stop()
        await self._workers.stop()
        await self.readers.stop()
