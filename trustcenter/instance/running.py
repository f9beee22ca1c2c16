"""What runs of an instance beside its stores: windows at the comparator, deliveries and runs at the registrar."""

from __future__ import annotations

from .comparing import Windows
from .linking import Linking
from .opened import Instance
from .port import LocalComparator
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
        if instance.comparator_room is not None:
            self._windows = Windows(config, instance.comparator, self._workers)
            self.local = LocalComparator(instance.comparator, self._windows, instance.id, config.separation)
        if instance.registrar_room is not None:
            if self.local is None:
                self._remote = RemoteComparator(config)
            comparator = self.local or self._remote
            assert comparator is not None
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
