"""Checked credentials, remembered for some seconds, so that not every request waits for a look-up.

Keyed by hashes of credentials, never by the credentials. What revokes a credential or changes a caller's rights
calls `clear` after its commit; a look-up that began before the commit is then not remembered either.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from .callers import Principal

_SIZE: Final = 4096


class CredentialCache:
    """Principals by hash of their credentials. Used from the event loop's thread only."""

    def __init__(self, lifetime: float, *, clock: Callable[[], float] = time.monotonic, size: int = _SIZE) -> None:
        """Args: lifetime: seconds, 0 for no cache. clock: seconds, never going back. size: entries at most."""
        self._lifetime = lifetime
        self._clock = clock
        self._size = size
        self._entries: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.generation = 0

    def get(self, key: bytes) -> Principal | None:
        """The principal, if it was checked less than the lifetime ago."""
        entry = self._entries.get(key)
        if entry is None or entry[1] <= self._clock():
            return None
        return entry[0]

    def put(self, key: bytes, principal: Principal, generation: int) -> None:
        """Remember a look-up that began at `generation`; one that a revocation overtook is dropped."""
        if generation != self.generation:
            return
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)
        if self._lifetime > 0:
            self._entries[key] = (principal, self._clock() + self._lifetime)
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def seen(self, key: bytes) -> bool:
        """Whether this credential was valid once since the start: it is looked up even when its address is limited."""
        return key in self._seen

    def clear(self) -> None:
        """Forget every principal: the next request of each caller is looked up."""
        self.generation += 1
        self._entries.clear()
