"""What runs of an instance beside its stores: windows at the comparator, deliveries and runs at the registrar."""

from __future__ import annotations

from . import cards
from .by_hand import CarriedComparator
from .by_hand_comparator import ComparatorFiles
from .by_hand_registrar import RegistrarFiles
from .comparing import Windows
from .linking import Linking
from .opened import Instance
from .port import Comparator, LocalComparator
from .remote import RemoteComparator
from .workers import Workers


class Rooms:
    """The running parts of the rooms that this process holds. Lives on its event loop."""

    def __init__(self, instance: Instance) -> None:
        config = instance.config
        self._workers = Workers(config.workers)
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

    async def stop(self) -> None:
        """Stop between two steps."""
        if self.linking is not None:
            await self.linking.stop()
        if self._windows is not None:
            await self._windows.stop()
        if self._remote is not None:
            await self._remote.stop()
        await self._workers.stop()
